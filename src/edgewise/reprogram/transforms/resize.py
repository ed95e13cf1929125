"""A sample whose size on the canvas trains too (Tsao et al., AutoVP, ICLR 2024)."""

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgewise.core.settings import check, setting
from edgewise.reprogram.base import Program
from edgewise.reprogram.space import Space
from edgewise.reprogram.transforms.canvas import Bound, fitting_sides, painted

LEAST = 0.1
"""Smallest share of the canvas that a sample may shrink to."""


@dataclass(frozen=True)
class Resize:
    """The sample stands in the middle of a canvas of trained pixels, as large as training makes it.

    ``x~ = m(s) * x(u / s) + (1 - m(s)) * P(W)``: at a canvas point u, measured from the middle, stands the sample's
    point u / s (bilinear, the sample keeping its proportions); m(s) is how much of a pixel the sample covers, so that a
    pixel on its edge says which way to grow.  s is the share of the canvas that its longer side fills, 0.1 to 1, by
    a sigmoid.  W and P are `Pad`'s.

    Deviation: AutoVP scales by a factor that may leave the canvas and cuts what does.
    """

    name: ClassVar[str] = "resize"
    share: float = setting(0.5, "share of the canvas that a sample fills at first", low=0.15, high=0.95)
    grid: int = setting(0, "numbers along a side of the program, 0: one for every pixel", low=0, high=4096)
    bound: Bound = setting("tanh", "how pixels are kept in the source's range", choices=("tanh", "clip"))
    decay: float = setting(0.0, "times the sum of squares is added to the loss", low=0, high=1e3)

    def __post_init__(self) -> None:
        check(self)

    def build(self, samples: Space, takes: Space) -> Program:
        (_, height, width), (_, high, wide) = fitting_sides(samples, takes, "a resize program")
        zoom = min(high / height, wide / width)
        return ResizeProgram(takes, (height * zoom, width * zoom), self.share, self.grid, self.bound, self.decay)


class ResizeProgram(nn.Module):
    """The trained canvas and size of `Resize`; ``whole`` is a sample's (height, width) in pixels at a share of 1."""

    def __init__(
        self, gives: Space, whole: tuple[float, float], share: float, grid: int, bound: Bound, decay: float
    ) -> None:
        super().__init__()
        self.gives, self.whole, self.bound, self.decay = gives, whole, bound, decay
        self.weight = nn.Parameter(torch.zeros((gives.shape[0], grid, grid) if grid else gives.shape))
        self.size = nn.Parameter(torch.tensor((share - LEAST) / (1 - LEAST)).logit())

    def share(self) -> Tensor:
        """Share of the canvas that a sample's longer side fills, 0.1 to 1."""
        return LEAST + (1 - LEAST) * self.size.sigmoid()

    def canvas(self) -> Tensor:
        """The program without a sample (C, H, W), within the source's range; what people look at."""
        return painted(self.weight, self.gives, self.bound)

    def forward(self, samples: Tensor) -> Tensor:
        """(N, 1 or C, h, w) within the source's range to (N, C, H, W)."""
        most = [max(1, round(side)) for side in self.whole]
        if samples.shape[-2] > most[0] or samples.shape[-1] > most[1]:
            samples = F.interpolate(samples, most, mode="bilinear", antialias=True)
        samples = samples.clamp(self.gives.low, self.gives.high)
        (down, over_rows), (along, over_columns) = (self._places(axis) for axis in (0, 1))
        points = torch.stack((along.expand(len(down), -1), down[:, None].expand(-1, len(along))), 2)
        points = points.expand(len(samples), -1, -1, -1)
        resized = F.grid_sample(samples, points, mode="bilinear", padding_mode="border", align_corners=False)
        covered = over_rows[:, None] * over_columns
        mixed = covered * resized + (1 - covered) * self.canvas()
        return mixed.clamp(self.gives.low, self.gives.high)  # sums of shares that are 1 but for rounding

    def _places(self, axis: int) -> tuple[Tensor, Tensor]:
        """Of the canvas's rows (0) or columns (1): where in the sample, -1 to 1, and how much of them it covers."""
        side, half = self.gives.shape[1 + axis], self.share() * self.whole[axis] / 2
        places = torch.arange(side, dtype=half.dtype) + (1 - side) / 2
        return places / half, (half - places.abs() + 0.5).clamp(0, 1)

    def penalty(self) -> Tensor:
        """``decay`` times the sum of the program's squares."""
        return self.decay * self.weight.square().sum()
