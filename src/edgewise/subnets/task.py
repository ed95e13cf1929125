"""What the loop runs: every sub-net whose turn it is on each batch, and all of them on the validation photos."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from edgewise.subnets.base import Trainer
from edgewise.subnets.network import SubNets
from edgewise.train.classify import ClassifyTask
from edgewise.train.loop import Scores, StepResult


class SubNetTask:
    """Implements `edgewise.train.loop.Task` by ``passes``, a task whose model is ``net`` and whose optimizer is
    ``trainer``.

    A step's loss and hits are the mean over its passes.  Validation scores are the mean over the sub-nets; each one's
    accuracy is in `measures`.
    """

    def __init__(self, net: SubNets, trainer: Trainer, passes: ClassifyTask) -> None:
        self.net, self.trainer, self.passes = net, trainer, passes
        self.identity, self.steps = passes.identity, passes.steps
        self.accuracies: dict[str, float] = {}
        # multiply-adds of training so far: all weights, and without the zeros; forward and twice backward
        self.work = torch.zeros(2, dtype=torch.float64)

    def batches(self, epoch: int, start: int) -> Iterator[Any]:
        return self.passes.batches(epoch, start)

    def step(self, batch: tuple[Tensor, Tensor], epoch: int, index: int, progress: float) -> StepResult:
        results = []
        for turn in self.trainer.turns():
            self.net.use(turn)
            results.append(self.passes.step(batch, epoch, index, progress))
            self.work += 3 * results[-1].count * torch.tensor([self.net.dense_macs(), self.net.macs(turn)]).double()
        count = sum(result.count for result in results)
        loss = sum(result.loss * result.count for result in results) / count
        return StepResult(loss, sum(result.hits for result in results), count)

    def describe(self, epoch: int, index: int) -> str:
        return self.passes.describe(epoch, index)

    def validate(self) -> Scores | None:
        found = {}
        for name in self.net.names:
            self.net.use(name)
            if (scores := self.passes.validate()) is not None:
                found[name] = scores
        self.accuracies = {name: scores.accuracy for name, scores in found.items()}
        if not found:
            return None
        one = [(scores.loss, scores.accuracy) for scores in found.values()]
        loss, accuracy = (sum(column) / len(one) for column in zip(*one, strict=True))
        return Scores(loss, accuracy)

    def measures(self) -> dict[str, Any]:
        """Of the epoch that has just been validated: accuracies and densities by sub-net, and the trainer's own."""
        return {"sub_nets": self.accuracies, "densities": self.net.densities(), **self.trainer.measures()}

    def rate(self, progress: float) -> float:
        return self.passes.rate(progress)

    def model_tensors(self) -> Mapping[str, Tensor]:
        return self.passes.model_tensors()

    def optimizer_tensors(self) -> Mapping[str, Tensor]:
        return {**self.passes.optimizer_tensors(), "work": self.work}

    def set_updates(self, updates: int) -> None:
        self.passes.set_updates(updates)
