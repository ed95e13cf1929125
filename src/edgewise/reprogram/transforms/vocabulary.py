"""Symbols of another vocabulary as sparse sums of the source's vectors (Vinod et al., R2DL, arXiv 2012.03460)."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from edgewise.core.errors import UsageError
from edgewise.core.settings import check, setting
from edgewise.reprogram.base import Program
from edgewise.reprogram.space import Space
from edgewise.reprogram.table import drawn_like, table_of, vectors_of
from edgewise.reprogram.transforms.sparse_coding import sparse_codes

ROUNDS = 10
"""Into how many parts a training is cut; a row's support may change between two."""


@dataclass(frozen=True)
class VocabularyMap:
    """Each symbol of the task, such as an amino acid, is a sum of few of the source's vectors, trained.

    ``V_T = Theta V_S``: Theta (N_T, N_S) has ``nonzeros`` k weights a row, V_S (N_S, d) is the source's table.  (The
    survey prints ``V_S theta`` with theta d x d, which does not fit; both released codes do what stands here.)
    A sample is a row of symbols of any vocabulary (L,); symbol 0 is nothing, and stays nothing.

    Theta starts as the sparse code (`sparse_codes`) of a table for the task's symbols: vectors of the source's
    symbols ``like``, one for each of the task's symbols from 1 on, such as those of the same letters; or random ones
    with the mean and deviation of the source's.  The papers solve for Theta by K-SVD, which changes weights and
    atoms in turn; the atoms here are the frozen source's, so only its coding step is left.

    Then the k weights of a row train; d x N_S numbers are never made.  Deviation: the papers train all of Theta and
    project it, which forgets what was learnt.  Here the ``exchanged`` share of each row's weights is given away after
    each of the first eight tenths of the training: those that add least, for the atoms along which the loss fell
    fastest in that tenth (Evci et al., RigL, ICML 2020), which start at 0.  So Theta is k-sparse at every step.  What
    the trainer remembers of a given-away weight (Adam's means) passes to its heir, and fades within some ten steps.
    """

    name: ClassVar[str] = "vocabulary"
    nonzeros: int = setting(38, "of the source's vectors in each symbol; a tenth of their length", low=1, high=4096)
    exchanged: float = setting(0.1, "share of them exchanged at each tenth of the training", low=0, high=1)
    like: str = setting("", "the source's symbols that the task's start as, such as 1037 1039; empty: random vectors")
    seed: int = setting(0, "of random vectors", low=0, high=2**31)

    def __post_init__(self) -> None:
        check(self)
        if any(not symbol.isdecimal() for symbol in self.like.split()):
            raise UsageError(f"VocabularyMap: like is {self.like[:40]!r}; write whole numbers, such as 1037 1039.")

    def build(self, samples: Space, takes: Space) -> Program:
        table = table_of(takes, "a vocabulary program")
        if len(samples.shape) != 1 or not samples.symbols:
            raise UsageError(
                f"A sample is of shape {samples.shape}; a vocabulary program needs rows of symbols: whole numbers."
            )
        (length,), (room, _), symbols = samples.shape, takes.shape, samples.symbols - 1
        if length > room:
            raise UsageError(f"A sample has {length} symbols, and the source reads {room}: cut the samples.")
        if self.nonzeros > len(table):
            raise UsageError(f"{self.nonzeros} vectors a symbol are more than the source's {len(table)}.")
        start = table[self._like(symbols, len(table))] if self.like else drawn_like(table, symbols, self.seed)
        places, weights = sparse_codes(start, table, self.nonzeros)
        exchanged = min(round(self.exchanged * self.nonzeros), len(table) - self.nonzeros)
        return VocabularyProgram(takes, table, places, weights, exchanged)

    def _like(self, symbols: int, known: int) -> list[int]:
        found = [int(symbol) for symbol in self.like.split()]
        largest = max(found, default=0)
        if len(found) != symbols or largest >= known:
            raise UsageError(
                f"like names {len(found)} symbols up to {largest}; the task has {symbols} (without 0, which is "
                f"nothing), and the source's end at {known - 1}."
            )
        return found


class VocabularyProgram(nn.Module):
    """The sparse rows of `VocabularyMap` for symbols 1 and on: ``weight`` and ``places`` (N_T - 1, k).

    ``asked`` (N_T - 1, d) sums the loss's gradient by the symbols' vectors since the last of ``rounds``; with both the
    training goes on where it was.
    """

    def __init__(self, gives: Space, table: Tensor, places: Tensor, weights: Tensor, exchanged: int) -> None:
        super().__init__()
        self.gives, self.exchanged = gives, exchanged
        self.table: Tensor
        self.places: Tensor
        self.asked: Tensor
        self.rounds: Tensor
        self.register_buffer("table", table, persistent=False)
        self.register_buffer("places", places)
        self.register_buffer("asked", torch.zeros(len(places), table.shape[1]))
        self.register_buffer("rounds", torch.zeros((), dtype=torch.long))
        self.weight = nn.Parameter(weights)

    def vectors(self) -> Tensor:
        """The symbols' vectors (N_T, d), zeros for symbol 0."""
        found = torch.einsum("nk,nkd->nd", self.weight, self.table[self.places])
        if self.training and found.requires_grad:
            found.register_hook(self._note)
        return torch.cat([found.new_zeros(1, found.shape[1]), found])

    def forward(self, samples: Tensor) -> Tensor:
        """Symbols (N, L) to vectors (N, T, d)."""
        found = vectors_of(samples, self.vectors())
        return nn.functional.pad(found, (0, 0, 0, self.gives.shape[0] - samples.shape[1]))

    def anneal(self, progress: float) -> None:
        """Exchange the weakest weights of each row where another tenth of the training is done."""
        if int(ROUNDS * progress) > int(self.rounds):
            self.rounds.fill_(int(ROUNDS * progress))
            if self.exchanged and int(self.rounds) < ROUNDS - 1 and bool(self.asked.any()):
                self._exchange()
            self.asked.zero_()

    def penalty(self) -> Tensor:
        """None."""
        return self.weight.new_zeros(())

    def _note(self, gradient: Tensor) -> None:
        self.asked += gradient

    @torch.no_grad()
    def _exchange(self) -> None:
        """What a weight adds is its atom's length times it, so lengths count on both sides."""
        lengths = self.table.norm(dim=1)
        share = self.weight.abs() * lengths[self.places]
        slope = (self.asked @ (self.table / lengths.clamp_min(1e-12)[:, None]).t()).abs()
        slope.scatter_(1, self.places, -1)
        weakest = share.topk(self.exchanged, largest=False).indices
        self.places.scatter_(1, weakest, slope.topk(self.exchanged).indices)
        self.weight.scatter_(1, weakest, 0)
