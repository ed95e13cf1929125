"""Food-101 (Bossard et al., 2014): 101 dishes, 75,750 photos to train on (with some wrong labels), 25,250 to test."""

from collections.abc import Mapping
from pathlib import Path

from edgewise.data.found import Found, Split
from edgewise.data.official.base import Entry, OfficialSet, Piece, check, from_lists, rows

DOWNLOAD, NAMES = "food-101.tar.gz", "meta/classes.txt"
PARTS: Mapping[Split, str] = {"train": "meta/train.txt", "test": "meta/test.txt"}


def _read(root: Path, pieces: Mapping[str, Path]) -> Found:
    names = {name for _, (name,) in rows(pieces[NAMES], r"(\S+)", "a class")}
    entries = [
        Entry(split, label, f"images/{label}/{photo}.jpg", pieces[file], place)
        for split, file in PARTS.items()
        for place, (label, photo) in rows(pieces[file], r"([^/]+)/(\S+)", "a class, a slash and the number of a photo")
    ]
    strange = [f"{entry.label} ({entry.where()})" for entry in entries if entry.label not in names]
    check(strange, f"Classes that {pieces[NAMES]} does not name", f"Unpack {DOWNLOAD} again.")
    return from_lists(root, entries, DOWNLOAD)


FOOD101 = OfficialSet(
    name="food101",
    title="Food-101",
    folders=("food-101",),
    pieces=tuple(Piece(path, DOWNLOAD) for path in ("images", NAMES, *PARTS.values())),
    read=_read,
    photos={"train": 75750, "test": 25250},
    classes=101,
)
