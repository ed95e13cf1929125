"""What a data set on the disk holds, before anything is decided about it."""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
# the spellings that folders and tables may use
SPLIT_NAMES: Mapping[str, Split] = {
    "train": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}


@dataclass(frozen=True)
class Found:
    """``splits[split][class]`` are photos, sorted by name; a set without parts is all ``train``.

    ``skipped`` are files that were passed over (relative to ``root``), with the reason.  Class names
    are in Unicode NFC.
    """

    root: Path
    splits: Mapping[Split, Mapping[str, tuple[Path, ...]]]
    skipped: tuple[tuple[Path, str], ...] = ()


def normal(name: str) -> str:
    """Unicode NFC: the same text has the same characters, whichever system wrote it."""
    return unicodedata.normalize("NFC", name)


def name_of(path: Path, root: Path) -> str:
    """``path`` inside ``root`` with forward slashes; as it is where it lies elsewhere."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()


def quoted(name: str) -> str:
    """A name in quotes, with whatever is not plain ASCII spelled out: look-alikes can be told apart."""
    return f"{name!r} ({ascii(name)[1:-1]})" if not name.isascii() else repr(name)


def listed(names: list[str], most: int = 10) -> str:
    """``"a, b, c and 4 more"``."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def counted(number: int, noun: str) -> str:
    """``counted(1, "photo")`` → ``"1 photo"``; ``"2 photos"``."""
    return f"{number:,} {noun}" + ("" if number == 1 else ("es" if noun.endswith("s") else "s"))
