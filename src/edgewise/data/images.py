"""Decode one photo, whatever a phone, a scanner or a web page made of it, to upright 8-bit RGB."""

import struct
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from edgewise.core.errors import EdgewiseError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm"})
# Only these decoders see the user's files; Pillow has others that start programs (EPS).
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
ORIENTATION = 0x0112
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
BEGINNINGS = (b"\xff\xd8", b"\x89PNG", b"BM", b"GIF8", b"RIFF", b"II*\0", b"MM\0*", b"P6")
HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"mif1", b"msf1", b"avif")


class BadImage(EdgewiseError):
    """A photo that cannot be decoded; ``path`` and ``reason`` are for lists of such photos."""

    def __init__(self, path: Path, reason: str) -> None:
        # both are arguments of the exception, so that it crosses process borders unchanged
        super().__init__(path, reason)
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        return f"The photo {self.path} cannot be read: {self.reason}."


class _NotRead(Exception):
    """A sound file of a kind that is refused; the text is the whole reason."""


def open_image(path: Path, at_least: int | None = None) -> Image.Image:
    """The photo as 8-bit RGB, upright, transparency laid on white, and nothing but pixels.

    EXIF, GPS, comments and profiles are left behind.  With ``at_least`` (pixels) a JPEG may be
    decoded at 1/2, 1/4 or 1/8 of its size, as long as its shorter side stays at least that long;
    of an animation the first picture is taken.

    Raises `BadImage` for a file that is missing, empty, cut off, no picture, or so large that
    Pillow takes it for a decompression bomb.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd metadata is no fault of the pixels; size is checked here
            with Image.open(path, formats=FORMATS) as file:
                limit = Image.MAX_IMAGE_PIXELS
                if limit is not None and file.width * file.height > limit:
                    raise _NotRead(_too_large(file.width, file.height, limit))
                if at_least is not None:
                    file.draft(None, (at_least, at_least))
                file.load()
                image = _rgb(_upright(file))
    except MemoryError:
        raise
    # A decoder fed with garbage raises nearly anything (struct.error, IndexError, SyntaxError ...).
    except Exception as error:
        raise BadImage(path, _reason(path, error)) from error
    image.info.clear()
    return image


def _upright(image: Image.Image) -> Image.Image:
    try:
        turn = UPRIGHT.get(image.getexif().get(ORIENTATION, 1))
    except (SyntaxError, ValueError, TypeError, KeyError, IndexError, OSError, struct.error):
        turn = None  # broken metadata, sound pixels
    return image if turn is None else image.transpose(turn)


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        return _from_16_bits(image)
    if image.mode == "F":
        raise _NotRead("its pixels are floating-point numbers; save it with 8 or 16 bits")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(image, mask=image.getchannel("A"))
        return white
    return image.convert("RGB")


def _from_16_bits(image: Image.Image) -> Image.Image:
    # Pillow would clip at 255: a 16-bit photo would come out nearly white
    pixels = np.asarray(image)
    if pixels.min() < 0 or pixels.max() > 0xFFFF:
        raise _NotRead("its pixels have more than 16 bits; save it with 8 or 16 bits")
    return Image.fromarray((pixels >> 8).astype(np.uint8)).convert("RGB")


def _reason(path: Path, error: Exception) -> str:
    if isinstance(error, _NotRead):
        return str(error)
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, OSError) and error.errno is not None:
        return error.strerror or str(error)
    if isinstance(error, UnidentifiedImageError):
        return _not_a_picture(path)
    if isinstance(error, Image.DecompressionBombError):
        return "it has far more pixels than are read; make it smaller"
    text = str(error).strip().rstrip(".")
    if "truncated" in text.lower() or "not enough image data" in text or isinstance(error, EOFError):
        return "the file is cut off"
    return f"the file is damaged ({text or type(error).__name__})"


def _not_a_picture(path: Path) -> str:
    with open(path, "rb") as handle:
        head = handle.read(12)
    if not head:
        return "the file is empty"
    if head.startswith(BEGINNINGS):
        return "the file is cut off or damaged"
    if head[4:8] == b"ftyp" and head[8:12] in HEIF_BRANDS:
        return "it is a HEIC or AVIF photo, whatever its name says; convert it to JPEG"
    return "it is no picture of a kind that is read here (JPEG, PNG, BMP, GIF, WebP, TIFF, PPM)"


def _too_large(width: int, height: int, limit: int) -> str:
    return (
        f"it has {width} x {height} pixels ({width * height / 1e6:.0f} million), more than the "
        f"{limit / 1e6:.0f} million that are read; make it smaller"
    )
