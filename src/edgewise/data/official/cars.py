"""Stanford Cars (Krause et al., 2013): 196 makes, models and years; 8,144 photos to train on, 8,041 to test.

``devkit/cars_test_annos.mat`` holds no labels: those of the test photos are a file of their own.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from edgewise.core.errors import EdgewiseError
from edgewise.data.found import Found, Split
from edgewise.data.official.base import Entry, OfficialSet, Piece, from_lists
from edgewise.data.official.matlab import read_mat

NAMES, TRAIN, TEST = "devkit/cars_meta.mat", "devkit/cars_train_annos.mat", "cars_test_annos_withlabels.mat"


def _read(root: Path, pieces: Mapping[str, Path]) -> Found:
    classes = read_mat(pieces[NAMES]).texts("class_names")
    entries = [
        *_entries("train", "cars_train", pieces[TRAIN], classes),
        *_entries("test", "cars_test", pieces[TEST], classes),
    ]
    return from_lists(root, entries, "cars_train.tgz and cars_test.tgz")


def _entries(split: Split, folder: str, file: Path, classes: list[str]) -> Iterator[Entry]:
    for number, (label, name) in enumerate(read_mat(file).records("annotations", "class", "fname"), 1):
        if not 1 <= label <= len(classes):
            raise EdgewiseError(
                f"Entry {number} of {file} has the class {label}; {NAMES} names the classes 1 to {len(classes)}. "
                "Download both again."
            )
        yield Entry(split, classes[label - 1], f"{folder}/{name}", file, f"entry {number}")


CARS = OfficialSet(
    name="cars",
    title="Stanford Cars",
    folders=("stanford_cars",),
    pieces=(
        Piece("cars_train", "cars_train.tgz"),
        Piece("cars_test", "cars_test.tgz"),
        Piece(NAMES, "car_devkit.tgz"),
        Piece(TRAIN, "car_devkit.tgz"),
        Piece(TEST, TEST, (f"devkit/{TEST}",)),
    ),
    read=_read,
    photos={"train": 8144, "test": 8041},
    classes=196,
    instead={"devkit/cars_test_annos.mat": f"cars_test_annos.mat will not do for {TEST}: it holds no labels."},
)
