"""Shapes of every value of a `Network`, and what is wrong where its steps do not fit together."""

from collections.abc import Sequence

from edgewise.compress.network import Add, Bend, Conv, Multiply, Network, Op, Packed, Pool, Shape, Step, Subsample
from edgewise.core.errors import EdgewiseError

MOST_VALUES = 1 << 28  # numbers in one map: more is no photo, and 32 bits still count its bytes
OPERANDS: dict[type[Op], int] = {Conv: 1, Add: 2, Multiply: 2, Pool: 1, Subsample: 1, Bend: 1}


def shapes(network: Network) -> tuple[Shape, ...]:
    """(C, H, W) of every value: the image's, then those of the steps.

    Raises `EdgewiseError` naming the first step that reads what is not there yet or does not fit its operands, and
    where the last value is not one logit for every class.
    """
    size = network.preprocess.size
    known: list[Shape] = [(3, size, size)]
    for step in network.steps:
        known.append(_result(step, known))
    if known[-1] != (len(network.classes), 1, 1):
        raise EdgewiseError(f"The network ends in {_said(known[-1])}, and it has {len(network.classes)} classes.")
    return tuple(known)


def result_of(op: Op, given: Sequence[Shape]) -> Shape:
    """The shape of ``op``'s result; `ValueError` says what does not fit."""
    channels, height, width = given[0]
    match op:
        case Conv():
            return _convolved(op, given[0])
        case Add():
            if given[0] != given[1]:
                raise ValueError(f"adds {_said(given[0])} and {_said(given[1])}, which are of two shapes")
            return given[0]
        case Multiply():
            if given[1] != (channels, 1, 1):
                raise ValueError(f"multiplies {_said(given[0])} by {_said(given[1])}, not by a number for each channel")
            return given[0]
        case Pool():
            return channels, *_pooled(op, height, width)
        case Subsample():
            if op.stride < 1 or min(op.before, op.after) < 0:
                raise ValueError(f"takes every {op.stride}-th pixel and adds {op.before} and {op.after} channels")
            return channels + op.before + op.after, -(-height // op.stride), -(-width // op.stride)
        case Bend():
            return given[0]


def weight_shape(conv: Conv) -> tuple[int, int, int, int]:
    """(N, C / groups, K, K) of its weight, packed or not."""
    weight = conv.weight.ternary.codes if isinstance(conv.weight, Packed) else conv.weight
    filters, channels, height, width = weight.shape
    return filters, channels, height, width


def _result(step: Step, known: Sequence[Shape]) -> Shape:
    number = len(known)
    where = f"Step {number} ({step.name})"
    if len(step.operands) != OPERANDS[type(step.op)]:
        raise EdgewiseError(f"{where} has {len(step.operands)} operands; it takes {OPERANDS[type(step.op)]}.")
    if not all(0 <= operand < number for operand in step.operands):
        raise EdgewiseError(f"{where} reads the values {list(step.operands)}; only those before it, 0 to {number - 1}.")
    try:
        channels, height, width = shape = result_of(step.op, [known[operand] for operand in step.operands])
    except ValueError as fault:
        raise EdgewiseError(f"{where} {fault}.") from fault
    if min(shape) < 1 or channels * height * width > MOST_VALUES:
        raise EdgewiseError(f"{where} gives {_said(shape)}; 1 to {MOST_VALUES:,} numbers are possible.")
    return shape


def _convolved(conv: Conv, given: Shape) -> Shape:
    filters, channels, *kernel = weight_shape(conv)
    if conv.groups < 1 or filters % conv.groups or channels * conv.groups != given[0]:
        raise ValueError(f"takes {channels * conv.groups} channels in {conv.groups} groups and is given {given[0]}")
    if isinstance(conv.weight, Packed) and (conv.weight.slab < 1 or channels % conv.weight.slab):
        raise ValueError(f"has groups of {conv.weight.slab} channels, which do not divide {channels}")
    if conv.scale.shape != (filters,) or conv.offset.shape != (filters,):
        raise ValueError(f"has {filters} filters and {conv.scale.numel()} scales and {conv.offset.numel()} offsets")
    if min(conv.stride) < 1 or min(conv.padding) < 0:
        raise ValueError(f"has the stride {conv.stride} and the padding {conv.padding}")
    top, bottom, left, right = conv.padding
    height = _windows(given[1] + top + bottom, kernel[0], conv.stride[0])
    return filters, height, _windows(given[2] + left + right, kernel[1], conv.stride[1])


def _pooled(pool: Pool, height: int, width: int) -> tuple[int, int]:
    if min(*pool.kernel, *pool.stride) < 1 or min(pool.padding) < 0:
        raise ValueError(f"has the kernel {pool.kernel}, the stride {pool.stride} and the padding {pool.padding}")
    if any(2 * padding > kernel for padding, kernel in zip(pool.padding, pool.kernel, strict=True)):
        raise ValueError(f"has the padding {pool.padding}, more than half of its kernel {pool.kernel}")
    return (
        _windows(height + 2 * pool.padding[0], pool.kernel[0], pool.stride[0]),
        _windows(width + 2 * pool.padding[1], pool.kernel[1], pool.stride[1]),
    )


def _windows(length: int, kernel: int, stride: int) -> int:
    if length < kernel:
        raise ValueError(f"has a kernel of {kernel} for a side of {length}")
    return (length - kernel) // stride + 1


def _said(shape: Shape) -> str:
    return " x ".join(map(str, shape))
