"""Oxford-IIIT Pets (Parkhi et al., 2012): 37 breeds of cats and dogs, 3,680 photos to train on, 3,669 to test.

A line is ``Abyssinian_100 1 1 1``: the photo, its class's number, species and breed's number; the
class's name is the photo's without the number.
"""

from collections.abc import Mapping
from pathlib import Path

from edgewise.data.found import Found, Split
from edgewise.data.official.base import Entry, OfficialSet, Piece, check, from_lists, rows

PHOTOS, LISTS = "images.tar.gz", "annotations.tar.gz"
PARTS: Mapping[Split, str] = {"train": "annotations/trainval.txt", "test": "annotations/test.txt"}


def _read(root: Path, pieces: Mapping[str, Path]) -> Found:
    entries, numbers, disputed = [], dict[str, str](), []
    for split, file in PARTS.items():
        form = "a photo, the number of its class, its species and its breed"
        for place, (photo, name, number) in rows(pieces[file], r"((\S+)_[0-9]+) ([0-9]+) [0-9]+ [0-9]+", form):
            entries.append(Entry(split, name, f"images/{photo}.jpg", pieces[file], place))
            if numbers.setdefault(name, number) != number:
                disputed.append(f"{name} is {numbers[name]} and {number} ({entries[-1].where()})")
    check(disputed, "Classes with two numbers", f"Unpack {LISTS} again.")
    return from_lists(root, entries, PHOTOS)


PETS = OfficialSet(
    name="pets",
    title="Oxford-IIIT Pets",
    folders=("oxford-iiit-pet",),
    pieces=(Piece("images", PHOTOS), *(Piece(path, LISTS) for path in PARTS.values())),
    read=_read,
    photos={"train": 3680, "test": 3669},
    classes=37,
)
