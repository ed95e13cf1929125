"""Each symbol becomes one of the source's, by those around it (Neekhara et al., EMNLP 2019)."""

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
class ContextRemap:
    """A convolution over a sample's symbols says which of the source's symbols stands at each place.

    A sample is a row of symbols of any vocabulary (L,).  ``logits = conv(one-hot)``, an odd ``width`` of places wide,
    over the source's symbols but 0: where nothing stands, nothing will, and nothing else becomes nothing.

    Before a source of vectors (a space with a ``table``) the choice is relaxed in training: a softmax with Gumbel noise
    (Jang et al., ICLR 2017), whose weights average the source's vectors, at a temperature that falls linearly from
    ``hottest`` to ``coldest`` over the training (the released code: over the first 15 epochs).  Before a source of
    symbols it is drawn, and learnt by the trainer ``policy``.  Outside training the likeliest symbol is taken.
    Deviation: the released code learns from drawn choices with the first places alone and lets them grow to the whole
    sample over 30 epochs; here all places learn from the start.
    """

    name: ClassVar[str] = "context-remap"
    width: int = setting(5, "places that decide on one, an odd number", low=1, high=1001)
    hottest: float = setting(2.0, "temperature at the start", low=1e-3, high=100)
    coldest: float = setting(0.01, "temperature at the end", low=1e-3, high=100)
    seed: int = setting(0, "of the convolution as it starts", low=0, high=2**31)

    def __post_init__(self) -> None:
        check(self)
        if self.width % 2 == 0:
            raise UsageError(f"ContextRemap: width is {self.width}; it must be odd, so that a place has a middle.")
        if self.coldest > self.hottest:
            raise UsageError(f"ContextRemap: coldest is {self.coldest:g}, and hottest only {self.hottest:g}.")

    def build(self, samples: Space, takes: Space) -> Program:
        if takes.table is None and not takes.symbols:
            raise UsageError(f"The source reads numbers of shape {takes.shape}; a context remap needs one of symbols.")
        if len(samples.shape) != 1 or not samples.symbols:
            raise UsageError(
                f"A sample is of shape {samples.shape}; a context remap needs rows of symbols: whole numbers."
            )
        if samples.shape[0] > takes.shape[0]:
            raise UsageError(
                f"A sample has {samples.shape[0]} symbols, and the source reads {takes.shape[0]}: cut the samples."
            )
        choices = (takes.symbols if takes.table is None else len(takes.table)) - 1
        scores = ContextScores(samples.symbols, choices, self.width, self.seed)
        if takes.table is None:
            return DrawnRemapProgram(takes, scores)
        return RelaxedRemapProgram(takes, takes.table, scores, self.hottest, self.coldest)


class ContextScores(nn.Module):
    """``weight`` (choices, symbols, width): logits (N, L, choices) of what stands at each place of symbols (N, L)."""

    def __init__(self, symbols: int, choices: int, width: int, seed: int) -> None:
        super().__init__()
        reach = (symbols * width) ** -0.5  # as torch draws a convolution's
        drawn = torch.rand(choices, symbols - 1, width, generator=torch.Generator().manual_seed(seed))
        self.weight = nn.Parameter(reach * (2 * drawn - 1))
        self.bias = nn.Parameter(torch.zeros(choices))

    def forward(self, samples: Tensor) -> Tensor:
        letters = F.one_hot(samples, self.weight.shape[1] + 1)[:, :, 1:].to(self.weight.dtype)
        return F.conv1d(letters.mT, self.weight, self.bias, padding=self.weight.shape[2] // 2).mT


class RelaxedRemapProgram(nn.Module):
    """`ContextRemap` before a source that reads rows of ``table``."""

    def __init__(self, gives: Space, table: Tensor, scores: ContextScores, hottest: float, coldest: float) -> None:
        super().__init__()
        self.gives, self.scores, self.hottest, self.coldest = gives, scores, hottest, coldest
        self.temperature = hottest
        self.table: Tensor
        self.register_buffer("table", table, persistent=False)

    def forward(self, samples: Tensor) -> Tensor:
        """Symbols (N, L) to vectors (N, T, d)."""
        logits = self.scores(samples)
        if self.training:
            found = F.gumbel_softmax(logits, self.temperature) @ self.table[1:]
        else:
            found = F.embedding(logits.argmax(2) + 1, self.table)
        return F.pad(found * (samples != 0).unsqueeze(2), (0, 0, 0, self.gives.shape[0] - samples.shape[1]))

    def anneal(self, progress: float) -> None:
        """Colder, the more is done."""
        self.temperature = self.hottest + (self.coldest - self.hottest) * progress

    def penalty(self) -> Tensor:
        """None."""
        return self.scores.bias.new_zeros(())


class DrawnRemapProgram(nn.Module):
    """`ContextRemap` before a source that reads symbols."""

    def __init__(self, gives: Space, scores: ContextScores) -> None:
        super().__init__()
        self.gives, self.scores = gives, scores
        self._chance: Tensor | None = None

    def forward(self, samples: Tensor) -> Tensor:
        """Symbols (N, L) to the source's (N, T)."""
        logits = self.scores(samples)
        stands = samples != 0
        if self.training:
            choices = torch.distributions.Categorical(logits=logits, validate_args=False)
            drawn = choices.sample()
            self._chance = (choices.log_prob(drawn) * stands).sum(1)
        else:
            drawn = logits.argmax(2)
        return F.pad((drawn + 1) * stands, (0, self.gives.shape[0] - samples.shape[1]))

    def log_chance(self) -> Tensor:
        """(N,), of the last call in training."""
        assert self._chance is not None, "nothing was drawn yet"
        return self._chance

    def penalty(self) -> Tensor:
        """None."""
        return self.scores.bias.new_zeros(())
