"""A frozen neural cellular automaton as a source (Mordvintsev et al., Growing Neural Cellular Automata, 2020)."""

from collections.abc import Callable
from typing import ClassVar, Protocol

import torch
from torch import Tensor, nn

from edgewise.core.errors import UsageError
from edgewise.reprogram.sources.frozen import Frozen

Rule = Callable[[Tensor], Tensor]
"""One step of an automaton: states (N, C, H, W) to states of the same shape."""


class CellProgram(Protocol):
    """What acts on the cells of a running automaton; a `torch.nn.Module` whose parameters train."""

    def cells(self, states: Tensor, random: torch.Generator) -> Tensor:
        """On which cells of ``states`` (N, C, H, W) it acts from now on: yes or no, (N, 1, H, W)."""

    def __call__(self, rule: Rule, states: Tensor, cells: Tensor) -> Tensor:
        """``states`` (N, C, H, W) a step later, where the frozen ``rule`` runs the automaton."""


class Steering(Protocol):
    """How an automaton is steered: settings, a frozen dataclass."""

    name: ClassVar[str]

    def build(self, automaton: "Automaton") -> CellProgram:
        """A program for ``automaton`` that does nothing yet."""


class Automaton:
    """``rule`` frozen, and the state ``seed`` (C, H, W) that it starts from; its first ``shows`` channels are seen.

    A rule may draw which cells move from torch's random numbers; a cell that is not alive has a state of zeros.
    Raises `UsageError` where a step of ``rule`` is of another shape or not finite.
    """

    def __init__(self, rule: nn.Module, seed: Tensor, shows: int) -> None:
        if seed.ndim != 3 or not 1 <= shows <= len(seed):
            raise UsageError(
                f"The seed is of shape {tuple(seed.shape)} and {shows} channels are to be seen: it must be (channels, "
                "height, width), with at least so many channels."
            )
        self.rule, self.seed, self.shows = Frozen(rule, {"seed": seed}), seed, shows
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            after = self.rule(seed[None])
        if after.shape[1:] != seed.shape or not bool(after.isfinite().all()):
            raise UsageError(
                f"A step of the rule makes {tuple(after.shape[1:])} of the seed's {tuple(seed.shape)}; it must be the "
                "same shape, and finite."
            )

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the rule's weights and the seed as they were when it became a source."""
        return self.rule.fingerprint

    def check_untouched(self) -> None:
        """Raise `EdgewiseError` where it is not what it was."""
        self.rule.check_untouched()

    def seen(self, states: Tensor) -> Tensor:
        """What is seen of ``states`` (…, C, H, W): (…, ``shows``, H, W)."""
        return states[..., : self.shows, :, :]

    @torch.no_grad()
    def run(self, steps: int, count: int = 1, seed: int = 0, program: CellProgram | None = None) -> Tensor:
        """States (``steps`` + 1, ``count``, C, H, W), from its seed on; with ``program`` acting, or as it is.

        ``seed`` is all that is random: which cells move, and on which ``program`` acts.
        """
        states = [self.seed.expand(count, *self.seed.shape)]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            cells = None if program is None else program.cells(states[0], torch.Generator().manual_seed(seed))
            for _ in range(steps):
                last = states[-1]
                states.append(self.rule(last) if program is None or cells is None else program(self.rule, last, cells))
        return torch.stack(states)
