import base64
import io
from pathlib import Path

import pytest
from PIL import Image

from edgewise.core.errors import EdgewiseError
from edgewise.report.pictures import picture


def decoded(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


def test_nothing_but_pixels_gets_into_a_page(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010F] = "SecretCamera"
    exif[0x0112] = 6  # taken upright: to be turned by 90 degrees
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 8.0, 13.5)})
    photo = Image.new("RGB", (400, 200), (200, 10, 10))
    photo.save(tmp_path / "photo.jpg", exif=exif, comment=b"SecretComment", icc_profile=b"SecretProfile" * 20)
    assert b"SecretCamera" in (tmp_path / "photo.jpg").read_bytes()
    found = picture(tmp_path, "photo.jpg")
    content = base64.b64decode(found.uri.partition(",")[2])
    assert b"Secret" not in content
    image = decoded(found.uri)
    assert image.size == (80, 160)  # turned as the camera said, and small
    assert not image.getexif()
    assert "comment" not in image.info
    assert found.uri.startswith("data:image/jpeg;base64,")
    assert not found.coarse


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "1", "I;16"])
def test_every_colour_mode(tmp_path: Path, mode: str) -> None:
    suffix = "tif" if mode in ("CMYK", "I;16") else "png"
    Image.new(mode, (100, 80)).save(tmp_path / f"photo.{suffix}")
    assert decoded(picture(tmp_path, f"photo.{suffix}").uri).size == (100, 80)


def test_few_pixels_are_kept_exactly(tmp_path: Path) -> None:
    digit = Image.new("L", (8, 8))
    digit.putpixel((3, 4), 255)
    digit.save(tmp_path / "digit.png")
    found = picture(tmp_path, "digit.png")
    assert found.coarse
    assert decoded(found.uri).convert("L").tobytes() == digit.tobytes()


def test_missing_broken_and_foreign_pictures(tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "assets").mkdir(parents=True)
    (run / "assets/cut.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut off")
    Image.new("RGB", (9, 9)).save(tmp_path / "private.png")
    with pytest.raises(EdgewiseError, match=r"picture assets/none\.jpg is missing in .*copied without its assets\?"):
        picture(run, "assets/none.jpg")
    with pytest.raises(EdgewiseError, match=r"picture assets/cut\.jpg in .* cannot be read"):
        picture(run, "assets/cut.jpg")
    with pytest.raises(EdgewiseError, match="lies outside the run folder"):
        picture(run, "../private.png")
