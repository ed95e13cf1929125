"""A `Network` followed in float, step by step: every value, and what it was before its curve."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from edgewise.compress import Add, Bend, Conv, Curve, Multiply, Network, Op, Packed, Pool, Subsample
from edgewise.layers.normalise import normalise

CURVES = {"none": lambda x: x, "relu": F.relu, "relu6": F.relu6, "hswish": F.hardswish, "hsigmoid": F.hardsigmoid}


@torch.no_grad()
def followed(network: Network, images: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """(before its curve, after) of every value, the image first; ``images`` (N, 3, S, S) are bytes."""
    values = [normalise(images, network.preprocess)]
    yield values[0], values[0]
    for step in network.steps:
        before = applied(step.op, *(values[operand] for operand in step.operands))
        values.append(CURVES[curve_of(step.op)](before))
        yield before, values[-1]


def curve_of(op: Op) -> Curve:
    """What the step bends its result with."""
    return op.curve if isinstance(op, Conv | Add | Bend) else "none"


def weight_of(conv: Conv) -> Tensor:
    """(N, C / groups, K, K) float32, alpha and scale multiplied in."""
    weight = conv.weight.ternary.weight() if isinstance(conv.weight, Packed) else conv.weight
    return weight * conv.scale[:, None, None, None]


def applied(op: Op, x: Tensor, other: Tensor | None = None) -> Tensor:
    """The step without its curve."""
    match op:
        case Conv():
            top, bottom, left, right = op.padding
            padded = F.pad(x, (left, right, top, bottom))
            return F.conv2d(padded, weight_of(op), op.offset, op.stride, groups=op.groups)
        case Add():
            return x + _there(other)
        case Multiply():
            return x * _there(other)
        case Pool(kind="max"):
            return F.max_pool2d(x, op.kernel, op.stride, op.padding)
        case Pool():
            return F.avg_pool2d(x, op.kernel, op.stride, op.padding, count_include_pad=False)
        case Subsample():
            return F.pad(x[:, :, :: op.stride, :: op.stride], (0, 0, 0, 0, op.before, op.after))
        case Bend():
            return x


def _there(x: Tensor | None) -> Tensor:
    assert x is not None
    return x
