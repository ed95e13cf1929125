"""Photos as data URIs: small, upright, and with nothing in them but pixels."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps

from edgewise.core.errors import EdgewiseError

SMALL = 64  # up to here pixels are shown as pixels: lossless, and enlarged without smoothing


@dataclass(frozen=True)
class Picture:
    """An image to put into a page; ``coarse`` when its pixels are to be seen as such."""

    uri: str
    coarse: bool


def picture(run: Path, name: str, longest: int = 160) -> Picture:
    """The image ``name`` (relative to ``run``), at most ``longest`` pixels on its longer side.

    It is encoded anew from its pixels alone: no EXIF, GPS, comment or colour profile of anybody's
    photo gets into a page.  Raises `EdgewiseError` when it is missing, unreadable or elsewhere.
    """
    path = run / name
    if not path.resolve().is_relative_to(run.resolve()):
        raise EdgewiseError(f"The record names the picture {name!r}, which lies outside the run folder {run}.")
    try:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image).convert("RGB")
    except FileNotFoundError:
        raise EdgewiseError(
            f"The picture {name} is missing in {run}. Was the folder copied without its assets?"
        ) from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise EdgewiseError(f"The picture {name} in {run} cannot be read ({error}).") from error
    coarse = max(upright.size) <= SMALL
    upright.thumbnail((longest, longest))
    bare = Image.new("RGB", upright.size)
    bare.paste(upright)
    out = io.BytesIO()
    if coarse:
        bare.save(out, "PNG", optimize=True)
    else:
        bare.save(out, "JPEG", quality=80, optimize=True)
    kind = "png" if coarse else "jpeg"
    return Picture(f"data:image/{kind};base64,{base64.b64encode(out.getvalue()).decode()}", coarse)
