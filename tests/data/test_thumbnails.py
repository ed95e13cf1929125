"""Small pictures without anybody's whereabouts."""

import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from edgewise.data.images import BadImage
from edgewise.data.thumbnails import thumbnail


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


@pytest.mark.parametrize(
    ("size", "side", "expected"),
    [((1600, 1200), 160, (160, 120)), ((600, 900), 90, (60, 90)), ((40, 30), 160, (40, 30)), ((900, 2), 100, (100, 1))],
)
def test_size(tmp_path: Path, paint: Any, size: tuple[int, int], side: int, expected: tuple[int, int]) -> None:
    image = opened(thumbnail(paint(tmp_path / "a.jpg", *size), side))
    assert (image.format, image.mode, image.size) == ("JPEG", "RGB", expected)


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tif"])
def test_nothing_but_pixels(tmp_path: Path, paint: Any, name: str) -> None:
    exif = Image.Exif()
    exif[0x010E] = "SECRET description"
    exif.get_ifd(0x8825)[1] = "N"
    exif.get_ifd(0x8825)[29] = "SECRET place"
    options: dict[str, Any] = {"exif": exif, "xmp": b"<x:xmpmeta>SECRET</x:xmpmeta>", "icc_profile": b"SECRET"}
    if name == "a.jpg":
        options["comment"] = b"SECRET comment"
    file = paint(tmp_path / name, 320, 240, **options)
    assert b"SECRET" in file.read_bytes()
    small = thumbnail(file)
    assert b"SECRET" not in small
    image = opened(small)
    assert dict(image.getexif()) == {}
    assert not {"exif", "comment", "icc_profile", "xmp"} & image.info.keys()


def test_it_is_upright(tmp_path: Path, paint: Any) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert opened(thumbnail(paint(tmp_path / "a.jpg", 320, 240, exif=exif))).size == (120, 160)


def test_a_bad_photo(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"")
    with pytest.raises(BadImage, match="the file is empty"):
        thumbnail(tmp_path / "a.jpg")
