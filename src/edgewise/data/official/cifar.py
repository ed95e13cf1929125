"""CIFAR-10 and CIFAR-100 (Krizhevsky, 2009): 50,000 pictures of 32 x 32 pixels to train on, 10,000 to test.

Read from the binary versions: each picture is one byte of label (CIFAR-100: the coarse, then the
fine one), then 1,024 bytes of red, of green and of blue, row by row.  The Python versions are
pickles, and opening a pickle runs whatever code is in it: they are never opened.
"""

import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from edgewise.core.errors import EdgewiseError
from edgewise.data.found import Found, Split
from edgewise.data.official.base import OfficialSet, Piece, rows
from edgewise.data.official.unpacked import Picture, unpacked

SIDE = 32
PIXELS = 3 * SIDE * SIDE


def _read(
    name: str, parts: Mapping[str, Split], names: str, labels: int, root: Path, pieces: Mapping[str, Path]
) -> Found:
    """``labels`` are the bytes before the pixels; the last of them is the class."""
    classes = [text for _, (text,) in rows(pieces[names], r"(.+)", "the name of a class")]
    if wrong := [text for text in classes if not re.fullmatch(r"\w[\w-]*", text, re.ASCII)]:
        raise EdgewiseError(f"{pieces[names]} has the class {wrong[0][:60]!a}, which is no name. Download it again.")
    if len(set(classes)) != len(classes):
        raise EdgewiseError(f"{pieces[names]} names a class twice. Download it again.")

    def pictures() -> Iterator[Picture]:
        for part, split in parts.items():
            yield from _pictures(pieces[part], split, classes, labels)

    return unpacked(name, [pieces[piece] for piece in (names, *parts)], pictures)


def _pictures(file: Path, split: Split, classes: list[str], labels: int) -> Iterator[Picture]:
    size, record = file.stat().st_size, labels + PIXELS
    if size == 0 or size % record:
        raise EdgewiseError(
            f"{file} has {size:,} bytes, which is not a number of pictures of {record:,} bytes: it is cut off, or of "
            "another kind. Download it again."
        )
    with open(file, "rb") as handle:
        for number in range(size // record):
            content = handle.read(record)
            if (label := content[labels - 1]) >= len(classes):
                raise EdgewiseError(
                    f"Picture {number + 1:,} of {file} has the class {label}; the classes are 0 to "
                    f"{len(classes) - 1}. Download it again."
                )
            pixels = np.frombuffer(content, np.uint8, offset=labels).reshape(3, SIDE, SIDE).transpose(1, 2, 0)
            yield f"{split}/{classes[label]}/{file.stem}-{number:05d}", Image.fromarray(np.ascontiguousarray(pixels))


def _never_opened(title: str, download: str) -> str:
    return (
        f"What is there is the Python version of {title}. It is a pickle: opening one runs whatever code is in it, so "
        f"it is never opened here. Download the binary version, {download}; its pictures are the same."
    )


def _pieces(paths: tuple[str, ...], download: str) -> tuple[Piece, ...]:
    return tuple(Piece(path, download) for path in paths)


TEN: Mapping[str, Split] = {**{f"data_batch_{number}.bin": "train" for number in range(1, 6)}, "test_batch.bin": "test"}
HUNDRED: Mapping[str, Split] = {"train.bin": "train", "test.bin": "test"}
PHOTOS: Mapping[Split, int] = {"train": 50_000, "test": 10_000}

CIFAR10 = OfficialSet(
    name="cifar10",
    title="CIFAR-10",
    folders=("cifar-10-batches-bin",),
    pieces=_pieces((*TEN, "batches.meta.txt"), "cifar-10-binary.tar.gz"),
    read=partial(_read, "cifar10", TEN, "batches.meta.txt", 1),
    photos=PHOTOS,
    classes=10,
    instead=dict.fromkeys(
        ("cifar-10-python.tar.gz", "cifar-10-batches-py", "data_batch_1"),
        _never_opened("CIFAR-10", "cifar-10-binary.tar.gz"),
    ),
)
CIFAR100 = OfficialSet(
    name="cifar100",
    title="CIFAR-100",
    folders=("cifar-100-binary",),
    pieces=_pieces((*HUNDRED, "fine_label_names.txt"), "cifar-100-binary.tar.gz"),
    read=partial(_read, "cifar100", HUNDRED, "fine_label_names.txt", 2),
    photos=PHOTOS,
    classes=100,
    instead=dict.fromkeys(
        ("cifar-100-python.tar.gz", "cifar-100-python", "meta"),
        _never_opened("CIFAR-100", "cifar-100-binary.tar.gz"),
    ),
)
