"""Training a program, as the loop runs it."""

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgewise.core.errors import EdgewiseError, UsageError
from edgewise.core.seeds import derive
from edgewise.reprogram.base import Anneals, Draws
from edgewise.reprogram.base import Mapping as OutputMapping
from edgewise.reprogram.pipeline import Pipeline, in_pieces, source_scores
from edgewise.reprogram.trainers.base import Losses, Trainer
from edgewise.train.checkpoint import read_checkpoint, restore
from edgewise.train.loop import Position, Scores, StepResult


@dataclass(frozen=True)
class Labelled:
    """Samples (N, …) and their classes (N,), whole numbers."""

    samples: Tensor
    targets: Tensor

    def __post_init__(self) -> None:
        if len(self.samples) != len(self.targets):
            raise UsageError(f"{len(self.samples)} samples have {len(self.targets)} classes.")

    def __len__(self) -> int:
        return len(self.samples)

    def digest(self) -> str:
        """SHA-256 of the numbers."""
        total = hashlib.sha256()
        for part in (self.samples, self.targets):
            total.update(part.contiguous().numpy().data)
        return total.hexdigest()


class ReprogramTask:
    """Cross-entropy of the task's classes plus the program's penalty; implements `loop.Task`.

    Cross-entropy divides by the sum over the task's classes, also where the mapping combines probabilities:
    ``-log(P(t) / sum P)``, not the survey's ``-log P(t)``, which a source lowers by being sure of anything else.

    With ``steps`` an epoch ends before all samples were seen; the next one goes on with those that are left.
    """

    def __init__(
        self,
        work: Pipeline,
        mapping: OutputMapping,
        trainer: Trainer,
        train: Labelled,
        val: Labelled | None,
        batch_size: int,
        seed: int,
        identity: Mapping[str, Any],
        steps: int | None = None,
    ) -> None:
        self.work, self.mapping, self.train, self.val = work, mapping, train, val
        self.batch_size, self.seed = batch_size, seed
        self.stepper = trainer.build(work.parameters())
        self.whole = math.ceil(len(train) / batch_size)
        self.steps = self.whole if steps is None else min(steps, self.whole)
        self.identity = {**identity, "samples": train.digest()}
        self.classes = int(train.targets.max()) + 1

    def batches(self, epoch: int, start: int) -> Iterator[Tensor]:
        if start == 0 and epoch and self.mapping.every and epoch % self.mapping.every == 0:
            self._read_anew()
        yield from (self._rows(epoch, index) for index in range(start, self.steps))

    def step(self, rows: Tensor, epoch: int, index: int, progress: float) -> StepResult:
        samples, targets, program = self.train.samples[rows], self.train.targets[rows], self.work.program
        for part in self.work.modules().values():
            part.train()
        hits = 0

        if isinstance(program, Anneals):
            program.anneal(progress)

        def loss() -> Losses:
            nonlocal hits
            logits = self.work(samples)
            hits = hits or int((logits.detach().argmax(1) == targets).sum())
            each = F.cross_entropy(logits, targets, reduction="none") + program.penalty()
            return Losses(each, program.log_chance() if isinstance(program, Draws) else None)

        value = self.stepper.step(loss, progress, derive(self.seed, 1, epoch, index))
        return StepResult(value, hits, len(rows))

    def describe(self, epoch: int, index: int) -> str:
        return f"samples {self._rows(epoch, index).tolist()}"

    def validate(self) -> Scores | None:
        if self.val is None:
            return None
        probabilities = in_pieces(self.work, self.val.samples)
        truth = probabilities[torch.arange(len(self.val)), self.val.targets].clamp_min(1e-12)
        accuracy = (probabilities.argmax(1) == self.val.targets).double().mean()
        return Scores(float(-truth.log().mean()), float(accuracy))

    def rate(self, progress: float) -> float:
        return self.stepper.rate(progress)

    def model_tensors(self) -> Mapping[str, Tensor]:
        return self.work.tensors()

    def optimizer_tensors(self) -> Mapping[str, Tensor]:
        return self.stepper.tensors()

    def set_updates(self, updates: int) -> None:
        self.stepper.set_updates(updates)

    def _rows(self, epoch: int, index: int) -> Tensor:
        """The samples of a step."""
        turn, place = divmod(epoch * self.steps + index, self.whole)
        order = torch.randperm(len(self.train), generator=torch.Generator().manual_seed(derive(self.seed, 2, turn)))
        return order[place * self.batch_size : (place + 1) * self.batch_size]

    @torch.no_grad()
    def _read_anew(self) -> None:
        """Fit the mapping with the program as it is now, into the reader that there is."""
        found = source_scores(self.work.program, self.work.source, self.work.domain, self.train.samples)
        reader = self.mapping.fit(found, self.train.targets, self.classes)
        assert isinstance(reader, nn.Module)
        own = self.work.modules()["reader"].state_dict()
        for name, value in reader.state_dict().items():
            own[name].copy_(value)


def check_same_samples(train: Labelled, folder: Path) -> None:
    """Raise `EdgewiseError` where the run in ``folder`` trained on others: before a source is asked about new ones."""
    state = read_checkpoint(folder, "state")
    if state is not None and state[1]["identity"].get("samples") != train.digest():
        raise EdgewiseError(
            f"The run in {folder.parent} cannot be resumed: its samples changed since it was interrupted."
        )


def cut_short(task: ReprogramTask, folder: Path) -> tuple[list[dict[str, Any]], int]:
    """The epochs that a run in ``folder`` finished before it was cut short, and which was the best (0: none).

    Where there is a validation set the program becomes that of its best epoch; otherwise it stays as it is.
    """
    state, best = read_checkpoint(folder, "state"), read_checkpoint(folder, "best")
    if best is not None and task.val is not None:
        restore(task.model_tensors(), best[0], folder)
    place = Position() if state is None else Position(**state[1]["position"])
    return place.history, place.best_epoch
