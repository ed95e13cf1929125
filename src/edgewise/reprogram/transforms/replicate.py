"""A series several times over, plus a trained signal (Yang et al., Voice2Series, ICML 2021)."""

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgewise.core.errors import UsageError
from edgewise.core.settings import check, setting
from edgewise.reprogram.base import Program
from edgewise.reprogram.space import Space


@dataclass(frozen=True)
class Replicate:
    """Copies of a series at even distances in a longer one, plus a trained signal of its length.

    With ``copies`` m and a series of L samples in a signal of T: there is room for floor(T / L), the copies start at
    multiples of floor(room / m) * L, the rest is 0, and W (T,) is added everywhere, as the authors' code does (the
    paper masks it; they report little difference).  ``copies`` 0 takes one copy at the start: for samples that are as
    long as the source's (Yen et al., Interspeech 2023), where all that is learnt is W.

    W starts as ``noise``, uniform between its negative and itself: theirs is sqrt(6 / (T + 1)), 0.02 for a second.
    It must not be 0 where a spectrum is taken of silence, since a power has no slope there.  A share ``dropout`` of
    W's numbers is 0 at every training step, and never otherwise (in released code also when it predicts).
    """

    name: ClassVar[str] = "replicate"
    copies: int = setting(1, "how often the series occurs", low=0, high=10_000)
    dropout: float = setting(0.4, "share of the trained signal left out at each training step", low=0, high=0.95)
    noise: float = setting(0.02, "largest number of the signal as it starts, 0: silence", low=0, high=1e3)
    decay: float = setting(0.0, "times the sum of squares is added to the loss", low=0, high=1e3)
    seed: int = setting(0, "of the noise", low=0, high=2**31)

    def __post_init__(self) -> None:
        check(self)

    def build(self, samples: Space, takes: Space) -> Program:
        if len(samples.shape) != 1 or len(takes.shape) != 1:
            raise UsageError(f"A sample is {samples.shape} and the source reads {takes.shape}; both must be series.")
        (length,), (whole,) = samples.shape, takes.shape
        room, copies = whole // length, max(1, self.copies)
        if room < copies:
            raise UsageError(
                f"{copies} copies of {length} samples do not fit into the source's {whole}: there is room for {room}."
            )
        signal = self.noise * (2 * torch.rand(whole, generator=torch.Generator().manual_seed(self.seed)) - 1)
        return ReplicateProgram(takes, copies, room // copies * length, signal, self.dropout, self.decay)


class ReplicateProgram(nn.Module):
    """The trained signal of `Replicate`; ``copies`` begin ``apart`` numbers from each other."""

    def __init__(self, gives: Space, copies: int, apart: int, signal: Tensor, dropout: float, decay: float) -> None:
        super().__init__()
        self.gives, self.copies, self.apart, self.dropout, self.decay = gives, copies, apart, dropout, decay
        self.weight = nn.Parameter(signal)

    def forward(self, samples: Tensor) -> Tensor:
        """(N, L) to (N, T)."""
        spaced = F.pad(samples, (0, self.apart - samples.shape[1])).repeat(1, self.copies)
        series = F.pad(spaced, (0, len(self.weight) - spaced.shape[1]))
        signal = F.dropout(self.weight, self.dropout, self.training)
        return (series + signal).clamp(self.gives.low, self.gives.high)

    def penalty(self) -> Tensor:
        """``decay`` times the sum of squares."""
        return self.decay * self.weight.square().sum()
