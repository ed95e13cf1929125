"""Convolution with weight standardisation (Qiao et al., 2019), without the gain.

Each filter has its mean subtracted and is divided by (unbiased standard deviation + 1e-5), in the
forward pass, so that the optimizer moves the raw weights.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

EPS = 1e-5


def standardised(weight: Tensor) -> Tensor:
    """``weight`` (out, in / groups, k, k) with zero mean and unit deviation per filter.

    Keeps nothing for the backward pass but the weight itself, which exists anyway; written out in
    torch's own functions it would keep four more tensors of the weight's size.
    """
    result: Tensor = _Standardise.apply(weight)  # type: ignore[no-untyped-call]
    return result


class _Standardise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor) -> Tensor:
        ctx.save_for_backward(weight)
        centred, deviation = _centred(weight)
        return _filters(centred.div_(deviation + EPS), weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        """With c = w - mean(w) and s its deviation: dc = g / (s + e) - c · sum(g c) / ((n - 1) s (s + e)²)."""
        (weight,) = ctx.saved_tensors
        centred, deviation = _centred(weight)
        flat, wide = _rows(grad), deviation + EPS
        along = (flat * centred).sum(1, keepdim=True) / ((centred.shape[1] - 1) * deviation * wide.square())
        to_centred = flat / wide
        to_centred -= centred.mul_(along)
        return _filters(to_centred.sub_(to_centred.mean(1, keepdim=True)), weight)


def _centred(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Filters as rows without their mean, and their unbiased standard deviations."""
    flat = _rows(weight)
    centred = flat - flat.mean(1, keepdim=True)
    # written out: torch's own `std` takes ten times as long
    return centred, centred.square().sum(1, keepdim=True).div_(centred.shape[1] - 1).sqrt_()


def _rows(weight: Tensor) -> Tensor:
    """Filters as rows, channels last: a view where the weight is laid out so, as in training."""
    return weight.permute(0, 2, 3, 1).reshape(len(weight), -1)


def _filters(rows: Tensor, weight: Tensor) -> Tensor:
    """`_rows` undone."""
    filters, channels, height, width = weight.shape
    return rows.view(filters, height, width, channels).permute(0, 3, 1, 2)


class StandardisedConv2d(nn.Conv2d):
    """``nn.Conv2d`` whose filters are standardised before every use."""

    def forward(self, input: Tensor) -> Tensor:
        weight = standardised(self.weight)
        return F.conv2d(input, weight, self.bias, self.stride, self.padding, self.dilation, self.groups)
