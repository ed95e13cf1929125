"""MNIST (LeCun et al., 1998): grey pictures of 28 x 28 pixels, 60,000 to train on, 10,000 to test.

Four IDX files: a magic number that says what is in it, the sizes (32 bits each, big-endian), then
the bytes.  They may be gzipped still.
"""

import gzip
import math
import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from PIL import Image

from edgewise.core.errors import EdgewiseError
from edgewise.data.found import Found, Split
from edgewise.data.official.base import OfficialSet, Piece
from edgewise.data.official.unpacked import Picture, unpacked

LABELS, PICTURES = 0x0801, 0x0803
CLASSES, LONGEST_SIDE, MOST_PICTURES, MOST_PIXELS = 10, 512, 1_000_000, 1 << 30
_AGAIN = "Download it again."
PARTS: Mapping[Split, str] = {"train": "train", "test": "t10k"}


def _read(root: Path, pieces: Mapping[str, Path]) -> Found:
    files = {split: (pieces[_images(start)], pieces[_labels(start)]) for split, start in PARTS.items()}

    def pictures() -> Iterator[Picture]:
        for split, (images, labels) in files.items():
            yield from _pictures(split, images, labels)

    return unpacked("mnist", [file for pair in files.values() for file in pair], pictures)


def _pictures(split: Split, images: Path, labels: Path) -> Iterator[Picture]:
    classes = _classes(labels)
    with _opened(images, PICTURES, 3) as (handle, (number, height, width)):
        if number != len(classes):
            raise EdgewiseError(f"{images} has {number:,} pictures, and {labels} {len(classes):,} labels. {_AGAIN}")
        if not (1 <= height <= LONGEST_SIDE and 1 <= width <= LONGEST_SIDE):
            raise EdgewiseError(
                f"{images} has pictures of {width:,} x {height:,} pixels; 28 x 28 are expected. {_AGAIN}"
            )
        for place, label in enumerate(classes):
            pixels = _exactly(handle, width * height, images)
            yield f"{split}/{label}/{place:05d}", Image.frombytes("L", (width, height), pixels)
        _nothing_left(handle, images)


def _classes(file: Path) -> bytes:
    with _opened(file, LABELS, 1) as (handle, (number,)):
        classes = _exactly(handle, number, file)
        _nothing_left(handle, file)
    if wrong := [label for label in classes if label >= CLASSES]:
        raise EdgewiseError(f"{file} has the label {wrong[0]}; the labels are 0 to {CLASSES - 1}. {_AGAIN}")
    return classes


@contextmanager
def _opened(file: Path, magic: int, sizes: int) -> Iterator[tuple[IO[bytes], tuple[int, ...]]]:
    """The file after its header, and the sizes in that."""
    try:
        with _reading(file) as handle:
            found, *shape = struct.unpack(f">{1 + sizes}I", _exactly(handle, 4 * (1 + sizes), file))
            if found != magic:
                raise EdgewiseError(f"{file} begins with {found}, and {magic} is expected there. {_AGAIN}")
            if not 1 <= shape[0] <= MOST_PICTURES or math.prod(shape) > MOST_PIXELS:
                raise EdgewiseError(f"{file} says that it holds {shape[0]:,} of them. {_AGAIN}")
            yield handle, tuple(shape)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise EdgewiseError(f"{file} is cut off or damaged ({error}). {_AGAIN}") from error


def _reading(file: Path) -> IO[bytes]:
    return gzip.GzipFile(file) if file.suffix == ".gz" else open(file, "rb")  # type: ignore[return-value]


def _exactly(handle: IO[bytes], size: int, file: Path) -> bytes:
    content = handle.read(size)
    if len(content) < size:
        raise EdgewiseError(f"{file} is cut off. {_AGAIN}")
    return content


def _nothing_left(handle: IO[bytes], file: Path) -> None:
    if handle.read(1):
        raise EdgewiseError(f"{file} is longer than its header says. {_AGAIN}")


def _images(start: str) -> str:
    return f"{start}-images-idx3-ubyte"


def _labels(start: str) -> str:
    return f"{start}-labels-idx1-ubyte"


def _piece(path: str) -> Piece:
    dotted = path.replace("-idx", ".idx")  # as some mirrors name them
    return Piece(path, f"{path}.gz", (f"{path}.gz", dotted, f"{dotted}.gz"))


MNIST = OfficialSet(
    name="mnist",
    title="MNIST",
    folders=("raw", "MNIST/raw"),
    pieces=tuple(_piece(named(start)) for start in PARTS.values() for named in (_images, _labels)),
    read=_read,
    photos={"train": 60_000, "test": 10_000},
    classes=CLASSES,
)
