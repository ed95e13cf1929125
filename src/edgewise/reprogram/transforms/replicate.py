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
    paper masks it; they report little difference).  ``copies`` 0 takes one copy at the start (Yen et al., 2023).
    A share ``dropout`` of W's numbers is 0 at every training step, and never otherwise.
    """

    name: ClassVar[str] = "replicate"
    copies: int = setting(1, "how often the series occurs", low=0, high=10_000)
    dropout: float = setting(0.4, "share of the trained signal left out at each training step", low=0, high=0.95)
    decay: float = setting(0.0, "times the sum of squares is added to the loss", low=0, high=1e3)

    def __post_init__(self) -> None:
        check(self)

    def build(self, samples: Space, takes: Space) -> Program:
        if len(samples.shape) != 1 or len(takes.shape) != 1:
            raise UsageError(f"A sample is {samples.shape} and the source reads {takes.shape}; both must be series.")
        (length,), (whole,) = samples.shape, takes.shape
        room = whole // length
        if room < max(1, self.copies):
            raise UsageError(
                f"{max(1, self.copies)} copies of {length} samples do not fit into the source's {whole}: there is "
                f"room for {room}."
            )
        apart = room // max(1, self.copies) * length
        return ReplicateProgram(takes, [i * apart for i in range(max(1, self.copies))], self.dropout, self.decay)


class ReplicateProgram(nn.Module):
    """The trained signal of `Replicate`; copies begin at ``starts``."""

    def __init__(self, gives: Space, starts: list[int], dropout: float, decay: float) -> None:
        super().__init__()
        self.gives, self.starts, self.dropout, self.decay = gives, starts, dropout, decay
        self.weight = nn.Parameter(torch.zeros(gives.shape))

    def forward(self, samples: Tensor) -> Tensor:
        """(N, L) to (N, T)."""
        signal = F.dropout(self.weight, self.dropout, self.training).expand(len(samples), -1).clone()
        for start in self.starts:
            signal[:, start : start + samples.shape[1]] += samples
        return signal.clamp(self.gives.low, self.gives.high)

    def penalty(self) -> Tensor:
        """``decay`` times the sum of squares."""
        return self.decay * self.weight.square().sum()
