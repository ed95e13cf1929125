"""Every kind of photo comes out as upright 8-bit RGB, and every bad one with its reason."""

import io
import pickle
import shutil
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgewise.data.images import SUFFIXES, BadImage, open_image

RAMP = np.linspace(0, 255, 16).astype(np.uint8).reshape(1, 16)
GREY = Image.fromarray(RAMP)
COLOUR = Image.fromarray(np.stack([RAMP, RAMP[:, ::-1], RAMP // 2], axis=-1))
DEEP = np.linspace(0, 65535, 16).astype(np.uint16).reshape(1, 16)


def saved(path: Path, image: Image.Image, **options: Any) -> Path:
    image.save(path, **options)
    return path


def pixels(path: Path) -> np.ndarray:
    image = open_image(path)
    assert image.mode == "RGB"
    return np.asarray(image)


def translucent() -> Image.Image:
    image = COLOUR.copy()
    image.putalpha(GREY)
    return image


def on_white(colours: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    share = alpha[..., None] / 255
    return colours * share + 255 * (1 - share)


@pytest.mark.parametrize("suffix", sorted(SUFFIXES))
def test_every_suffix_is_read(tmp_path: Path, paint: Any, suffix: str) -> None:
    image = open_image(paint(tmp_path / f"a{suffix.upper()}", 48, 40))
    assert (image.mode, image.size) == ("RGB", (48, 40))


@pytest.mark.parametrize("name", ["a.png", "a.gif", "a.tif", "a.bmp"])
def test_greyscale(tmp_path: Path, name: str) -> None:
    assert np.array_equal(pixels(saved(tmp_path / name, GREY)), np.repeat(RAMP[..., None], 3, axis=-1))


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.ppm"])
def test_sixteen_bits_keep_their_range(tmp_path: Path, name: str) -> None:
    assert np.array_equal(pixels(saved(tmp_path / name, Image.fromarray(DEEP)))[..., 0], DEEP >> 8)


def test_black_and_white(tmp_path: Path) -> None:
    assert set(np.unique(pixels(saved(tmp_path / "a.png", GREY.convert("1"))))) == {0, 255}


@pytest.mark.parametrize("name", ["a.jpg", "a.tif"])
def test_cmyk_is_not_inverted(tmp_path: Path, name: str) -> None:
    options = {"quality": 100} if name == "a.jpg" else {}
    found = pixels(saved(tmp_path / name, COLOUR.convert("CMYK").resize((64, 8), 0), **options))
    wanted = np.asarray(COLOUR.resize((64, 8), 0))
    assert np.abs(found.astype(int) - wanted).mean() < 4


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.webp"])
def test_transparency_is_laid_on_white(tmp_path: Path, name: str) -> None:
    options = {"lossless": True, "exact": True} if name == "a.webp" else {}
    found = pixels(saved(tmp_path / name, translucent(), **options))
    assert np.allclose(found, on_white(np.asarray(COLOUR), RAMP), atol=1)


def test_grey_with_transparency(tmp_path: Path) -> None:
    both = Image.merge("LA", (GREY, Image.fromarray(RAMP[:, ::-1].copy())))
    wanted = on_white(np.repeat(RAMP[..., None], 3, axis=-1), RAMP[:, ::-1])
    assert np.allclose(pixels(saved(tmp_path / "a.png", both)), wanted, atol=1)


@pytest.mark.parametrize(
    ("image", "name", "key"),
    [
        (GREY, "a.png", 0),
        (GREY.convert("1"), "a.png", 0),
        (COLOUR, "a.png", (0, 255, 0)),
        (COLOUR.quantize(8), "a.png", 0),
        (COLOUR.quantize(8), "a.png", bytes([0, *[255] * 7])),
        (COLOUR.quantize(8), "a.gif", 0),
    ],
)
def test_a_transparent_colour_becomes_white(tmp_path: Path, image: Image.Image, name: str, key: Any) -> None:
    file = saved(tmp_path / name, image, transparency=key)
    hidden = np.asarray(image) == (0 if isinstance(key, bytes) else np.asarray(key))
    hidden = hidden.all(axis=-1) if hidden.ndim == 3 else hidden
    assert 0 < hidden.sum() < hidden.size
    found, plain = pixels(file), np.asarray(image.convert("RGB"))
    assert (found[hidden] == 255).all()
    assert np.array_equal(found[~hidden], plain[~hidden])


def test_palette(tmp_path: Path) -> None:
    image = COLOUR.quantize(16)
    assert np.array_equal(pixels(saved(tmp_path / "a.png", image)), np.asarray(image.convert("RGB")))


def test_an_animation_shows_its_first_picture(tmp_path: Path) -> None:
    first, second = Image.new("RGB", (8, 8), "red"), Image.new("RGB", (8, 8), "blue")
    file = saved(tmp_path / "a.gif", first, save_all=True, append_images=[second])
    assert pixels(file)[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(tmp_path: Path, orientation: int, name: str) -> None:
    """A picture stored in each of the eight ways comes out the same: dark at the upper left."""
    upright = np.full((16, 32), 128, dtype=np.uint8)
    upright[:8, :16], upright[:8, 16:] = 0, 255
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright, 1),
        7: np.rot90(upright.T, 2),
        8: np.rot90(upright, 3),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(np.ascontiguousarray(stored)).convert("RGB")
    found = pixels(saved(tmp_path / name, image, exif=exif))
    assert found.shape == (16, 32, 3)
    assert np.abs(found[..., 0].astype(int) - upright).max() < 12


def test_broken_metadata_does_not_spoil_the_pixels(tmp_path: Path) -> None:
    file = saved(tmp_path / "a.jpg", COLOUR, exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert pixels(file).shape == (1, 16, 3)


def test_only_pixels_are_handed_on(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = "at home"
    file = saved(tmp_path / "a.jpg", COLOUR, exif=exif, comment=b"at home", icc_profile=b"at home")
    assert open_image(file).info == {}
    assert b"at home" not in pickle.dumps(open_image(file))


@pytest.mark.parametrize(
    ("at_least", "size"),
    [
        (None, (1600, 1200)),
        (1, (200, 150)),
        (150, (200, 150)),
        (151, (400, 300)),
        (600, (800, 600)),
        (5000, (1600, 1200)),
    ],
)
def test_a_jpeg_is_decoded_no_larger_than_needed(
    tmp_path: Path, paint: Any, at_least: int | None, size: tuple[int, int]
) -> None:
    file = paint(tmp_path / "a.jpg", 1600, 1200)
    assert open_image(file, at_least).size == size
    other = paint(tmp_path / "a.png", 1600, 1200)
    assert open_image(other, at_least).size == (1600, 1200)


def test_a_smaller_decode_shows_the_same(tmp_path: Path, paint: Any) -> None:
    file = paint(tmp_path / "a.jpg", 1600, 1200, quality=95)
    whole = np.asarray(open_image(file).resize((200, 150), Image.Resampling.BOX), dtype=int)
    assert np.abs(np.asarray(open_image(file, 150), dtype=int) - whole).mean() < 1


@pytest.mark.parametrize("at_least", [None, 1])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.jpg", {}),
        ("a.jpg", {"progressive": True}),
        ("a.png", {}),
        ("a.bmp", {}),
        ("a.gif", {}),
        ("a.webp", {}),
        ("a.tif", {}),
        ("a.tif", {"compression": "tiff_lzw"}),
        ("a.ppm", {}),
    ],
)
def test_truncated_anywhere(
    tmp_path: Path, paint: Any, name: str, options: dict[str, Any], at_least: int | None
) -> None:
    file = paint(tmp_path / name, 320, 240, **options)
    whole = file.read_bytes()
    for share in (0.1, 0.5, 0.9, 0.99):
        file.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(BadImage) as caught:
            open_image(file, at_least)
        assert caught.value.reason.startswith(("the file is cut off", "the file is damaged ("))
        assert caught.value.path == file


def test_a_jpeg_without_its_last_bytes(tmp_path: Path, paint: Any) -> None:
    file = paint(tmp_path / "a.jpg", 320, 240)
    file.write_bytes(file.read_bytes()[:-2])
    with pytest.raises(BadImage) as caught:
        open_image(file, at_least=1)
    assert str(caught.value) == f"The photo {file} cannot be read: the file is cut off."


NO_PICTURE = "it is no picture of a kind that is read here (JPEG, PNG, BMP, GIF, WebP, TIFF, PPM)"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"GPS track, not a photo", NO_PICTURE),
        (b"\0" * 5000, NO_PICTURE),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", NO_PICTURE),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "it is a HEIC or AVIF photo, whatever its name says; convert it to JPEG"),
        (b"\xff\xd8\xff", "the file is cut off or damaged"),
        (b"\x89PNG\r\n\x1a\n", "the file is cut off or damaged"),
    ],
)
def test_not_a_picture(tmp_path: Path, content: bytes, reason: str) -> None:
    file = tmp_path / "a.jpg"
    file.write_bytes(content)
    with pytest.raises(BadImage) as caught:
        open_image(file)
    assert caught.value.reason == reason


def test_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(BadImage, match=r"there is no such file\.$"):
        open_image(tmp_path / "a.jpg")
    with pytest.raises(BadImage, match=r"Is a directory\.$"):
        open_image(tmp_path)


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (
            Image.fromarray(DEEP.astype(np.int32) * 70_000),
            "its pixels have more than 16 bits; save it with 8 or 16 bits",
        ),
        (Image.new("I", (4, 4), -5), "its pixels have more than 16 bits; save it with 8 or 16 bits"),
        (
            Image.fromarray(RAMP.astype(np.float32)),
            "its pixels are floating-point numbers; save it with 8 or 16 bits",
        ),
    ],
)
def test_pixels_without_a_known_range(tmp_path: Path, image: Image.Image, reason: str) -> None:
    with pytest.raises(BadImage) as caught:
        open_image(saved(tmp_path / "a.tif", image))
    assert caught.value.reason == reason


def png_of_size(width: int, height: int) -> bytes:
    """A tiny file that claims to be large."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("side", "reason"),
    [
        (
            10_000,
            "it has 10000 x 10000 pixels (100 million), more than the 89 million that are read; make it smaller",
        ),
        (60_000, "it has far more pixels than are read; make it smaller"),
    ],
)
def test_a_decompression_bomb(tmp_path: Path, side: int, reason: str) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(png_of_size(side, side))
    with pytest.raises(BadImage) as caught:
        open_image(file)
    assert caught.value.reason == reason


def test_random_damage_is_never_more_than_a_bad_image(tmp_path: Path, paint: Any) -> None:
    """Bytes overwritten anywhere: either a picture comes out or a `BadImage`."""
    rng, refused = np.random.default_rng(0), 0
    for name in ("a.jpg", "a.png", "a.gif", "a.webp", "a.tif", "a.bmp"):
        whole = np.frombuffer(paint(tmp_path / name, 64, 48).read_bytes(), dtype=np.uint8)
        for _ in range(40):
            harmed = whole.copy()
            harmed[rng.integers(0, min(len(harmed), 400), 6)] = rng.integers(0, 256, 6)
            (tmp_path / name).write_bytes(harmed.tobytes())
            try:
                assert open_image(tmp_path / name).mode == "RGB"
            except BadImage:
                refused += 1
    assert refused > 20


def test_bad_image_crosses_processes(tmp_path: Path) -> None:
    error = pickle.loads(pickle.dumps(BadImage(tmp_path / "a.jpg", "the file is empty")))
    assert isinstance(error, BadImage)
    assert (error.path, error.reason, error.status) == (tmp_path / "a.jpg", "the file is empty", 1)


def test_a_photo_under_another_suffix(tmp_path: Path, paint: Any) -> None:
    shutil.move(paint(tmp_path / "a.png"), tmp_path / "b.jpg")
    assert open_image(tmp_path / "b.jpg").size == (48, 40)


def test_a_phone_photo_of_several_pictures(tmp_path: Path) -> None:
    """MPO, as phones write it into .jpg files."""
    out = io.BytesIO()
    COLOUR.resize((64, 48)).save(out, "MPO", save_all=True, append_images=[GREY.convert("RGB").resize((64, 48))])
    file = tmp_path / "a.jpg"
    file.write_bytes(out.getvalue())
    assert open_image(file, at_least=6).size == (8, 6)
