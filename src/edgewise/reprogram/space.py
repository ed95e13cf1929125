"""What a model reads: the shape of one sample and the range of its numbers."""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from edgewise.core.errors import UsageError


@dataclass(frozen=True)
class Space:
    """Samples of ``shape``, such as (3, 224, 224) for colour images, with numbers from ``low`` to ``high``.

    Where ``symbols`` is not 0 a sample is a row of whole numbers below it: tokens of a vocabulary, of which 0
    means that nothing stands there.  Where there is a ``table`` (V, d), a sample is a row of vectors (length, d)
    in place of V symbols whose own vectors the table holds; nothing stands where a vector is all zeros.
    """

    shape: tuple[int, ...]
    low: float = -math.inf
    high: float = math.inf
    symbols: int = 0
    table: Tensor | None = field(default=None, compare=False, repr=False)

    @property
    def numbers(self) -> int:
        """How many numbers a sample has."""
        return math.prod(self.shape)

    def check(self, samples: Tensor, whose: str) -> None:
        """Raise `UsageError` where a batch of ``samples`` lies outside; ``whose`` names what made them."""
        if tuple(samples.shape[1:]) != self.shape:
            raise UsageError(f"{whose} is of shape {tuple(samples.shape[1:])}; the model reads {self.shape}.")
        if samples.numel() == 0:
            return
        least, most = extremes(samples)
        low, high = (0, self.symbols - 1) if self.symbols else (self.low, self.high)
        if not (math.isfinite(least) and math.isfinite(most)):
            raise UsageError(f"{whose} holds numbers that are not finite.")
        if least < low or most > high:
            raise UsageError(f"{whose} has numbers from {least:g} to {most:g}; the model reads {low:g} to {high:g}.")


def numbers(samples: Tensor) -> Tensor:
    """``samples`` as a program reads them: bytes are colours from 0 to 1, everything else is what it is."""
    return samples / 255 if samples.dtype == torch.uint8 else samples


def extremes(samples: Tensor) -> tuple[float, float]:
    """The least and the largest number of a batch, which has one at least."""
    least, most = samples.detach().aminmax()
    return float(numbers(least)), float(numbers(most))
