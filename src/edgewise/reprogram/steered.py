"""A frozen cellular automaton steered to another pattern by a small trained program."""

import math
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from edgewise.core.errors import UsageError
from edgewise.core.progress import Listener, Silent
from edgewise.core.seeds import derive
from edgewise.core.surgery import digest
from edgewise.reprogram.automaton import Automaton, Steering
from edgewise.reprogram.kept import keep, read, told
from edgewise.reprogram.trainers.base import Losses, Trainer
from edgewise.reprogram.trainers.gradient import Gradient
from edgewise.reprogram.trainers.registry import TRAINERS
from edgewise.reprogram.transforms.cell_injection import CellInjection
from edgewise.reprogram.transforms.state_map import StateMap
from edgewise.train.loop import Scores, StepResult, run

KIND = "steering"
STEERINGS: dict[str, type[Steering]] = {one.name: one for one in (StateMap, CellInjection)}
UPDATES = 50
"""An epoch."""


class Steered:
    """``automaton`` (frozen) with a trained program on its cells, so that it grows another pattern.

    Training looks at the pattern after ``steps`` of the automaton, a number between these two drawn at every update,
    and goes on from there later: ``pool`` grids are kept, half of which begin at the seed and half full-grown
    (Mordvintsev et al., 2020), so that the goal is not only reached but held.  Gradients are divided by their
    length, as the authors do; unlike theirs no grid is damaged.  An epoch is `UPDATES` updates of ``batch_size`` grids.

    After `fit`: ``program_`` and ``history_``, in which ``train_loss`` is the mean squared distance from the goal and
    ``train_accuracy`` the share of grids that are nearer to it than the automaton alone is.
    """

    def __init__(
        self,
        automaton: Automaton,
        steering: Steering | None = None,
        trainer: Trainer | None = None,
        epochs: int = 20,
        batch_size: int = 8,
        steps: tuple[int, int] = (32, 48),
        pool: int = 64,
        seed: int = 0,
    ) -> None:
        if epochs < 0 or not 3 <= batch_size <= pool or not 1 <= steps[0] <= steps[1]:
            raise UsageError(
                f"epochs is {epochs}, batch_size {batch_size}, pool {pool} and steps {steps}: at least 0 epochs, 3 "
                "grids at once and no more than are kept, and a rising pair of at least 1 step."
            )
        self.automaton, self.steering, self.trainer = automaton, steering or StateMap(), trainer or Gradient(2e-3)
        self.epochs, self.batch_size, self.steps, self.pool, self.seed = epochs, batch_size, steps, pool, seed
        if self.trainer.draws:
            raise UsageError(f"The trainer {self.trainer.name} learns from random draws, and steering makes none.")

    def fit(
        self,
        goal: ArrayLike | Tensor,
        folder: Path | None = None,
        resume: bool = False,
        listener: Listener | None = None,
    ) -> "Steered":
        """Train towards ``goal`` (channels seen, H, W); the program of the last epoch is kept.

        ``folder`` is where checkpoints go, for ``resume``; by default nothing is left.  Raises `UsageError` where
        the goal is of another size than what is seen of the automaton.
        """
        wanted = torch.as_tensor(np.asarray(goal), dtype=torch.float32)
        if wanted.shape != (shape := self.automaton.seen(self.automaton.seed).shape):
            raise UsageError(f"The goal is of shape {tuple(wanted.shape)}; the automaton shows {tuple(shape)}.")
        self.program_ = self._built()
        self.history_: list[dict[str, Any]] = []
        holds = [one.register_hook(_of_length_one) for one in self.program_.parameters()]
        try:
            task = SteerTask(self, wanted)
            with tempfile.TemporaryDirectory() as passing:
                if self.epochs:
                    place = run(task, self.epochs, folder or Path(passing), listener or Silent(), resume)
                    self.history_ = place.history
        finally:
            for hold in holds:
                hold.remove()
        self.automaton.check_untouched()
        return self

    def run(self, steps: int, count: int = 1, seed: int = 0) -> Tensor:
        """What is seen (``steps`` + 1, ``count``, channels seen, H, W), from the automaton's seed on."""
        self._check_fitted()
        return self.automaton.seen(self.automaton.run(steps, count, seed, self.program_))

    def save(self, folder: Path) -> None:
        """Write the program into ``folder``, with the automaton's fingerprint."""
        self._check_fitted()
        said = {"steering": told(self.steering), "trainer": told(self.trainer), "seed": self.seed}
        card = (
            "# A program for a frozen cellular automaton\n\n"
            f"Steering `{self.steering.name}` of the automaton `{self.automaton.fingerprint[:12]}`. "
            "It means nothing before another one.\n"
        )
        keep(folder, KIND, self.automaton.fingerprint, said, self.program_, card)

    @classmethod
    def load(cls, folder: Path, automaton: Automaton) -> "Steered":
        """What `save` wrote, for ``automaton``.

        Raises `EdgewiseError` where the folder was cut off or changed, or ``automaton`` is another one than it was
        trained on.
        """
        kept = read(folder, KIND, automaton.fingerprint)
        steering, trainer = kept.settings("steering", STEERINGS), kept.settings("trainer", TRAINERS)
        model = cls(automaton, steering, trainer, seed=int(kept.manifest["seed"]))
        model.program_, model.history_ = model._built(), []
        kept.fill(model.program_)
        return model

    def _built(self) -> Any:
        """A program that does nothing yet: a `CellProgram` and a module at once, which no annotation can say."""
        return self.steering.build(self.automaton)

    def _check_fitted(self) -> None:
        if "program_" not in vars(self):
            raise UsageError("Nothing has been fitted yet: call fit first.")


class SteerTask:
    """Grids from a pool, some steps further, nearer to the goal; implements `loop.Task`."""

    steps = UPDATES

    def __init__(self, model: Steered, goal: Tensor) -> None:
        automaton = self.automaton = model.automaton
        self.program: Any = model.program_
        self.goal, self.between, self.batch_size, self.seed = goal, model.steps, model.batch_size, model.seed
        self.stepper = model.trainer.build([(f"program.{n}", p) for n, p in model.program_.named_parameters()])
        self.grown = automaton.run(2 * model.steps[1], 1, derive(self.seed, 0))[-1, 0]
        self.alone = float(self._distance(self.grown[None]))
        half = model.pool // 2
        self.states = torch.stack([automaton.seed] * half + [self.grown] * (model.pool - half))
        self.cells = self.program.cells(self.states, torch.Generator().manual_seed(derive(self.seed, 1)))
        self.identity: dict[str, Any] = {
            "steering": told(model.steering),
            "trainer": told(model.trainer),
            "goal": digest({"goal": goal}),
            "source": automaton.fingerprint,
            "steps": list(model.steps),
            "seed": model.seed,
        }

    def batches(self, epoch: int, start: int) -> Iterator[int]:
        yield from range(start, self.steps)

    def step(self, batch: int, epoch: int, index: int, progress: float) -> StepResult:
        random = torch.Generator().manual_seed(derive(self.seed, 2, epoch, index))
        rows = torch.randperm(len(self.states), generator=random)[: self.batch_size]
        rows = rows[self._distance(self.states[rows]).argsort(descending=True)]
        states, cells = self.states[rows], self.cells[rows]
        states[0], states[1] = self.automaton.seed, self.grown
        cells[:2] = self.program.cells(states[:2], random)
        steps = int(torch.randint(self.between[0], self.between[1] + 1, (), generator=random))
        after, each = states, torch.zeros(len(rows))

        def loss() -> Losses:
            nonlocal after, each
            after = states
            for _ in range(steps):
                after = self.program(self.automaton.rule, after, cells)
            each = self._distance(after)
            return Losses(each)

        value = self.stepper.step(loss, progress, derive(self.seed, 3, epoch, index))
        if math.isfinite(value):
            self.states[rows], self.cells[rows] = after.detach(), cells
        return StepResult(value, int((each.detach() < self.alone).sum()), len(rows))

    def describe(self, epoch: int, index: int) -> str:
        return f"update {epoch * self.steps + index + 1}"

    def validate(self) -> Scores | None:
        return None

    def rate(self, progress: float) -> float:
        return self.stepper.rate(progress)

    def model_tensors(self) -> Mapping[str, Tensor]:
        tensors: Mapping[str, Tensor] = self.program.state_dict()
        return tensors

    def optimizer_tensors(self) -> Mapping[str, Tensor]:
        return {"states": self.states, "cells": self.cells, **self.stepper.tensors()}

    def set_updates(self, updates: int) -> None:
        self.stepper.set_updates(updates)

    def _distance(self, states: Tensor) -> Tensor:
        away: Tensor = (self.automaton.seen(states) - self.goal).square().mean((1, 2, 3))
        return away


def _of_length_one(gradient: Tensor) -> Tensor:
    along: Tensor = gradient / (gradient.norm() + 1e-8)
    return along
