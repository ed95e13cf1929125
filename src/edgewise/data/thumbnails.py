"""Small copies of photos for reports."""

import io
from pathlib import Path

from PIL import Image

from edgewise.data.images import open_image


def thumbnail(path: Path, side: int = 160) -> bytes:
    """A JPEG whose longer side is at most ``side`` pixels; no EXIF, GPS, comment or profile in it.

    Raises `edgewise.data.images.BadImage` when the photo cannot be read.
    """
    image = open_image(path, at_least=side)
    image.thumbnail((side, side))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=80)
    return out.getvalue()


def png(image: Image.Image) -> bytes:
    """``image`` as a PNG file's bytes, pixel for pixel."""
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()
