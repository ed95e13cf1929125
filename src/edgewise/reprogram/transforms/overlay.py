"""A row of a table as blocks of pixels upon a trained image (Chen et al., 2021, for fraud detection)."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgewise.core.errors import UsageError
from edgewise.core.settings import check, setting
from edgewise.reprogram.base import Program
from edgewise.reprogram.space import Space
from edgewise.reprogram.transforms.canvas import canvas_sides, raster, within


@dataclass(frozen=True)
class Overlay:
    """Each number of a row is a block of pixels; the blocks stand as a square amid and upon a trained image.

    ``x~ = P(W + sum_f z_f * V_f)``: W (C, H, W) is the image, V_f (C, b, b) the trained pattern of feature f at its
    block, and P the tanh scaled to the source's range.  V starts at 1, a grey block as bright as its number; W at 0.
    The numbers z are taken as they are where their `Space` has no range: standardise the columns first (mean 0,
    deviation 1, as scikit-learn's StandardScaler does); with a range, it becomes -1 to 1.  ``decay`` times the
    sum of W's squares is the penalty.

    The survey (Table 2) says no more than that features are laid over an image; the rest is ours.
    """

    name: ClassVar[str] = "overlay"
    block: int = setting(16, "side of a feature's block in pixels", low=1, high=1024)
    decay: float = setting(0.0, "times the sum of squares is added to the loss", low=0, high=1e3)

    def __post_init__(self) -> None:
        check(self)

    def build(self, samples: Space, takes: Space) -> Program:
        _, height, width = canvas_sides(takes, "an overlay")
        if len(samples.shape) != 1 or samples.symbols:
            raise UsageError(f"A sample is of shape {samples.shape}; an overlay needs rows of numbers.")
        (features,) = samples.shape
        columns = math.ceil(math.sqrt(features))
        rows = math.ceil(features / columns)
        if columns * self.block > width or rows * self.block > height:
            raise UsageError(
                f"{features} numbers as blocks of {self.block} pixels take {columns * self.block} x "
                f"{rows * self.block}, and the source's image is {width} x {height}: take smaller blocks."
            )
        return OverlayProgram(takes, samples, (rows, columns), self.block, self.decay)


class OverlayProgram(nn.Module):
    """The trained image and patterns of `Overlay`; the blocks stand in ``grid`` (rows, columns) of them."""

    def __init__(self, gives: Space, samples: Space, grid: tuple[int, int], block: int, decay: float) -> None:
        super().__init__()
        bounded = math.isfinite(samples.low) and math.isfinite(samples.high)
        reach = (samples.high - samples.low) / 2 if bounded else 1.0
        self.zero, self.unit = (samples.low + samples.high) / 2 if bounded else 0.0, reach or 1.0
        self.gives, self.grid, self.decay = gives, grid, decay
        self.weight = nn.Parameter(torch.zeros(gives.shape))
        self.pattern = nn.Parameter(torch.ones(samples.shape[0], gives.shape[0], block, block))

    def forward(self, samples: Tensor) -> Tensor:
        """(N, features) to (N, C, H, W)."""
        rows, columns = self.grid
        numbers = (samples - self.zero) / self.unit
        blocks = numbers[:, :, None, None, None] * self.pattern
        upon = raster(F.pad(blocks, (0, 0, 0, 0, 0, 0, 0, rows * columns - blocks.shape[1])), columns)
        _, high, wide = self.gives.shape
        top, left = (high - upon.shape[2]) // 2, (wide - upon.shape[3]) // 2
        upon = F.pad(upon, (left, wide - left - upon.shape[3], top, high - top - upon.shape[2]))
        return within(self.weight + upon, self.gives, "tanh")

    def penalty(self) -> Tensor:
        """``decay`` times the sum of the image's squares."""
        return self.decay * self.weight.square().sum()
