"""Reading a record so that a fault is named in full: ``metrics.n``, and in which file.

Text leaves here fit for HTML and SVG: control characters, lone surrogates and marks that turn the
writing direction are replaced, so a file name cannot break or disguise a page.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from edgewise.core.errors import EdgewiseError
from edgewise.core.runs import RunFolder

_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
_FOLDERS = re.compile(r"(?<![\w./\\~-])(?:~|[A-Za-z]:)?(?:[/\\][^/\\\s'\"<>|:]+)+[/\\](?=[^/\\\s'\"])")


def printable(text: str) -> str:
    """``text`` with every character that no page may carry replaced by U+FFFD."""
    return _UNPRINTABLE.sub("\ufffd", text)


def without_folders(text: str) -> str:
    """``text`` with absolute paths cut to their last part: ``"/home/ann/a.jpg: empty"`` → ``"a.jpg: empty"``."""
    return _FOLDERS.sub("", text)


def relative(path: str) -> str:
    """``path`` as it is, or its last part alone where it is absolute."""
    if PureWindowsPath(path).is_absolute():
        return PureWindowsPath(path).name
    return PurePosixPath(path).name if PurePosixPath(path).is_absolute() else path


@dataclass(frozen=True)
class Section:
    """A part of a record.  ``where`` is its dotted name (empty for the record), ``file`` names the file."""

    value: Mapping[str, Any]
    where: str
    file: str

    def raw(self, key: str) -> Any:
        """What stands under ``key``; `EdgewiseError` when nothing does.  JSON null is something."""
        if key not in self.value:
            raise EdgewiseError(
                f"{self.file} has no {self._name(key)}, which its page needs. "
                "Was it edited, or written by another version of Edgewise?"
            )
        return self.value[key]

    def section(self, key: str) -> "Section":
        value = self.raw(key)
        if not isinstance(value, Mapping):
            raise self._wrong(key, value, "a section of its own")
        return Section(value, self._name(key), self.file)

    def sections(self, key: str) -> list["Section"]:
        """A list of sections; they are called ``key[0]``, ``key[1]``, …"""
        members = self._members(key)
        return [members.section(name) for name in members.value]

    def items(self, key: str) -> Sequence[Any]:
        value = self.raw(key)
        if not isinstance(value, (list, tuple)):
            raise self._wrong(key, value, "a list")
        return value

    def texts(self, key: str) -> list[str]:
        members = self._members(key)
        return [members.text(name) for name in members.value]

    def text(self, key: str) -> str:
        value = self.raw(key)
        if not isinstance(value, str):
            raise self._wrong(key, value, "text")
        return printable(value)

    def path(self, key: str) -> str:
        """A file as it was given, or its name alone where that was an absolute path."""
        return relative(self.text(key))

    def number(self, key: str) -> float:
        value = self.raw(key)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise self._wrong(key, value, "a number")
        return value

    def number_or_none(self, key: str) -> float | None:
        """A number, or None where the record says null: not measured."""
        return None if self.raw(key) is None else self.number(key)

    def count(self, key: str) -> int:
        """A whole number, zero or more."""
        value = self.raw(key)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise self._wrong(key, value, "a whole number, zero or more")
        return value

    def share(self, key: str) -> float | None:
        """A fraction from 0 to 1, or None where the record says null."""
        value = self.number_or_none(key)
        if value is not None and not 0 <= value <= 1:
            raise self._wrong(key, value, "between 0 and 1")
        return value

    def settings(self) -> Iterator[tuple[str, str]]:
        """Every entry as two texts, nested ones as ``outer.inner``; entries that are null are left out."""
        for key, value in self.value.items():
            if isinstance(value, Mapping):
                yield from ((f"{printable(key)}.{name}", text) for name, text in self.section(key).settings())
            elif value is not None:
                text = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
                yield printable(key), without_folders(relative(printable(text)))

    def wrong(self, key: str, must: str) -> EdgewiseError:
        """The error for a value that is of the right type and still cannot be."""
        return EdgewiseError(f"In {self.file}, {self._name(key)} {must}. Was it edited?")

    def _wrong(self, key: str, value: Any, noun: str) -> EdgewiseError:
        shown = repr(value)
        return self.wrong(key, f"is {shown if len(shown) <= 60 else shown[:60] + '…'}; it must be {noun}")

    def _members(self, key: str) -> "Section":
        named = {f"{key}[{index}]": item for index, item in enumerate(self.items(key))}
        return Section(named, self.where, self.file)

    def _name(self, key: str) -> str:
        return f"{self.where}.{key}" if self.where else key


def read_section(run: Path) -> Section:
    """The record of the run in the folder ``run``."""
    folder = RunFolder(run)
    return Section(folder.read_record(), "", str(folder.record))
