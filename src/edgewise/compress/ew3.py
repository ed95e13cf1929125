"""``.ew3``: a `Network` as a file that is as small as it says and runs where it lies.

    header   80 bytes: magic, version, length, CRC-32, counts, how a photo is normalised
    names    of the classes and the steps, each without what it has in common with the one before
    steps    one record after the other: a few numbers, and for a convolution its vectors and weights

All numbers are little-endian, all vectors of floats start at multiples of 4, nothing refers to a place in the file: a C
program maps it and walks it once.  docs/compress.md has it byte for byte, with an example.
"""

import struct
import zlib
from collections.abc import Iterable
from math import prod
from pathlib import Path

from edgewise.compress.ew3_cursor import Cursor, damaged, most_weights
from edgewise.compress.ew3_steps import read_record, record, record_size
from edgewise.compress.network import Conv, Network, Step
from edgewise.compress.shape_rules import shapes, weight_shape
from edgewise.core.errors import EdgewiseError
from edgewise.core.preprocess import Preprocess

MAGIC, VERSION = b"EW3\0", 1
HEADER = struct.Struct("<4sIIIIIII6d")  # magic, version, length, CRC; side, classes, steps, bytes of names; mean, std
CHECKED = 16  # the CRC-32 is that of everything from here on


def to_bytes(network: Network) -> bytes:
    """The file that holds ``network``.

    Raises `EdgewiseError` where the steps do not fit together, or a number does not fit into the format.
    """
    shapes(network)
    preprocess, names = network.preprocess, _packed_names(network)
    records = [_record(number, step) for number, step in enumerate(network.steps, 1)]
    length = HEADER.size + len(names) + sum(map(len, records))
    weights = sum(prod(weight_shape(step.op)) for step in network.steps if isinstance(step.op, Conv))
    if weights > most_weights(length):
        raise EdgewiseError(
            f"The network has {weights:,} weights, and a file of {length:,} bytes may hold {most_weights(length):,}: "
            "either it is too large, or nearly nothing of it is stored."
        )
    counts = (preprocess.size, len(network.classes), len(network.steps), len(names))
    rest = b"".join([HEADER.pack(b"", 0, 0, 0, *counts, *preprocess.mean, *preprocess.std)[CHECKED:], names, *records])
    return struct.pack("<4sIII", MAGIC, VERSION, length, zlib.crc32(rest)) + rest


def from_bytes(content: bytes) -> Network:
    """The network that ``content`` holds.

    Nothing in it is believed: lengths are compared with what is there before anything is made, and what was read must
    be written in the same bytes again.  Raises `EdgewiseError` where it is no such file, of another version, cut off or
    changed.
    """
    cursor = _opened(content)
    size, classes, steps, length_of_names, *normalisation = cursor.numbers(struct.Struct("<IIII6d"))
    try:
        preprocess = Preprocess.from_json({"size": size, "mean": normalisation[:3], "std": normalisation[3:]})
    except EdgewiseError as error:
        raise damaged(str(error).rstrip(".")) from error
    names = Cursor(cursor.take(length_of_names))
    class_names, step_names = _read_names(names, classes), _read_names(names, steps)
    read = tuple(Step(*read_record(cursor), name) for name in step_names)
    network = Network(preprocess, class_names, read)
    try:
        shapes(network)
    except EdgewiseError as error:
        raise damaged(str(error).rstrip(".")) from error
    if to_bytes(network) != content:
        raise damaged("it holds bits that mean nothing")
    return network


def size_of(network: Network) -> int:
    """Bytes of its file, by the formula of docs/compress.md."""
    names = len(_packed_names(network))
    return HEADER.size + names + sum(record_size(step.op) for step in network.steps)


def read_network(path: Path) -> Network:
    """The network in the file ``path``; raises `EdgewiseError` with its name."""
    try:
        return from_bytes(path.read_bytes())
    except OSError as error:
        raise EdgewiseError(f"{path} cannot be read: {error.strerror or error}.") from error
    except EdgewiseError as error:
        raise EdgewiseError(f"{path}: {error}") from error


def _opened(content: bytes) -> Cursor:
    """A cursor after the checksum."""
    if content[:4] != MAGIC:
        raise EdgewiseError("This is not a packed network: an .ew3 file starts with the letters EW3.")
    if len(content) < HEADER.size:
        raise damaged(f"it has {len(content)} bytes, and its header alone has {HEADER.size}")
    version, length, checksum = struct.unpack("<III", content[4:CHECKED])
    if version != VERSION:
        raise EdgewiseError(
            f"The packed network is of version {version}, and this Edgewise reads version {VERSION}. "
            "Open it with the Edgewise that wrote it, or pack it again."
        )
    if length != len(content):
        raise damaged(f"it has {len(content)} bytes and was written with {length}")
    if zlib.crc32(content[CHECKED:]) != checksum:
        raise damaged("its checksum is another")
    cursor = Cursor(content)
    cursor.take(CHECKED)
    return cursor


def _record(number: int, step: Step) -> bytes:
    try:
        return record(step.op, step.operands)
    except (struct.error, EdgewiseError) as fault:
        reason = str(fault) if isinstance(fault, EdgewiseError) else "a number of it is too large for the format"
        raise EdgewiseError(
            f"Step {number} ({step.name}) cannot be packed: {reason}. Channels, groups and the sides of pools go up to "
            "65,535; kernels, strides and padding of convolutions up to 255."
        ) from fault


def _packed_names(network: Network) -> bytes:
    parts = [*_shortened(network.classes), *_shortened([step.name for step in network.steps])]
    packed = b"".join(parts)
    return packed + bytes(-len(packed) % 4)


def _shortened(names: Iterable[str]) -> Iterable[bytes]:
    """Each name as a byte, how much of the one before it repeats, the rest of it, and a byte of 0."""
    before = b""
    for name in names:
        try:
            text = name.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError as error:
            raise EdgewiseError(f"The name {name!r} cannot be written as UTF-8; choose another.") from error
        if b"\0" in text:
            raise EdgewiseError(f"The name {name!r} has a character of code 0 in it; choose another.")
        same = min(_shared(text, before), 255)
        yield bytes([same]) + text[same:] + b"\0"
        before = text


def _shared(one: bytes, other: bytes) -> int:
    """How many bytes both start with."""
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _read_names(cursor: Cursor, count: int) -> tuple[str, ...]:
    names: list[bytes] = []
    for _ in range(count):
        same = cursor.take(1)[0]
        names.append((names[-1] if names else b"")[:same] + cursor.text())
    return tuple(name.decode("utf-8", "surrogateescape") for name in names)
