"""A row of symbols as an image of patches, one trained patch a symbol (Neekhara et al., WACV 2022)."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgewise.core.errors import UsageError
from edgewise.core.settings import check, setting
from edgewise.data.images import open_image
from edgewise.reprogram.base import Program
from edgewise.reprogram.space import Space
from edgewise.reprogram.transforms.canvas import canvas_sides, raster


@dataclass(frozen=True)
class TokenPatch:
    """Each symbol is a trained square of pixels; a sample's symbols stand in raster order on the source's image.

    ``x~ = clip(base + alpha * r * tanh(W[symbol]))``, r being the source's range, high - low.  The base is grey of its
    middle, and ``alpha`` 0.5 reaches from there over the whole range: the patches are all there is.  The paper's
    bounded variant is a photo as ``base`` and 0.2.  W (V, C, p, p) starts normal, drawn from ``seed``.  ``decay`` times
    the sum of W's squares is the penalty (theirs is 1e-4).

    Behind the last symbol stands the patch of symbol 0, which is nothing, and trains like any other.  Deviation: the
    released code repeats the last symbol there.  Pixels that are left over at the right and below show the base.
    """

    name: ClassVar[str] = "token-patch"
    patch: int = setting(16, "side of a patch in pixels", low=1, high=1024)
    alpha: float = setting(0.5, "share of the source's range that a patch may add or take away", low=1e-3, high=1)
    base: str = setting("", "file of the picture that the patches stand upon, empty: grey", start=True)
    decay: float = setting(0.0, "times the sum of squares is added to the loss", low=0, high=1e3)
    seed: int = setting(0, "of the patches as they start", low=0, high=2**31)

    def __post_init__(self) -> None:
        check(self)

    def build(self, samples: Space, takes: Space) -> Program:
        channels, height, width = canvas_sides(takes, "a token-patch program")
        if len(samples.shape) != 1 or not samples.symbols:
            raise UsageError(
                f"A sample is of shape {samples.shape}; a token-patch program needs rows of symbols: whole numbers."
            )
        rows, columns, (length,) = height // self.patch, width // self.patch, samples.shape
        if length > rows * columns:
            raise UsageError(
                f"A sample of {length} symbols does not fit on the source's {width} x {height} pixels, where "
                f"{rows * columns} patches of {self.patch} pixels have room: take smaller patches, or cut the samples."
            )
        random = torch.Generator().manual_seed(self.seed)
        patches = torch.randn(samples.symbols, channels, self.patch, self.patch, generator=random)
        return TokenPatchProgram(takes, _base(self.base, takes), patches, self.alpha, self.decay)


class TokenPatchProgram(nn.Module):
    """The trained patches of `TokenPatch`, (V, C, p, p), upon ``base`` (C, H, W)."""

    def __init__(self, gives: Space, base: Tensor, patches: Tensor, alpha: float, decay: float) -> None:
        super().__init__()
        self.gives, self.reach, self.decay = gives, alpha * (gives.high - gives.low), decay
        self.base: Tensor
        self.register_buffer("base", base)
        self.weight = nn.Parameter(patches)

    def forward(self, samples: Tensor) -> Tensor:
        """(N, L) symbols to (N, C, H, W)."""
        _, high, wide = self.gives.shape
        shape = self.weight.shape[1:]
        rows, columns = high // shape[1], wide // shape[2]
        symbols = F.pad(samples, (0, rows * columns - samples.shape[1]))
        table = self.reach * self.weight.flatten(1).tanh()
        upon = raster(F.embedding(symbols, table).unflatten(2, shape), columns)
        upon = F.pad(upon, (0, wide - upon.shape[3], 0, high - upon.shape[2]))
        return (self.base + upon).clamp(self.gives.low, self.gives.high)

    def penalty(self) -> Tensor:
        """``decay`` times the sum of squares."""
        return self.decay * self.weight.square().sum()


def _base(file: str, takes: Space) -> Tensor:
    """The picture, or grey: (C, H, W) within the source's range."""
    channels, height, width = takes.shape
    if not file:
        return torch.full(takes.shape, (takes.low + takes.high) / 2)
    with open_image(Path(file)) as image:
        fitted = image.convert("L" if channels == 1 else "RGB").resize((width, height))
    pixels = torch.from_numpy(np.array(fitted, dtype=np.float32) / 255).view(height, width, -1).permute(2, 0, 1)
    if len(pixels) != channels:
        raise UsageError(f"A picture has 1 or 3 colours, and the source reads {channels}: leave base empty.")
    return takes.low + (takes.high - takes.low) * pixels.contiguous()
