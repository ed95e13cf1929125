"""Caltech-UCSD Birds 200-2011 (Wah et al., 2011): 200 birds, 5,994 photos to train on, 5,794 to test.

Four lists speak of photos and classes by numbers.  Class names keep theirs (``001.Black_footed_Albatross``).
"""

from collections.abc import Mapping
from pathlib import Path

from edgewise.core.errors import EdgewiseError
from edgewise.data.found import Found, Split
from edgewise.data.official.base import Entry, OfficialSet, Piece, from_lists, rows

DOWNLOAD = "CUB_200_2011.tgz"
PHOTOS, CLASSES, LABELS, PARTS = "images.txt", "classes.txt", "image_class_labels.txt", "train_test_split.txt"
NUMBER = "([0-9]{1,9})"


def _read(root: Path, pieces: Mapping[str, Path]) -> Found:
    classes = _table(pieces[CLASSES], r"(\S+)", "a class's number and name")
    labels = _table(pieces[LABELS], NUMBER, "a photo's number and its class's")
    training = _table(pieces[PARTS], "([01])", "a photo's number, and 1 for training or 0 for test")
    entries = []
    for place, (number, photo) in rows(pieces[PHOTOS], rf"{NUMBER} (\S+)", "a photo's number and file"):
        if number not in labels or number not in training or labels[number] not in classes:
            lacking = LABELS if number not in labels else PARTS if number not in training else CLASSES
            raise EdgewiseError(
                f"Photo {number} ({place} of {pieces[PHOTOS]}) has no entry in {lacking}. Unpack {DOWNLOAD} again."
            )
        split: Split = "train" if training[number] == "1" else "test"
        entries.append(Entry(split, classes[labels[number]], f"images/{photo}", pieces[PHOTOS], place))
    return from_lists(root, entries, DOWNLOAD)


def _table(file: Path, pattern: str, form: str) -> dict[str, str]:
    table: dict[str, str] = {}
    for place, (number, value) in rows(file, f"{NUMBER} {pattern}", form):
        if table.setdefault(number, value) != value:
            raise EdgewiseError(
                f"{place.capitalize()} of {file} says {value} of number {number}, an earlier one {table[number]}. "
                f"Unpack {DOWNLOAD} again."
            )
    return table


CUB200 = OfficialSet(
    name="cub200",
    title="CUB-200-2011",
    folders=("CUB_200_2011",),
    pieces=tuple(Piece(path, DOWNLOAD) for path in ("images", PHOTOS, CLASSES, LABELS, PARTS)),
    read=_read,
    photos={"train": 5994, "test": 5794},
    classes=200,
)
