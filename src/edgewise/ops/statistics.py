"""Mean and variance of a batch: the only part of a batch norm that mixes images."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from edgewise.native import affine_clamp, moments
from edgewise.ops.base import as_maps, as_rows


class BatchStatistics(torch.autograd.Function):
    """(N, C, H, W) to mean (C,) and biased variance (C,).  Keeps x.

    With `ops.elementwise.Affine` this is batch norm in training: there the images are apart again,
    so everything after it, up to the next statistics, can be computed anew from x in pieces.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, variance = moments(as_rows(x))
        ctx.save_for_backward(x, mean)
        return mean, variance

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, to_mean: Tensor, to_variance: Tensor) -> Tensor:
        x, mean = ctx.saved_tensors
        count = x.numel() // x.shape[1]
        # x - mean first: far from zero, slope · x - slope · mean would lose the digits that count.
        each = as_rows(x)
        gradient = torch.empty_like(each)
        affine_clamp(each, mean, to_variance * (2 / count), to_mean / count, gradient)
        return as_maps(gradient)
