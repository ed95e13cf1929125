"""A `Network` run by torch: what a packed file computes, where no other runtime is at hand."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgewise.compress.network import Add, Bend, Conv, Curve, Multiply, Network, Op, Packed, Pool, Subsample
from edgewise.layers.normalise import Normalise


class PackedNetwork(nn.Module):
    """Images (N, 3, S, S), bytes or normalised floats, to logits (N, classes).  Nothing in it trains.

    Weights are unpacked to floats and their scales multiplied in: a float copy of the network, for evaluation.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network, self.normalise = network, Normalise(network.preprocess)
        last = {operand: number for number, step in enumerate(network.steps) for operand in step.operands}
        self._forget = [[v for v, reader in last.items() if reader == number] for number in range(len(network.steps))]
        for number, step in enumerate(network.steps):
            if isinstance(step.op, Conv):
                self.register_buffer(f"weight{number}", _weight(step.op), persistent=False)
                self.register_buffer(f"offset{number}", step.op.offset, persistent=False)
        self.eval()

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        values: dict[int, Tensor] = {0: self.normalise(images)}
        for number, step in enumerate(self.network.steps):
            values[number + 1] = self._run(number, step.op, *(values[operand] for operand in step.operands))
            for operand in self._forget[number]:
                del values[operand]
        return values[len(self.network.steps)].flatten(1)

    def _run(self, number: int, op: Op, x: Tensor, other: Tensor | None = None) -> Tensor:
        match op:
            case Conv():
                top, bottom, left, right = op.padding
                padded = F.pad(x, (left, right, top, bottom))
                weight, offset = self.get_buffer(f"weight{number}"), self.get_buffer(f"offset{number}")
                y: Tensor = F.conv2d(padded, weight, offset, op.stride, groups=op.groups)
                return _bent(y, op.curve)
            case Add():
                assert other is not None
                return _bent(x + other, op.curve)
            case Multiply():
                assert other is not None
                return x * other
            case Pool(kind="max"):
                return F.max_pool2d(x, op.kernel, op.stride, op.padding)
            case Pool():
                return F.avg_pool2d(x, op.kernel, op.stride, op.padding, count_include_pad=False)
            case Subsample():
                return F.pad(x[:, :, :: op.stride, :: op.stride], (0, 0, 0, 0, op.before, op.after))
            case Bend():
                return _bent(x, op.curve)


def dense(conv: Conv) -> Tensor:
    """Its weight (N, C / groups, K, K) as float32, without its scale."""
    return conv.weight.ternary.weight() if isinstance(conv.weight, Packed) else conv.weight


def _weight(conv: Conv) -> Tensor:
    return dense(conv) * conv.scale[:, None, None, None]


def _bent(x: Tensor, curve: Curve) -> Tensor:
    match curve:
        case "none":
            return x
        case "relu":
            return F.relu(x)
        case "relu6":
            return F.relu6(x)
        case "hswish":
            return F.hardswish(x)
        case "hsigmoid":
            return F.hardsigmoid(x)
