"""Layers that several sub-nets share: one weight and a mask for each of them; norms of each one's own.

Which sub-net computes is one object, `Active`, that all layers of a network hold: switching is one assignment.
"""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from edgewise.backbones.blocks import SameConv2d


@dataclass
class Active:
    """The sub-net that computes, by number; ``dense``: gradients reach the weights that it does not have, too."""

    index: int = 0
    dense: bool = False


def kept(weight: Tensor, mask: Tensor, active: Active) -> Tensor:
    """``weight`` where ``mask`` is true, and 0.  Keeps nothing for the backward pass but ``mask``.

    The gradient is masked as well, unless ``active.dense`` when backward runs: then it is the gradient with respect
    to the masked weight, straight through, which is what regrowth has to look at.
    """
    result: Tensor = _Kept.apply(weight, mask, active)  # type: ignore[no-untyped-call]
    return result


class _Kept(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, mask: Tensor, active: Active) -> Tensor:
        ctx.save_for_backward(mask)
        ctx.active = active
        return torch.where(mask, weight, 0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (mask,) = ctx.saved_tensors
        return grad if ctx.active.dense else torch.where(mask, grad, 0), None, None


class SharedConv2d(nn.Conv2d):
    """``nn.Conv2d`` that convolves with the active sub-net's part of its weight.

    ``masks`` (sub-nets, weights) are booleans, a row each.  Made from a layer that is there already, by `share`.
    """

    masks: Tensor
    active: Active

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        mask = self.masks[self.active.index].view(weight.shape)
        y: Tensor = super()._conv_forward(input, kept(weight, mask, self.active), bias)
        return y


class SharedSameConv2d(SharedConv2d, SameConv2d):
    """The same with TensorFlow's padding."""


class SharedLinear(nn.Linear):
    """``nn.Linear`` likewise."""

    masks: Tensor
    active: Active

    def forward(self, input: Tensor) -> Tensor:
        mask = self.masks[self.active.index].view(self.weight.shape)
        return F.linear(input, kept(self.weight, mask, self.active), self.bias)


Shared = SharedConv2d | SharedLinear
KINDS: dict[type[nn.Module], type[Shared]] = {
    nn.Conv2d: SharedConv2d,
    SameConv2d: SharedSameConv2d,
    nn.Linear: SharedLinear,
}
PLAIN: dict[type[nn.Module], type[nn.Module]] = {shared: plain for plain, shared in KINDS.items()}


def share(layer: nn.Conv2d | nn.Linear, sub_nets: int, active: Active) -> Shared:
    """Make ``layer``, one of `KINDS`, a shared one where it stands; every sub-net has all of its weights at first."""
    assert type(layer) in KINDS, type(layer).__name__
    layer.__class__ = KINDS[type(layer)]
    assert isinstance(layer, SharedConv2d | SharedLinear)
    layer.register_buffer("masks", torch.ones(sub_nets, layer.weight.numel(), dtype=torch.bool))
    layer.active = active
    return layer


def unshare(layer: Shared, mask: Tensor) -> None:
    """Make ``layer`` a plain one again, with the weights of ``mask`` and zeros."""
    with torch.no_grad():
        layer.weight.masked_fill_(~mask, 0)
    del layer.masks, layer.active
    layer.__class__ = PLAIN[type(layer)]  # type: ignore[assignment]


class PrivateNorm(nn.Module):
    """A norm for every sub-net in the place of one: weights, biases and statistics of their own.

    (N, C, …) to the same.  The dissertation does not say what the norms do; its released code has private ones, as
    slimmable networks have, and shared statistics ruin every sub-net (`recipes/subnets/collapse.py`).
    """

    def __init__(self, norm: nn.Module, sub_nets: int, active: Active) -> None:
        super().__init__()
        self.own = nn.ModuleList([norm, *(deepcopy(norm) for _ in range(sub_nets - 1))])
        self.active = active

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.own[self.active.index](x)
        return y


NORMS: Sequence[type[nn.Module]] = (nn.BatchNorm1d, nn.BatchNorm2d, nn.GroupNorm, nn.LayerNorm)
