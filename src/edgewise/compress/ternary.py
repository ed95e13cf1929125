"""Weights of -1, 0 and +1 times one number a layer (dissertation, Section 2.1.1, after He et al.'s ternarisation).

    threshold  delta_l = 0.05 max |W_l|                                     made anew at every use
    codes      sign(w) where |w| > delta_l, else 0                          Eq. 2.1
    alpha_l    the mean of |w| over the weights that are not 0              Eq. 2.2; 0 where none is left
    weight     alpha_l codes

Full-precision weights are trained.  The step has no useful slope: the gradient with respect to the ternary weight
passes to the full-precision one unscaled (straight-through, Eq. 2.3), and not where |w| >= 1, as in He's released code
(the dissertation does not say).  Threshold and alpha have no gradient of their own.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from edgewise.backbones.blocks import SameConv2d

SHARE = 0.05  # of the largest weight
BOUND = 1.0  # a full-precision weight this large gets no gradient


@dataclass(frozen=True)
class Ternary:
    """``alpha`` times ``codes``, int8 of -1, 0 and +1 in the weight's shape (N, C, K, K) or (N, C)."""

    codes: Tensor
    alpha: float

    def weight(self) -> Tensor:
        """float32."""
        return self.codes * torch.tensor(self.alpha)


def codes_of(weight: Tensor) -> Tensor:
    """The signs, in the weight's type, of the weights above the threshold; 0 elsewhere."""
    magnitude = weight.abs()
    return weight.sign() * (magnitude > SHARE * magnitude.max())


def alpha_of(weight: Tensor, codes: Tensor) -> Tensor:
    """The mean magnitude of the weights whose code is not 0; 0 where there is none."""
    left = codes.abs()
    return (weight.abs() * left).sum() / left.sum().clamp(min=1)


@torch.no_grad()
def ternary(weight: Tensor) -> Ternary:
    """What the layer computes with; float32 alpha, so that a file that holds it gives the same weights, bit for bit."""
    codes = codes_of(weight)
    return Ternary(codes.to(torch.int8), float(alpha_of(weight, codes).float()))


def ternarised(weight: Tensor) -> Tensor:
    """``alpha codes`` with the straight-through gradient; keeps nothing for the backward pass but ``weight``."""
    result: Tensor = _Ternarise.apply(weight)  # type: ignore[no-untyped-call]
    return result


class _Ternarise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor) -> Tensor:
        ctx.save_for_backward(weight)
        codes = codes_of(weight)
        return codes * alpha_of(weight, codes)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (weight,) = ctx.saved_tensors
        return grad.masked_fill(weight.abs() >= BOUND, 0)


class TernaryConv2d(nn.Conv2d):
    """``nn.Conv2d`` that convolves with its ternarised weight; parameters and their names are as before.

    ``slab`` input channels of a filter, with their whole kernels, are one group: what a processing element computes.
    Made from a layer that is there already, by `put_ternary`.
    """

    slab: int

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        y: Tensor = super()._conv_forward(input, ternarised(weight), bias)
        return y

    def ternary(self) -> Ternary:
        """What it computes with now."""
        return ternary(self.weight.detach())


class TernarySameConv2d(TernaryConv2d, SameConv2d):
    """The same with TensorFlow's padding."""


class TernaryLinear(nn.Linear):
    """``nn.Linear`` likewise; a group is ``slab`` inputs of one output."""

    slab: int

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input, ternarised(self.weight), self.bias)

    def ternary(self) -> Ternary:
        """What it computes with now."""
        return ternary(self.weight.detach())


KINDS: dict[type[nn.Module], type[TernaryConv2d | TernaryLinear]] = {
    nn.Conv2d: TernaryConv2d,
    SameConv2d: TernarySameConv2d,
    nn.Linear: TernaryLinear,
}


def put_ternary(layer: nn.Conv2d | nn.Linear, slab: int) -> None:
    """Make ``layer`` compute with ternary weights where it stands, with its names, weights and hooks.

    It is one of `KINDS`, not of a class derived from them; ``slab`` divides its input channels.
    """
    assert type(layer) in KINDS, type(layer).__name__
    layer.__class__ = KINDS[type(layer)]
    assert isinstance(layer, (TernaryConv2d, TernaryLinear))
    layer.slab = slab
