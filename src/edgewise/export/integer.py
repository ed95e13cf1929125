"""The C program in numpy: the same integers, bit for bit.  The reference of the tests and of every export."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from edgewise.compress import Add, Bend, Conv, Multiply, Pool, Subsample
from edgewise.export.quantise import IntegerNetwork, IntegerStep
from edgewise.export.rules import Ints, Rule


def run(network: IntegerNetwork, photo: NDArray[np.uint8]) -> Ints:
    """The logits (classes,) of one photo (S, S, 3), as integers; times the last value's scale they are the logits."""
    values = [np.stack([network.pixels[colour][photo[:, :, colour]] for colour in range(3)])]
    for step in network.steps:
        values.append(_result(step, network.bits, *(values[operand] for operand in step.step.operands)))
    return values[-1].reshape(-1)


def _result(step: IntegerStep, bits: int, x: Ints, other: Ints | None = None) -> Ints:
    op = step.step.op
    if isinstance(op, Subsample):
        kept: Ints = np.pad(x[:, :: op.stride, :: op.stride], ((op.before, op.after), (0, 0), (0, 0)))
        return kept
    if isinstance(op, Pool) and op.kind == "max":
        found: Ints = _windows(x, op, np.iinfo(np.int64).min).max((3, 4))
        return found
    y = np.clip(_before_the_clamp(step, bits, x, other), step.low, step.high)
    return y if step.table is None else _looked_up(step.table, y, bits)


def _before_the_clamp(step: IntegerStep, bits: int, x: Ints, other: Ints | None) -> Ints:
    op, rule = step.step.op, step.rule
    match op:
        case Conv():
            assert step.weight is not None
            return rule.apply(_convolved(x, step.weight, op))
        case Add():
            assert other is not None
            first, second = rule.multiplier
            added: Ints = (x * first + other * second + rule.offset[0]) >> rule.shift[0]
            return added
        case Multiply():
            assert other is not None
            return _by_one(rule, x * other)
        case Pool():
            return _by_one(rule, _sums(x, op))
        case Bend():
            return _by_one(rule, x)
    raise AssertionError(op)


def _by_one(rule: Rule, sums: Ints) -> Ints:
    found: Ints = rule.apply(sums[None])[0]
    return found


def _convolved(x: Ints, weight: Ints, op: Conv) -> Ints:
    top, bottom, left, right = op.padding
    padded = np.pad(x, ((0, 0), (top, bottom), (left, right)))
    windows = sliding_window_view(padded, weight.shape[2:], (1, 2))[:, :: op.stride[0], :: op.stride[1]]
    parts = zip(np.split(windows, op.groups), np.split(weight, op.groups), strict=True)
    # sums of doubles are exact up to 2^53
    sums = [np.einsum("cyxij,ncij->nyx", part.astype(float), w.astype(float), optimize=True) for part, w in parts]
    result: Ints = np.rint(np.concatenate(sums)).astype(np.int64)
    return result


def _windows(x: Ints, op: Pool, outside: int) -> Ints:
    y, x_ = op.padding
    padded = np.pad(x, ((0, 0), (y, y), (x_, x_)), constant_values=outside)
    windows: Ints = sliding_window_view(padded, op.kernel, (1, 2))[:, :: op.stride[0], :: op.stride[1]]
    return windows


def _sums(x: Ints, op: Pool) -> Ints:
    """Of windows; one that is cut off counts as a whole one with its mean, rounded."""
    sums, counts = _windows(x, op, 0).sum((3, 4)), _windows(np.ones_like(x), op, 0).sum((3, 4))
    whole = op.kernel[0] * op.kernel[1]
    result: Ints = np.where(counts == whole, sums, (2 * sums * whole + counts) // (2 * counts))
    return result


def _looked_up(table: Ints, y: Ints, bits: int) -> Ints:
    if bits == 8:
        exact: Ints = table[y + 128]
        return exact
    place, part = (y + 32768) >> 8, (y + 32768) & 255
    between: Ints = (table[place] * (256 - part) + table[place + 1] * part + 128) >> 8
    return between
