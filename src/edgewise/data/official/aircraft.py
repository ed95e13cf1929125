"""FGVC-Aircraft (Maji et al., 2013), its 100 variants: 3,334 photos to train on, 3,333 for validation, 3,333 to test.

``images_test.txt`` names photos without labels; the lists with variants are read.
"""

from collections.abc import Mapping
from pathlib import Path

from edgewise.data.found import SPLITS, Found
from edgewise.data.official.base import Entry, OfficialSet, Piece, check, from_lists, rows

DOWNLOAD, NAMES = "fgvc-aircraft-2013b.tar.gz", "data/variants.txt"
LISTS = {split: f"data/images_variant_{split}.txt" for split in SPLITS}


def _read(root: Path, pieces: Mapping[str, Path]) -> Found:
    names = {name for _, (name,) in rows(pieces[NAMES], "(.+)", "a variant")}
    entries = [
        Entry(split, label, f"data/images/{number}.jpg", pieces[file], place)
        for split, file in LISTS.items()
        for place, (number, label) in rows(pieces[file], r"(\S+) +(.+)", "the number of a photo and its variant")
    ]
    strange = [f"{entry.label} ({entry.where()})" for entry in entries if entry.label not in names]
    check(strange, f"Variants that {pieces[NAMES]} does not name", "Unpack the archive again.")
    return from_lists(root, entries, DOWNLOAD)


AIRCRAFT = OfficialSet(
    name="aircraft",
    title="FGVC-Aircraft",
    folders=("fgvc-aircraft-2013b",),
    pieces=tuple(Piece(path, DOWNLOAD) for path in ("data/images", NAMES, *LISTS.values())),
    read=_read,
    photos={"train": 3334, "val": 3333, "test": 3333},
    classes=100,
)
