"""Convolution with weight standardisation (Qiao et al., 2019), without the gain.

Each filter has its mean subtracted and is divided by (unbiased standard deviation + 1e-5), in the
forward pass, so that the optimizer moves the raw weights.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from edgewise.native import standardise, standardise_grad

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
        return _filters(standardise(_rows(weight), EPS), weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (weight,) = ctx.saved_tensors
        return _filters(standardise_grad(_rows(grad), _rows(weight), EPS), weight)


def _rows(weight: Tensor) -> Tensor:
    """Filters as rows, channels last: a view where the weight is laid out so, as in training."""
    return weight.permute(0, 2, 3, 1).reshape(len(weight), -1).contiguous()


def _filters(rows: Tensor, weight: Tensor) -> Tensor:
    """`_rows` undone."""
    filters, channels, height, width = weight.shape
    return rows.view(filters, height, width, channels).permute(0, 3, 1, 2)


class StandardisedConv2d(nn.Conv2d):
    """``nn.Conv2d`` whose filters are standardised before every use."""

    def forward(self, input: Tensor) -> Tensor:
        weight = standardised(self.weight)
        return F.conv2d(input, weight, self.bias, self.stride, self.padding, self.dilation, self.groups)
