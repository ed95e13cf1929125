"""Trained pixels upon a sample that fills the source's image: a frame or a patch (Bahng et al., 2022)."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgewise.core.settings import check, setting
from edgewise.reprogram.base import Program
from edgewise.reprogram.space import Space
from edgewise.reprogram.transforms.canvas import fitting_sides


@dataclass(frozen=True)
class Prompt:
    """Pixels added to a sample that fills the whole image: in a frame along its border, or in a square patch.

    ``x~ = clip(resize(x) + M * W)``; the sample is resized to the source's image, and the sum is clipped to its
    range.  W starts at 0, so training starts from what the source says of the sample itself.
    """

    name: ClassVar[str] = "prompt"
    shape: Literal["frame", "patch", "all"] = setting("frame", "which pixels train", choices=("frame", "patch", "all"))
    width: int = setting(30, "of the frame, or the patch's side, in pixels of an image of 224", low=1, high=224)
    decay: float = setting(0.0, "times the sum of squares is added to the loss", low=0, high=1e3)

    def __post_init__(self) -> None:
        check(self)

    def build(self, samples: Space, takes: Space) -> Program:
        _, (_, height, width) = fitting_sides(samples, takes, "a prompt")
        across = max(1, round(self.width * min(height, width) / 224))
        mask = torch.ones(1, height, width)
        if self.shape == "frame":
            mask[:, across : height - across, across : width - across] = 0
        elif self.shape == "patch":
            mask.zero_()[:, :across, :across] = 1
        return PromptProgram(takes, mask, self.decay)


class PromptProgram(nn.Module):
    """The trained pixels of `Prompt`, where ``mask`` (1, H, W) is 1."""

    def __init__(self, gives: Space, mask: Tensor, decay: float) -> None:
        super().__init__()
        self.gives, self.decay = gives, decay
        self.mask: Tensor
        self.register_buffer("mask", mask, persistent=False)
        self.weight = nn.Parameter(torch.zeros(gives.shape))

    def canvas(self) -> Tensor:
        """The program (C, H, W) on the range's middle, for people to look at."""
        middle = (self.gives.low + self.gives.high) / 2
        return (middle + self.mask * self.weight).clamp(self.gives.low, self.gives.high)

    def forward(self, samples: Tensor) -> Tensor:
        """(N, 1 or C, h, w) to (N, C, H, W)."""
        size = self.gives.shape[1:]
        if samples.shape[-2:] != size:
            samples = F.interpolate(samples, size, mode="bilinear", antialias=True)
        return (samples + self.mask * self.weight).clamp(self.gives.low, self.gives.high)

    def penalty(self) -> Tensor:
        """``decay`` times the sum of squares of the pixels in use."""
        return self.decay * (self.mask * self.weight).square().sum()
