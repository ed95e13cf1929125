"""What programs on images share: sides that fit, trained numbers as pixels, and patches in raster order."""

import math
from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from edgewise.core.errors import UsageError
from edgewise.reprogram.space import Space

Bound = Literal["tanh", "clip"]
Sides = tuple[int, int, int]


def image_sides(space: Space, what: str, program: str) -> Sides:
    """Colours, height and width of a ``space`` of images.  Raises `UsageError` where it holds anything else."""
    if len(space.shape) != 3 or space.symbols:
        raise UsageError(f"{what} of shape {space.shape}; {program} needs images (colours, height, width).")
    channels, height, width = space.shape
    return channels, height, width


def canvas_sides(takes: Space, program: str) -> Sides:
    """`image_sides` of what a source reads.  Raises `UsageError` where its pixels have no least or largest number."""
    sides = image_sides(takes, "The source reads", program)
    if not (math.isfinite(takes.low) and math.isfinite(takes.high)):
        raise UsageError(
            f"The source reads pixels from {takes.low:g} to {takes.high:g}; {program} needs a range to keep them in."
        )
    return sides


def fitting_sides(samples: Space, takes: Space, program: str) -> tuple[Sides, Sides]:
    """Sides of the task's images and of the source's; grey ones go with any colours.  Raises `UsageError` otherwise."""
    canvas, own = canvas_sides(takes, program), image_sides(samples, "A sample is", program)
    if own[0] not in (1, canvas[0]):
        raise UsageError(f"A sample has {own[0]} colours and the source reads {canvas[0]}.")
    return own, canvas


def painted(weight: Tensor, gives: Space, bound: Bound) -> Tensor:
    """Trained numbers (C, h, w) as pixels (C, H, W) `within` a range; fewer than pixels are spread out smoothly."""
    if weight.shape[1:] != gives.shape[1:]:
        weight = F.interpolate(weight[None], gives.shape[1:], mode="bilinear", align_corners=True)[0]
    return within(weight, gives, bound)


def within(numbers: Tensor, gives: Space, bound: Bound) -> Tensor:
    """Any numbers as numbers of ``gives``: 0 is the middle of its range, and 1 (``clip``) or infinity its end."""
    middle, half = (gives.low + gives.high) / 2, (gives.high - gives.low) / 2
    return middle + half * numbers.tanh() if bound == "tanh" else (middle + half * numbers).clamp(gives.low, gives.high)


def raster(patches: Tensor, columns: int) -> Tensor:
    """Patches (N, rows * ``columns``, C, p, p) as images (N, C, rows * p, ``columns`` * p), row by row."""
    count, cells, channels, side, _ = patches.shape
    rows = cells // columns
    grid = patches.view(count, rows, columns, channels, side, side).permute(0, 3, 1, 4, 2, 5)
    return grid.reshape(count, channels, rows * side, columns * side)
