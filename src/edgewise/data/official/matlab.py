"""Read MATLAB's .mat files of level 5 (``save -v6`` and ``-v7``), as far as lists of photos need it.

Numbers, text, cells and structures, compressed or not, of either byte order; from MathWorks'
description of the format.  Sparse and complex arrays, objects, tables of characters and version 7.3
(HDF5) are refused.  Nothing in a file is trusted: every length is checked against the bytes that are
there before anything is made of that length, and what compressed parts unpack to is limited.
"""

import math
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from edgewise.core.errors import EdgewiseError

LARGEST = 16 << 20  # bytes of a file, and of everything its compressed parts unpack to
DEEPEST, MOST_DIMS, MOST_FIELDS = 8, 32, 256
HEADER, TAG = 128, 8

INT8, UINT8, INT32, UINT32, MATRIX, COMPRESSED = 1, 2, 5, 6, 14, 15
NUMBERS = {1: "b", 2: "B", 3: "h", 4: "H", 5: "i", 6: "I", 7: "f", 9: "d", 12: "q", 13: "Q"}
TEXTS = {1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
CELL, STRUCT, CHAR, FIRST_NUMBER, LAST_NUMBER = 1, 2, 4, 6, 15
COMPLEX = 0x0800

Numbers: TypeAlias = "tuple[int | float, ...]"
# Numbers in MATLAB's order (first index fastest), a text, the cells of an array, or of an array of structures
# the values of each field.
Value: TypeAlias = "Numbers | str | list[Value] | dict[str, list[Value]]"
Order: TypeAlias = Literal["<", ">"]


class _Damaged(Exception):
    """The reason, as it stands in the message."""


@dataclass(frozen=True)
class Mat:
    """The variables of a file; the methods take out what is expected, or raise `EdgewiseError`."""

    path: Path
    values: Mapping[str, Value]

    def numbers(self, name: str) -> list[int]:
        """An array of whole numbers."""
        value = self._value(name)
        if (numbers := _whole(value)) is None:
            raise self._unexpected(name, "an array of whole numbers")
        return numbers

    def texts(self, name: str) -> list[str]:
        """A cell array of texts."""
        value = self._value(name)
        texts = [one for one in value if isinstance(one, str)] if isinstance(value, list) else []
        if not isinstance(value, list) or len(texts) != len(value):
            raise self._unexpected(name, "a cell array of texts")
        return texts

    def records(self, name: str, number: str, text: str) -> list[tuple[int, str]]:
        """An array of structures, of each the field ``number`` (whole) and the field ``text``."""
        value = self._value(name)
        columns = value if isinstance(value, dict) else {}
        found = []
        for one, words in zip(columns.get(number, ()), columns.get(text, ()), strict=False):
            numbers = _whole(one)
            if numbers is None or len(numbers) != 1 or not isinstance(words, str):
                break
            found.append((numbers[0], words))
        if not columns.keys() >= {number, text} or len(found) != len(columns[number]):
            raise self._unexpected(name, f"structures with a whole number {number!r} and a text {text!r} each")
        return found

    def _value(self, name: str) -> Value:
        if name not in self.values:
            raise EdgewiseError(
                f"{self.path} has no variable {name!r}, only {', '.join(sorted(self.values)) or 'none at all'}. "
                "Is it another file under this name?"
            )
        return self.values[name]

    def _unexpected(self, name: str, what: str) -> EdgewiseError:
        return EdgewiseError(f"The variable {name!r} of {self.path} is not {what}. Is it another file under this name?")


def read_mat(path: Path) -> Mat:
    """The variables of the file.  Raises `EdgewiseError` where it is cut off, damaged or of another kind."""
    try:
        if (size := path.stat().st_size) > LARGEST:
            raise _Damaged(f"it has {size / 1e6:.0f} MB, more than the {LARGEST / 1e6:.0f} MB that are read")
        return Mat(path, _variables(path.read_bytes()))
    except OSError as error:
        raise EdgewiseError(f"{path} cannot be read: {error.strerror or error}.") from error
    except _Damaged as error:
        raise EdgewiseError(f"{path} cannot be read: {error}. Download it again.") from error


def _variables(content: bytes) -> dict[str, Value]:
    if content.startswith(b"\x89HDF") or content.startswith(b"MATLAB 7.3"):
        raise _Damaged("it is of version 7.3 (HDF5), and version 7 or older is expected")
    mark = content[HEADER - 2 : HEADER]
    if len(content) < HEADER or mark not in (b"IM", b"MI"):
        raise _Damaged("it is no .mat file of level 5" if content else "it is empty")
    order: Order = "<" if mark == b"IM" else ">"
    values: dict[str, Value] = {}
    elements, room = _Elements(memoryview(content)[HEADER:], order), LARGEST
    while elements.left:
        kind, data = elements.next()
        if kind == COMPRESSED:
            data = memoryview(_inflated(data, room))
            room -= len(data)
            kind, data = _Elements(data, order).next()
        if kind != MATRIX:
            raise _Damaged(f"a variable is of the unknown kind {kind}")
        name, value = _array(data, order, 0)
        values[name] = value
    return values


class _Elements:
    """The pieces of a part of the file, one after the other: a kind and the bytes."""

    def __init__(self, data: memoryview, order: Order) -> None:
        self._data, self._order, self._at = data, order, 0

    @property
    def left(self) -> int:
        """Bytes that are still to come."""
        return len(self._data) - self._at

    def next(self) -> tuple[int, memoryview]:
        if self.left < TAG:
            raise _Damaged("it is cut off")
        kind, size = struct.unpack_from(f"{self._order}II", self._data, self._at)
        if kind >> 16:  # a small one: its length in the upper half, at most four bytes in the tag itself
            kind, size, begin, end = kind & 0xFFFF, kind >> 16, self._at + 4, self._at + TAG
        else:
            begin = self._at + TAG
            end = begin + (size if kind == COMPRESSED else -(-size // 8) * 8)
        if begin + size > min(end, len(self._data)):
            raise _Damaged("it is cut off")
        self._at = min(end, len(self._data))
        return kind, self._data[begin : begin + size]

    def sizes(self, kind: int) -> tuple[int, ...]:
        """The next piece, which must be a few whole numbers of 32 bits stored as ``kind``."""
        found, data = self.next()
        if found != kind or len(data) % 4 or len(data) > 4 * MOST_DIMS:
            raise _Damaged("the description of an array is damaged")
        return struct.unpack(f"{self._order}{len(data) // 4}{'i' if kind == INT32 else 'I'}", data)


def _array(data: memoryview, order: Order, depth: int) -> tuple[str, Value]:
    """Name and value of an array."""
    if not len(data):
        return "", ()
    if depth > DEEPEST:
        raise _Damaged(f"its cells are nested more than {DEEPEST} deep")
    elements = _Elements(data, order)
    flags, dims = elements.sizes(UINT32), elements.sizes(INT32)
    kind, name = elements.next()
    if len(flags) != 2 or kind not in (INT8, UINT8) or len(dims) < 2 or min(dims) < 0:
        raise _Damaged("the description of an array is damaged")
    return bytes(name).decode("latin-1"), _content(elements, flags[0], dims, order, depth)


def _content(elements: _Elements, flags: int, dims: tuple[int, ...], order: Order, depth: int) -> Value:
    content, number = flags & 0xFF, math.prod(dims)
    if content == CELL:
        return _members(elements, number, order, depth)
    if content == STRUCT:
        width, names = elements.sizes(INT32), bytes(elements.next()[1])
        if len(width) != 1 or width[0] < 1 or len(names) % width[0] or len(names) > width[0] * MOST_FIELDS:
            raise _Damaged("the names of a structure's fields are damaged")
        starts = range(0, len(names), width[0])
        fields = [names[at : at + width[0]].split(b"\0")[0].decode("latin-1") for at in starts]
        values = _members(elements, number * len(fields), order, depth)
        return {name: values[place :: len(fields)] for place, name in enumerate(fields)}
    if content == CHAR:
        return _text(*elements.next(), number, dims, order) if number else ""
    if not FIRST_NUMBER <= content <= LAST_NUMBER or flags & COMPLEX:
        raise _Damaged("it holds arrays that are sparse, complex or objects, which are not read here")
    array = _numbers(*elements.next(), order)
    if len(array) != number:
        raise _Damaged(f"an array of {number:,} numbers holds {len(array):,}")
    return array


def _members(elements: _Elements, number: int, order: Order, depth: int) -> list[Value]:
    """``number`` arrays, one after the other."""
    if number > elements.left // TAG:
        raise _Damaged("it is cut off")
    values = []
    for _ in range(number):
        kind, data = elements.next()
        if kind != MATRIX:
            raise _Damaged(f"there is a piece of kind {kind} where an array belongs")
        values.append(_array(data, order, depth + 1)[1])
    return values


def _text(kind: int, data: memoryview, number: int, dims: tuple[int, ...], order: Order) -> str:
    if kind not in TEXTS:
        raise _Damaged(f"a text is stored as the unknown kind {kind}")
    if max(dims) != number:
        raise _Damaged(f"it holds a table of {' x '.join(map(str, dims))} characters, not read here")
    encoding = TEXTS[kind]
    if encoding in ("utf-16", "utf-32"):
        encoding += "-le" if order == "<" else "-be"
    try:
        return bytes(data).decode(encoding)
    except UnicodeDecodeError as error:
        raise _Damaged(f"a text in it is damaged ({error.reason})") from error


def _numbers(kind: int, data: memoryview, order: Order) -> Numbers:
    if kind not in NUMBERS:
        raise _Damaged(f"numbers are stored as the unknown kind {kind}")
    size = struct.calcsize(order + NUMBERS[kind])
    if len(data) % size:
        raise _Damaged("it is cut off")
    return struct.unpack(f"{order}{len(data) // size}{NUMBERS[kind]}", data)


def _whole(value: "Value | None") -> list[int] | None:
    """The numbers, if they are whole."""
    if not isinstance(value, tuple) or not all(float(number).is_integer() for number in value):
        return None
    return [int(number) for number in value]


def _inflated(data: memoryview, room: int) -> bytes:
    machine = zlib.decompressobj()
    try:
        content = machine.decompress(data, room + 1)  # 0 would be no limit
    except zlib.error as error:
        raise _Damaged(f"a compressed part is damaged ({error})") from error
    if len(content) > room:
        raise _Damaged(f"it unpacks to more than the {LARGEST / 1e6:.0f} MB that are read")
    if not machine.eof:
        raise _Damaged("it is cut off")
    return content
