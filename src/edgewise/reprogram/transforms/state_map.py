"""One symmetric matrix on the state of every cell (Randazzo et al., Adversarial Reprogramming of Neural CA, 2021)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from edgewise.core.errors import UsageError
from edgewise.core.settings import check, setting
from edgewise.reprogram.automaton import Automaton, Rule


@dataclass(frozen=True)
class StateMap:
    """Before every step, the C numbers of every cell become ``clip(A x)``, with one trained symmetric A (C, C).

    ``A = I + S``, with S = 0 before training.  ``limit`` is where the result is clipped.  A cell that is not alive
    stays zero, as A is linear; the authors mask such cells, which makes a difference only to those about to die.
    """

    name: ClassVar[str] = "state-map"
    limit: float = setting(3.0, "largest number of a state after the map", low=0.1, high=1e6)

    def __post_init__(self) -> None:
        check(self)

    def build(self, automaton: Automaton) -> "StateMapProgram":
        return StateMapProgram(len(automaton.seed), self.limit)


class StateMapProgram(nn.Module):
    """The trained matrix of `StateMap`: C (C + 1) / 2 numbers, those of S on and above its diagonal."""

    def __init__(self, channels: int, limit: float) -> None:
        super().__init__()
        self.channels, self.limit = channels, limit
        self.numbers = nn.Parameter(torch.zeros(channels * (channels + 1) // 2))

    def matrix(self) -> Tensor:
        """A (C, C), symmetric."""
        rows, columns = torch.triu_indices(self.channels, self.channels)
        upper = self.numbers.new_zeros(self.channels, self.channels).index_put((rows, columns), self.numbers)
        return torch.eye(self.channels, dtype=upper.dtype) + upper + upper.triu(1).T

    @torch.no_grad()
    def eigen(self) -> tuple[Tensor, Tensor]:
        """Eigenvalues (C,) of A, rising, and their vectors (C, C), a column each.

        A value above 1 says that its combination of channels is enhanced, below 1 that it is held down.
        """
        values, vectors = torch.linalg.eigh(self.matrix())
        return values, vectors

    @torch.no_grad()
    def scaled(self, strength: float) -> "StateMapProgram":
        """The same eigenvectors with values ``1 + strength * (value - 1)``: 0 does nothing, 1 is as it was trained.

        That is ``I + strength * S``, also below 0 and above 1.
        """
        return composed([self], [strength])

    def cells(self, states: Tensor, random: torch.Generator) -> Tensor:
        """All of them."""
        return torch.ones(len(states), 1, *states.shape[2:], dtype=torch.bool)

    def forward(self, rule: Rule, states: Tensor, cells: Tensor) -> Tensor:
        """(N, C, H, W), ``rule``'s step after the map on ``cells``."""
        mapped = torch.einsum("dc,nchw->ndhw", self.matrix(), states).clamp(-self.limit, self.limit)
        return rule(torch.where(cells, mapped, states))


@torch.no_grad()
def composed(programs: Sequence[StateMapProgram], strengths: Sequence[float]) -> StateMapProgram:
    """Several maps at once: ``I + sum of strength * S``.  Raises `UsageError` where they are of different automata."""
    if len({(one.channels, one.limit) for one in programs}) != 1 or len(programs) != len(strengths):
        raise UsageError(
            f"{len(programs)} maps of {sorted({one.channels for one in programs})} channels with {len(strengths)} "
            "strengths: they must be of one automaton and limit, with a strength each."
        )
    whole = StateMapProgram(programs[0].channels, programs[0].limit)
    for one, strength in zip(programs, strengths, strict=True):
        whole.numbers.add_(strength * one.numbers)
    return whole
