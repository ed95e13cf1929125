"""What an official data set is: the pieces it is made of, how they are read, and its published numbers.

A set is read from its archives as they unpack, by its own lists of which photo is for what.  What a
list says is not trusted: a photo outside the set's folder, one that is named twice (in train and in
test, say) and one that is not there are errors.
"""

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from edgewise.core.errors import EdgewiseError
from edgewise.data.found import SPLITS, Found, Split, counted, listed, normal

LARGEST_LIST = 64 << 20  # bytes; the longest official list has three million
SHOWN = 5


@dataclass(frozen=True)
class Piece:
    """A file or folder of a set, and the file to download for it.

    ``others`` are further places or names under which copies have it.
    """

    path: str
    download: str
    others: tuple[str, ...] = ()


class Entry(NamedTuple):
    """What a list says of one photo: its use, its class, its place in the set's folder; and which list, where."""

    split: Split
    label: str
    photo: str
    file: Path
    place: str  # "line 3"

    def where(self) -> str:
        """``"line 3 of test.txt"``"""
        return f"{self.place} of {self.file.name}"


@dataclass(frozen=True)
class OfficialSet:
    """``read`` gets the set's folder and where each piece lies (by `Piece.path`).

    ``folders`` are looked in besides the one that the user names, ``photos`` and ``classes`` are the
    published numbers, and ``instead`` says, for what people have in place of a piece, why it will not do.
    """

    name: str
    title: str
    folders: tuple[str, ...]
    pieces: tuple[Piece, ...]
    read: Callable[[Path, Mapping[str, Path]], Found]
    photos: Mapping[Split, int]
    classes: int
    instead: Mapping[str, str] = field(default_factory=dict)

    def open(self, folder: Path) -> Found:
        """The set in ``folder``.  Raises `EdgewiseError` naming every piece that is missing, and what is wrong."""
        homes = [folder, *(folder / inner for inner in self.folders)]
        found = [{piece: place for piece in self.pieces if (place := _place(home, piece))} for home in homes]
        best = max(range(len(homes)), key=lambda index: len(found[index]))  # the first of equals
        if missing := [piece for piece in self.pieces if piece not in found[best]]:
            raise EdgewiseError(self._incomplete(folder, homes, missing))
        return self.read(homes[best], {piece.path: place for piece, place in found[best].items()})

    def differences(self, found: Found) -> tuple[str, ...]:
        """A note where a copy has other numbers of photos or classes than were published."""
        has = {split: sum(map(len, found.splits.get(split, {}).values())) for split in SPLITS}
        faults = [
            f"{has[split]:,} {split} photos instead of {self.photos.get(split, 0):,}"
            for split in SPLITS
            if has[split] != self.photos.get(split, 0)
        ]
        classes = len({name for part in found.splits.values() for name in part})
        if classes != self.classes:
            faults.append(f"{counted(classes, 'class')} instead of {self.classes}")
        if not faults:
            return ()
        return (f"This copy of {self.title} has {', '.join(faults)}; results do not compare with published ones.",)

    def _incomplete(self, folder: Path, homes: list[Path], missing: list[Piece]) -> str:
        lines = []
        for download in dict.fromkeys(piece.download for piece in missing):
            paths = [piece.path for piece in missing if piece.download == download]
            there = [home / download for home in homes if (home / download).is_file()]
            remedy = f"unpack {there[0]}" if there else "download it" if paths == [download] else f"download {download}"
            lines.append(f"\n    {listed(paths)}: {remedy}")
        places = " and ".join(str(home) for home in homes if home == folder or home.is_dir())
        wrong = dict.fromkeys(text for path, text in self.instead.items() if any((h / path).exists() for h in homes))
        return "\n".join([f"{self.title} is not complete in {places}. Missing:{''.join(lines)}", *wrong])


def _place(home: Path, piece: Piece) -> Path | None:
    return next((home / name for name in (piece.path, *piece.others) if (home / name).exists()), None)


def from_lists(root: Path, entries: Iterable[Entry], download: str) -> Found:
    """The photos that the set's lists name; ``download`` is the archive that holds them.

    Raises `EdgewiseError` for a photo outside ``root``, named more than once, or not there.
    """
    entries = list(entries)
    outside = [f"{entry.photo!a} ({entry.where()})" for entry in entries if not _inside(entry.photo)]
    check(outside, f"Photos that the lists in {root} place outside of its folder", "Do not trust this copy.")
    first: dict[str, Entry] = {}
    twice = [
        f"{entry.photo} ({entry.where()} and {before.where()})"
        for entry in entries
        if (before := first.setdefault(os.path.normcase(entry.photo), entry)) is not entry
    ]
    check(twice, f"Photos that the lists in {root} name more than once", "A test photo must not be trained on.")
    missing = [f"{entry.photo} ({entry.where()})" for entry in entries if not os.path.isfile(root / entry.photo)]
    check(
        missing,
        f"Of the {len(entries):,} photos that the lists in {root} name, {len(missing):,} are not there",
        f"Unpack {download} again; to use a part of the set, take the others out of the lists.",
    )
    photos: dict[Split, dict[str, list[Path]]] = {split: {} for split in SPLITS}
    for entry in sorted(entries, key=lambda entry: (normal(entry.photo), entry.photo)):
        photos[entry.split].setdefault(normal(entry.label), []).append(root / entry.photo)
    splits = {
        split: {label: tuple(paths) for label, paths in sorted(photos[split].items())}
        for split in SPLITS
        if photos[split]
    }
    if not splits:
        raise EdgewiseError(f"The lists in {root} name no photo.")
    return Found(root, splits)


def rows(file: Path, pattern: str, form: str) -> list[tuple[str, tuple[str, ...]]]:
    """The lines of a list, each as its place (``"line 3"``) and the groups of ``pattern``; blank ones are left out.

    Raises `EdgewiseError` when the file is not text, or lines are not of the ``form``.
    """
    faults, found = [], []
    for number, line in enumerate(_text(file).splitlines(), 1):
        if line.strip():
            match = re.fullmatch(pattern, line.strip())
            if match is None:
                faults.append(f"line {number}: {line.strip()[:60]!a}")
            else:
                found.append((f"line {number}", match.groups()))
    check(faults, f"Lines of {file} that are not understood", f"Expected is {form}. Download it again.")
    return found


def check(faults: list[str], fact: str, remedy: str) -> None:
    """`EdgewiseError` where there are ``faults``, the first of them named."""
    if faults:
        raise EdgewiseError(f"{fact}: {listed(faults, SHOWN)}. {remedy}")


def _text(file: Path) -> str:
    try:
        if (size := file.stat().st_size) > LARGEST_LIST:
            raise EdgewiseError(f"{file} has {size:,} bytes; no list of photos is that long. Download it again.")
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise EdgewiseError(f"{file} is not UTF-8 text ({error.reason}). Download it again.") from error
    except OSError as error:
        raise EdgewiseError(f"{file} cannot be read: {error.strerror or error}.") from error


def _inside(photo: str) -> bool:
    """Whether a name with forward slashes stays in the folder it is relative to, on every system."""
    parts = photo.split("/")
    odd = any(character in '\\:"<>|?*' or ord(character) < 32 for character in photo)
    return not odd and all(part not in ("", ".", "..") for part in parts)
