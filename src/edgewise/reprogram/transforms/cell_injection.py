"""Cells with a rule of their own amid the cells of a frozen automaton (Randazzo et al., 2021)."""

import copy
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from edgewise.core.settings import check, setting
from edgewise.reprogram.automaton import Automaton, Rule


@dataclass(frozen=True)
class CellInjection:
    """A ``share`` of all cells, drawn at random for every grid, runs a trained rule; the others the frozen one.

    The trained rule begins as a copy of the frozen one, so that before training nothing differs.  Deviations: the
    authors begin with a new rule, and draw cells only where the goal is; here they are drawn from the whole grid, which
    the program need not know the goal for.  With a share of 1 every cell runs the trained rule: that is no program but
    an automaton's own training, from scratch where it was untrained.
    """

    name: ClassVar[str] = "cell-injection"
    share: float = setting(0.1, "share of the cells that run the trained rule", low=1e-3, high=1)

    def __post_init__(self) -> None:
        check(self)

    def build(self, automaton: Automaton) -> "InjectedCells":
        return InjectedCells(automaton.rule.module, self.share)


class InjectedCells(nn.Module):
    """The trained rule of `CellInjection`."""

    def __init__(self, rule: nn.Module, share: float) -> None:
        super().__init__()
        self.rule, self.share = copy.deepcopy(rule).requires_grad_(), share

    def cells(self, states: Tensor, random: torch.Generator) -> Tensor:
        """A ``share`` of each grid's cells."""
        return torch.rand(len(states), 1, *states.shape[2:], generator=random) < self.share

    def forward(self, rule: Rule, states: Tensor, cells: Tensor) -> Tensor:
        """(N, C, H, W), the trained rule's step on ``cells`` and ``rule``'s on the others."""
        if self.share == 1:
            return self._own(states)
        return torch.where(cells, self._own(states), rule(states))

    def _own(self, states: Tensor) -> Tensor:
        after: Tensor = self.rule(states)
        return after
