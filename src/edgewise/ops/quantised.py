"""A weight in 8 bits: symmetric, one scale per output channel."""

import torch
from torch import Tensor

LEVELS = 127
# Channels below this are nothing but zeros; it also keeps a scale away from denormal numbers.
SMALLEST = 2.0**-100


def quantised(weight: Tensor) -> tuple[Tensor, Tensor]:
    """``weight`` (O, …), float32 or float64, as int8 levels (O, …) in -127 to 127 and a scale (O,) of its dtype.

    ``levels · scale`` is within half a scale of the weight, and the scale is the channel's largest
    magnitude / 127, rounded up to 16 binary digits.  A level has 7, so their product is exact in
    float32, and what was dequantised quantises to the very same levels and scale again.

    Raises `ValueError` when a weight is not finite.
    """
    largest = weight.detach().flatten(1).abs().amax(1).to(torch.float32)
    if not bool(largest.isfinite().all()):
        raise ValueError("a weight is not a finite number")
    bits = (largest / LEVELS).clamp_min_(SMALLEST).view(torch.int32)
    scale = ((bits + 0xFF) & ~0xFF).view(torch.float32).to(weight.dtype)
    levels = (weight.detach() / _per_channel(scale, weight)).round_().clamp_(-LEVELS, LEVELS)
    return levels.to(torch.int8), scale


def dequantised(levels: Tensor, scale: Tensor) -> Tensor:
    """``levels · scale``, a new tensor of the scale's dtype.

    Converted first and multiplied in place: a product of two dtypes would make the floats twice.
    """
    return levels.to(scale.dtype).mul_(_per_channel(scale, levels))


def _per_channel(scale: Tensor, weight: Tensor) -> Tensor:
    return scale.view(-1, *(1 for _ in weight.shape[1:]))
