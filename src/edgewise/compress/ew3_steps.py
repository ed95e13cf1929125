"""Steps of a network as records of an ``.ew3`` file; the layout is in docs/compress.md, byte for byte.

A record starts with its kind, a byte for what the kind needs, and the number of its first operand.  What follows is a
multiple of 4 bytes, so every record and every vector of floats starts at one.
"""

import struct

import numpy as np
from torch import Tensor

from edgewise.compress.ew3_codes import packed_codes, stored_groups, unpacked_codes
from edgewise.compress.ew3_cursor import MOST_IN_FILTER, Cursor, damaged
from edgewise.compress.network import Add, Bend, Conv, Curve, Multiply, Op, Packed, Pool, Subsample
from edgewise.compress.shape_rules import weight_shape
from edgewise.compress.ternary import Ternary
from edgewise.core.errors import EdgewiseError

DENSE, TERNARY, ADD, MULTIPLY, MAX_POOL, MEAN_POOL, SUBSAMPLE, BEND = range(1, 9)
CURVES: tuple[Curve, ...] = ("none", "relu", "relu6", "hswish", "hsigmoid")

HEAD = struct.Struct("<BBH")  # kind, curve (or stride), first operand
CONV = struct.Struct("<HHBBBBBBBBHH")  # N, C / groups, kernel, stride, padding, groups, slab
PAIR = struct.Struct("<HH")
POOL = struct.Struct("<HHHHHH")  # kernel, stride, padding
ALPHA = struct.Struct("<f")

Read = tuple[Op, tuple[int, ...]]


def record(op: Op, operands: tuple[int, ...]) -> bytes:
    """The bytes of one step.  `struct.error` where a number is too large for its place."""
    first = operands[0]
    match op:
        case Conv():
            return _conv_record(op, first)
        case Add():
            return HEAD.pack(ADD, CURVES.index(op.curve), first) + PAIR.pack(operands[1], 0)
        case Multiply():
            return HEAD.pack(MULTIPLY, 0, first) + PAIR.pack(operands[1], 0)
        case Pool():
            kind = MAX_POOL if op.kind == "max" else MEAN_POOL
            return HEAD.pack(kind, 0, first) + POOL.pack(*op.kernel, *op.stride, *op.padding)
        case Subsample():
            return HEAD.pack(SUBSAMPLE, op.stride, first) + PAIR.pack(op.before, op.after)
        case Bend():
            return HEAD.pack(BEND, CURVES.index(op.curve), first)


def read_record(cursor: Cursor) -> Read:
    """The step that starts here; raises `EdgewiseError` for one that cannot be."""
    kind, small, first = cursor.numbers(HEAD)
    match kind:
        case 1 | 2:
            return _read_conv(cursor, kind == TERNARY, _curve(small)), (first,)
        case 3:
            return Add(_curve(small)), (first, cursor.numbers(PAIR)[0])
        case 4:
            return Multiply(), (first, cursor.numbers(PAIR)[0])
        case 5 | 6:
            up, across, down, along, above, beside = cursor.numbers(POOL)
            return Pool("max" if kind == MAX_POOL else "mean", (up, across), (down, along), (above, beside)), (first,)
        case 7:
            return Subsample(small, *cursor.numbers(PAIR)), (first,)
        case 8:
            return Bend(_curve(small)), (first,)
    raise damaged(f"byte {cursor.at - HEAD.size} names a step of kind {kind}, and there are 1 to {BEND}")


def record_size(op: Op) -> int:
    """Bytes of one step, by the formula of docs/compress.md."""
    match op:
        case Conv(weight=Packed(ternary, slab)):
            filters, channels, height, width = ternary.codes.shape
            groups, group = filters * channels // slab, slab * height * width
            stored = int(ternary.codes.reshape(groups, group).any(1).sum())
            return 24 + 8 * filters + 4 * -(-(-(-groups // 8) + -(-stored * group // 4)) // 4)
        case Conv(weight=Tensor()):
            filters, channels, height, width = weight_shape(op)
            return 20 + 8 * filters + 4 * filters * channels * height * width
        case Pool():
            return 16
        case Bend():
            return 4
        case _:
            return 8


def _conv_record(conv: Conv, first: int) -> bytes:
    filters, channels, height, width = weight_shape(conv)
    weight = conv.weight
    if channels * height * width > MOST_IN_FILTER:
        raise EdgewiseError(f"its filters have {channels * height * width:,} weights, and {MOST_IN_FILTER:,} fit")
    kind, slab = (TERNARY, weight.slab) if isinstance(weight, Packed) else (DENSE, 0)
    head = HEAD.pack(kind, CURVES.index(conv.curve), first)
    head += CONV.pack(filters, channels, height, width, *conv.stride, *conv.padding, conv.groups, slab)
    vectors = _floats(conv.scale) + _floats(conv.offset)
    if not isinstance(weight, Packed):
        return head + vectors + _floats(weight)
    bits = b"".join(packed_codes(weight.ternary.codes, slab))
    return head + ALPHA.pack(weight.ternary.alpha) + vectors + bits + bytes(-len(bits) % 4)


def _read_conv(cursor: Cursor, ternary: bool, curve: Curve) -> Conv:
    filters, channels, height, width, *rest = cursor.numbers(CONV)
    down, across, top, bottom, left, right, groups, slab = rest
    alpha = float(cursor.floats(1)) if ternary else 0.0
    scale, offset = cursor.floats(filters), cursor.floats(filters)
    shape, one = (filters, channels, height, width), channels * height * width
    cursor.claim(filters, one)
    weight: Packed | Tensor
    if ternary:
        if not slab or channels % slab:
            raise damaged(f"groups of {slab} channels do not divide {channels} in the layer before byte {cursor.at}")
        bitmap = cursor.take(-(-filters * channels // slab // 8))
        stored = int(stored_groups(bitmap, filters * channels // slab).sum())
        codes = cursor.take(-(-stored * slab * height * width // 4))
        try:
            weight = Packed(Ternary(unpacked_codes(bitmap, codes, shape, slab), alpha), slab)
        except ValueError as fault:
            raise damaged(f"before byte {cursor.at} {fault}") from fault
        cursor.align()
    else:
        weight = cursor.floats(filters * one).reshape(shape)
    return Conv(weight, (down, across), (top, bottom, left, right), groups, scale, offset, curve)


def _curve(number: int) -> Curve:
    if number >= len(CURVES):
        raise damaged(f"a step has the curve {number}, and there are 0 to {len(CURVES) - 1}")
    return CURVES[number]


def _floats(values: Tensor) -> bytes:
    if not bool(values.isfinite().all()):
        raise EdgewiseError("some of its numbers are not finite")
    return np.ascontiguousarray(values.numpy(), "<f4").tobytes()
