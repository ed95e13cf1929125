"""Trained vectors among a text's own tokens (Hambardzumyan et al., WARP, ACL 2021)."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgewise.core.errors import UsageError
from edgewise.core.settings import check, setting
from edgewise.reprogram.base import Program
from edgewise.reprogram.space import Space
from edgewise.reprogram.table import drawn_like, table_of, vectors_of


@dataclass(frozen=True)
class PromptTokens:
    """Trained vectors before, between and after the segments of a sample, which keep their own vectors.

    A sample is a row of symbols of the source's own vocabulary (L,), or segments of them (S, L), such as a question
    and its answer: ``before`` vectors, the first segment, ``between`` vectors, the next segment, and so on, and then
    ``after`` vectors.  The source reads vectors (a space with a ``table``) and leaves out the places where nothing
    stands, so short segments leave no gap.

    All start at the vector of one symbol (``mask``), at the mean of all (``mean``), or at random ones with the mean and
    deviation of the table (``normal``).  Deviation: the paper's source predicts a [MASK] that stands in the
    template; here the source's own features are read, by `Verbaliser`.
    """

    name: ClassVar[str] = "prompt-tokens"
    before: int = setting(5, "trained vectors before the first segment", low=0, high=4096)
    between: int = setting(5, "trained vectors between two segments", low=0, high=4096)
    after: int = setting(5, "trained vectors after the last segment", low=0, high=4096)
    init: Literal["mask", "mean", "normal"] = setting("mask", "what they start at", choices=("mask", "mean", "normal"))
    mask: int = setting(103, "the symbol whose vector they start at; 103 is BERT's [MASK]", low=1, high=2**31)
    seed: int = setting(0, "of random vectors", low=0, high=2**31)

    def __post_init__(self) -> None:
        check(self)

    def build(self, samples: Space, takes: Space) -> Program:
        table = table_of(takes, "a program of prompt tokens")
        _own_symbols(samples, len(table))
        segments = 1 if len(samples.shape) == 1 else samples.shape[0]
        counts = (self.before, *[self.between] * (segments - 1), self.after)
        if not sum(counts):
            raise UsageError(
                f"No vector would train: before {self.before}, between {self.between} (segments: {segments}), "
                f"after {self.after}."
            )
        length, room = samples.numbers + sum(counts), takes.shape[0]
        if length > room:
            raise UsageError(
                f"{samples.numbers} symbols of a sample and {sum(counts)} trained vectors are {length}, and the source "
                f"reads {room}: let one of them be fewer."
            )
        if self.init == "mask" and self.mask >= len(table):
            raise UsageError(f"The vectors would start at symbol {self.mask}, and the source has {len(table)}.")
        start = {
            "mask": lambda: table[self.mask].repeat(sum(counts), 1),
            "mean": lambda: table.mean(0).repeat(sum(counts), 1),
            "normal": lambda: drawn_like(table, sum(counts), self.seed),
        }[self.init]()
        return PromptTokensProgram(takes, table, segments, counts, start)


class PromptTokensProgram(nn.Module):
    """The trained vectors of `PromptTokens`: ``counts`` of them before, between and after ``segments`` segments.

    They are counted in deviations of the table's numbers, so that a learning rate means the same for any table.
    """

    def __init__(self, gives: Space, table: Tensor, segments: int, counts: tuple[int, ...], start: Tensor) -> None:
        super().__init__()
        self.gives, self.segments, self.counts = gives, segments, counts
        self.table: Tensor
        self.register_buffer("table", table, persistent=False)
        self.unit = float(table.std())
        self.weight = nn.Parameter(start / self.unit)

    def vectors(self) -> Tensor:
        """The trained vectors (slots, d), as the source reads them."""
        return self.weight * self.unit

    def forward(self, samples: Tensor) -> Tensor:
        """Symbols (N, L) or (N, S, L) to vectors (N, T, d)."""
        own = vectors_of(samples.reshape(len(samples), self.segments, -1), self.table).unbind(1)
        trained = [slot.expand(len(samples), -1, -1) for slot in self.vectors().split(self.counts)]
        parts = [part for slot, segment in zip(trained, own, strict=False) for part in (slot, segment)]
        whole = torch.cat([*parts, trained[-1]], 1)
        return F.pad(whole, (0, 0, 0, self.gives.shape[0] - whole.shape[1]))

    def penalty(self) -> Tensor:
        """None."""
        return self.weight.new_zeros(())


def _own_symbols(samples: Space, known: int) -> None:
    if not samples.symbols or len(samples.shape) not in (1, 2):
        raise UsageError(
            f"A sample is of shape {samples.shape}; prompt tokens need symbols, (length,) or (segments, length)."
        )
    if samples.symbols > known:
        raise UsageError(
            f"A sample has symbols up to {samples.symbols - 1}, and the source's end at {known - 1}: prompt tokens "
            "stand among the source's own."
        )
