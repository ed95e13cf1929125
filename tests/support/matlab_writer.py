"""Write MATLAB's level 5 files as MATLAB does: whole numbers in as few bytes as they take, variables compressed."""

import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Texts:
    """A cell array of texts."""

    texts: Sequence[str]


@dataclass(frozen=True)
class Records:
    """An array of structures with these fields, one number or text each."""

    fields: Sequence[str]
    rows: Sequence[Sequence[int | str]]


Variable = Sequence[int] | str | Texts | Records
STORED = {"u1": 2, "u2": 4, "i4": 5, "f8": 9}


def write_mat(path: Path, variables: Mapping[str, Variable], compressed: bool = True, order: str = "<") -> Path:
    """Write ``variables``; ``order`` ``">"`` is that of big-endian machines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(
        header(order) + b"".join(variable(name, value, compressed, order) for name, value in variables.items())
    )
    return path


def header(order: str = "<") -> bytes:
    """The first 128 bytes."""
    text = b"MATLAB 5.0 MAT-file, Platform: GLNXA64, Created on: Sat Dec 14 14:13:07 2013"
    return text.ljust(116) + bytes(8) + struct.pack(f"{order}H", 0x0100) + (b"IM" if order == "<" else b"MI")


def variable(name: str, value: Variable, compressed: bool = True, order: str = "<") -> bytes:
    """One variable as it stands in the file."""
    content = array(name, value, order)
    if not compressed:
        return content
    packed = zlib.compress(content)
    return struct.pack(f"{order}II", 15, len(packed)) + packed  # not padded, unlike everything else


def array(name: str, value: Variable, order: str = "<") -> bytes:
    """An array with its name, as one element."""
    if isinstance(value, str):
        parts = [*_begin(4, (1, len(value)), name, order), element(4, value.encode(f"utf-16-{_end(order)}"), order)]
    elif isinstance(value, Texts):
        parts = [*_begin(1, (1, len(value.texts)), name, order), *(array("", text, order) for text in value.texts)]
    elif isinstance(value, Records):
        width = max(map(len, value.fields)) + 1
        names = b"".join(field.encode().ljust(width, b"\0") for field in value.fields)
        parts = [
            *_begin(2, (1, len(value.rows)), name, order),
            element(5, struct.pack(f"{order}i", width), order),
            element(1, names, order),
            *(array("", one if isinstance(one, str) else [one], order) for row in value.rows for one in row),
        ]
    else:
        form = next(form for form in STORED if np.array_equal(np.array(value).astype(form), value))
        stored = np.array(value).astype(order + form).tobytes()
        parts = [*_begin(6, (1, len(value)), name, order), element(STORED[form], stored, order)]
    return element(14, b"".join(parts), order)


def element(kind: int, content: bytes, order: str = "<") -> bytes:
    """Kind, length and content; up to four bytes stand in the length's place."""
    if kind != 14 and 1 <= len(content) <= 4:
        return struct.pack(f"{order}I", len(content) << 16 | kind) + content.ljust(4, b"\0")
    return struct.pack(f"{order}II", kind, len(content)) + content + bytes(-len(content) % 8)


def _begin(content: int, dims: tuple[int, int], name: str, order: str) -> list[bytes]:
    flags, sizes = struct.pack(f"{order}II", content, 0), struct.pack(f"{order}ii", *dims)
    return [element(6, flags, order), element(5, sizes, order), element(1, name.encode(), order)]


def _end(order: str) -> str:
    return "le" if order == "<" else "be"
