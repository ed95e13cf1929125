"""Convolution with weight standardisation (Qiao et al., 2019), without the gain.

Each filter has its mean subtracted and is divided by (unbiased standard deviation + 1e-5), in the
forward pass, so that the optimizer moves the raw weights.
"""

import torch.nn.functional as F
from torch import Tensor, nn

EPS = 1e-5


def standardised(weight: Tensor) -> Tensor:
    """``weight`` (out, in / groups, k, k) with zero mean and unit deviation per filter."""
    flat = weight.flatten(1)
    centred = flat - flat.mean(1, keepdim=True)
    return (centred / (centred.std(1, keepdim=True) + EPS)).view_as(weight)


class StandardisedConv2d(nn.Conv2d):
    """``nn.Conv2d`` whose filters are standardised before every use."""

    def forward(self, input: Tensor) -> Tensor:
        weight = standardised(self.weight)
        return F.conv2d(input, weight, self.bias, self.stride, self.padding, self.dilation, self.groups)
