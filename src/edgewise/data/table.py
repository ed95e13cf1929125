"""A CSV file of ``path,label`` or ``path,label,split``, with or without a header.

Paths are relative to the file.  With a header the columns may stand in any order, among others.
The separator may be ``,`` ``;`` or a tab (spreadsheets differ by country); UTF-8, BOM allowed.
An empty split means train.
"""

import csv
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgewise.core.errors import EdgewiseError
from edgewise.data.found import SPLIT_NAMES, SPLITS, Found, Split, counted, normal

EXPECTED = "Expected are lines such as ant/1.jpg,ant or, with parts of your own, ant/1.jpg,ant,train (or val, test)."
HEADERS: Mapping[str, str] = {
    "path": "path",
    "file": "path",
    "filename": "path",
    "image": "path",
    "label": "label",
    "class": "label",
    "split": "split",
}
SHOWN = 5


@dataclass(frozen=True)
class _Row:
    line: int
    text: str  # the path as it is written
    path: Path
    label: str
    split: Split


def read_table(file: Path) -> Found:
    """Find the classes and photos that ``file`` names.

    Raises `EdgewiseError` naming, with line numbers, all rows that are wrong: too few columns, an
    empty path or label, an unknown split, a photo that is not there, a photo named twice.
    """
    faults: list[str] = []
    rows = list(_rows(file, faults))
    _complain(faults, f"{counted(len(faults), 'line')} of {file} cannot be understood", EXPECTED)
    if not rows:
        raise EdgewiseError(f"There are no rows in {file}. {EXPECTED}")
    missing = [f"line {row.line}: {row.text}" for row in rows if not os.path.isfile(row.path)]
    _complain(
        missing,
        f"{len(missing)} of the {counted(len(rows), 'photo')} named in {file} do not exist",
        f"Paths are relative to {file.parent}.",
    )
    first: dict[Path, int] = {}
    twice = [
        f"line {row.line}: {row.text}, also in line {first[row.path]}"
        for row in rows
        if first.setdefault(row.path, row.line) != row.line
    ]
    _complain(twice, f"{counted(len(twice), 'photo')} named more than once in {file}", "Keep one line for each photo.")
    photos: dict[Split, dict[str, list[Path]]] = {}
    for row in sorted(rows, key=lambda row: (normal(row.text), row.text)):
        photos.setdefault(row.split, {}).setdefault(row.label, []).append(row.path)
    splits = {
        split: {label: tuple(paths) for label, paths in sorted(photos[split].items())}
        for split in SPLITS
        if split in photos
    }
    return Found(file.parent, splits)


def _rows(file: Path, faults: list[str]) -> Iterator[_Row]:
    lines = _lines(file)
    if not lines:
        return
    header = {HEADERS[cell]: column for column, cell in enumerate(map(_plain, lines[0][1])) if cell in HEADERS}
    headed = {"path", "label"} <= header.keys()
    if not headed:
        header = {"path": 0, "label": 1, "split": 2}
    for number, cells in lines[1:] if headed else lines:
        text, label, split = (_cell(cells, header.get(name)) for name in ("path", "label", "split"))
        if not text or not label:
            faults.append(f"line {number} has no {'path' if not text else 'label'}")
        elif len(cells) > 3 and not headed:
            faults.append(f"line {number} has {len(cells)} columns, and there is no header")
        elif split and split.casefold() not in SPLIT_NAMES:
            faults.append(f"line {number} has the split {split!r}")
        else:
            part = SPLIT_NAMES[split.casefold()] if split else "train"
            yield _Row(number, text, file.parent / text, normal(label), part)


def _lines(file: Path) -> list[tuple[int, list[str]]]:
    """Line numbers and cells of every line that is not blank."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise EdgewiseError(f"{file} is not UTF-8 text ({error.reason}). Save it as CSV UTF-8.") from error
    except OSError as error:
        raise EdgewiseError(f"{file} cannot be read: {error.strerror or error}.") from error
    if "\0" in text:
        raise EdgewiseError(f"{file} is not a table of text: there are zero bytes in it. {EXPECTED}")
    top = text.lstrip().partition("\n")[0]
    separator = max(",;\t", key=top.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
    lines = []
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                lines.append((reader.line_num, cells))
    except csv.Error as error:
        raise EdgewiseError(f"Line {reader.line_num} of {file} cannot be understood ({error}). {EXPECTED}") from error
    return lines


def _cell(cells: Sequence[str], column: int | None) -> str:
    return cells[column].strip() if column is not None and column < len(cells) else ""


def _plain(cell: str) -> str:
    return cell.strip().casefold()


def _complain(faults: Sequence[str], fact: str, remedy: str) -> None:
    if faults:
        shown = "".join(f"\n    {fault}" for fault in faults[:SHOWN])
        more = f"\n    and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        raise EdgewiseError(f"{fact}:{shown}{more}\n{remedy}")
