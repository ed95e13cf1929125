"""A sample amid trained pixels (Elsayed et al., ICLR 2019; Tsai et al., BAR, ICML 2020)."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgewise.core.errors import UsageError
from edgewise.core.settings import check, setting
from edgewise.reprogram.base import Program
from edgewise.reprogram.space import Space
from edgewise.reprogram.transforms.canvas import Bound, fitting_sides, painted


@dataclass(frozen=True)
class Pad:
    """The sample stands unchanged amid a canvas of trained pixels.

    ``x~ = pad(x) + M * P(W)`` (survey, Section 3), where the mask M is 1 around the sample and 0 on it, and
    P keeps pixels within the source's range: ``tanh`` scaled to it, or ``clip``.  Grey samples become colour ones.

    ``size`` is the sample's side on the canvas (0: its own; it is resized otherwise).  With a ``grid`` of n the
    program has n x n numbers for each colour, spread smoothly over the canvas: few enough to be estimated without
    gradients.  ``decay`` times the sum of W's squares is the penalty.  Deviation: released code applies the
    bound before the mask, which adds half the range on the sample.
    """

    name: ClassVar[str] = "pad"
    size: int = setting(0, "side of the sample on the canvas in pixels, 0: its own", low=0, high=4096)
    grid: int = setting(0, "numbers along a side of the program, 0: one for every pixel", low=0, high=4096)
    place: Literal["centre", "corner"] = setting("centre", "where the sample stands", choices=("centre", "corner"))
    bound: Bound = setting("tanh", "how pixels are kept in the source's range", choices=("tanh", "clip"))
    decay: float = setting(0.0, "times the sum of squares is added to the loss", low=0, high=1e3)

    def __post_init__(self) -> None:
        check(self)

    def build(self, samples: Space, takes: Space) -> Program:
        (_, height, width), (_, high, wide) = fitting_sides(samples, takes, "a pad program")
        if self.size:
            longest = max(height, width)
            height, width = max(1, round(height * self.size / longest)), max(1, round(width * self.size / longest))
        if height > high or width > wide:
            raise UsageError(
                f"A sample of {width} x {height} pixels does not fit on the source's {wide} x {high}: let it be "
                f"smaller (pad's size), or take another source."
            )
        top, left = ((high - height) // 2, (wide - width) // 2) if self.place == "centre" else (0, 0)
        return PadProgram(takes, (top, left, height, width), self.grid, self.bound, self.decay)


class PadProgram(nn.Module):
    """The trained canvas of `Pad`; ``box`` is (top, left, height, width) of the sample on it.

    Starts at 0: grey of the range's middle.
    """

    def __init__(self, gives: Space, box: tuple[int, int, int, int], grid: int, bound: Bound, decay: float) -> None:
        super().__init__()
        self.gives, self.box, self.bound, self.decay = gives, box, bound, decay
        shape = (gives.shape[0], grid, grid) if grid else gives.shape
        self.weight = nn.Parameter(torch.zeros(shape))

    def canvas(self) -> Tensor:
        """The program without a sample (C, H, W), within the source's range; what people look at."""
        return painted(self.weight, self.gives, self.bound)

    def forward(self, samples: Tensor) -> Tensor:
        """(N, 1 or C, h, w) within the source's range to (N, C, H, W)."""
        top, left, height, width = self.box
        if samples.shape[-2:] != (height, width):
            samples = F.interpolate(samples, (height, width), mode="bilinear", antialias=True)
        samples = samples.clamp(self.gives.low, self.gives.high)
        filled = self.canvas().expand(len(samples), -1, -1, -1).clone()
        filled[:, :, top : top + height, left : left + width] = samples
        return filled

    def penalty(self) -> Tensor:
        """``decay`` times the sum of squares."""
        return self.decay * self.weight.square().sum()
