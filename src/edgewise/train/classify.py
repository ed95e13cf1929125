"""The task of every method that learns labelled photos."""

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgewise.core.errors import EdgewiseError
from edgewise.core.preprocess import Preprocess
from edgewise.core.seeds import derive
from edgewise.core.settings import check, setting
from edgewise.data.loader import batches, epoch_order
from edgewise.data.sets import Sample
from edgewise.data.transforms import Augment
from edgewise.train.adam import Adam
from edgewise.train.loop import Scores, StepResult
from edgewise.train.schedule import cosine

EVALUATION_BATCH = 32
Precision = Literal["float32", "bfloat16"]
"""With bfloat16 the convolutions and linear layers of a training step read and give numbers of 16 bits; weights, their
updates, norms' statistics, and all that is scored stay in float32."""


@dataclass(frozen=True)
class TrainSettings:
    """How to train; the defaults are those of the command line."""

    epochs: int = setting(10, "times every photo is seen", low=1, high=100_000)
    batch_size: int = setting(8, "photos in a step", low=1, high=65_536)
    label_smoothing: float = setting(0.0, "share of the target spread over all classes", low=0, high=0.99)
    balance: bool = setting(False, "draw every class equally often")
    adam_bits: int = setting(32, "bits of Adam's moments", choices=(8, 32))
    workers: int = setting(0, "processes that decode photos", low=0, high=256)
    seed: int = setting(0, "seed of everything random", low=0)
    precision: Precision = setting("float32", "what a step computes with", choices=("float32", "bfloat16"))

    def __post_init__(self) -> None:
        check(self)


class Optimizer(Protocol):
    """`Adam` or `Sgd`."""

    steps: int

    def during_backward(self, rates: Mapping[str, float]) -> AbstractContextManager[None]:
        """Inside, one ``backward()``; afterwards every parameter is updated and no gradient is left."""

    def tensors(self) -> Mapping[str, Tensor]:
        """Everything a step changes besides the parameters, live."""


class ClassifyTask:
    """Cross-entropy on photos, Adam, cosine to zero per step; implements `loop.Task`.

    Or another ``optimizer`` of the same groups, and another ``schedule``: from the progress of the run, 0 to 1, to the
    factor of all rates.  ``penalty`` of the weights is added to what is minimised, and not to the loss that is told.
    """

    def __init__(
        self,
        model: nn.Module,
        groups: Mapping[str, Sequence[str]],
        rates: Mapping[str, float],
        changing: Mapping[str, Tensor],
        train: Sequence[Sample],
        val: Sequence[Sample],
        preprocess: Preprocess,
        augment: Augment,
        settings: TrainSettings,
        identity: Mapping[str, Any],
        optimizer: Optimizer | None = None,
        schedule: Callable[[float], float] = cosine,
        penalty: Callable[[], Tensor] | None = None,
    ) -> None:
        parameters = dict(model.named_parameters())
        self.model, self.train, self.val = model, train, val
        self.preprocess, self.augment, self.settings = preprocess, augment, settings
        self.rates, self.schedule, self.penalty = rates, schedule, penalty
        named = {group: [(name, parameters[name]) for name in names] for group, names in groups.items()}
        self.optimizer = optimizer or Adam(named, settings.adam_bits)
        self.changing = changing
        self.identity = {**identity, "photos": _digest_of(train, val)}
        self.steps = math.ceil(len(train) / settings.batch_size)

    def batches(self, epoch: int, start: int) -> Iterator[tuple[Tensor, Tensor]]:
        settings = self.settings
        yield from batches(
            self.train,
            self._order(epoch),
            settings.batch_size,
            self.preprocess,
            self.augment,
            settings.seed,
            epoch,
            settings.workers,
            start,
        )

    def step(self, batch: tuple[Tensor, Tensor], epoch: int, index: int, progress: float) -> StepResult:
        images, labels = batch
        torch.manual_seed(derive(self.settings.seed, 1, epoch, index))
        if not self.model.training:  # setting every module's mode takes milliseconds
            self.model.train()
        logits = self._logits(images)
        loss = F.cross_entropy(logits, labels, label_smoothing=self.settings.label_smoothing)
        value = loss.item()
        if math.isfinite(value):
            factor = self.schedule(progress)
            with self.optimizer.during_backward({group: factor * rate for group, rate in self.rates.items()}):
                (loss if self.penalty is None else loss + self.penalty()).backward()
        return StepResult(value, int((logits.argmax(1) == labels).sum()), len(labels))

    def describe(self, epoch: int, index: int) -> str:
        size = self.settings.batch_size
        rows = self._order(epoch)[index * size : (index + 1) * size]
        return ", ".join(self.train[row].path.name for row in rows)

    def validate(self) -> Scores | None:
        if not self.val:
            return None
        probabilities = predict(self.model, self.val, self.preprocess, self.settings.workers)
        labels = torch.tensor([sample.label for sample in self.val])
        truth = probabilities[torch.arange(len(labels)), labels].clamp_min(1e-12)
        accuracy = (probabilities.argmax(1) == labels).double().mean()
        return Scores(float(-truth.log().mean()), float(accuracy))

    def rate(self, progress: float) -> float:
        return self.schedule(progress) * self.rates["main"]

    def model_tensors(self) -> Mapping[str, Tensor]:
        return self.changing

    def optimizer_tensors(self) -> Mapping[str, Tensor]:
        return self.optimizer.tensors()

    def set_updates(self, updates: int) -> None:
        self.optimizer.steps = updates

    def _logits(self, images: Tensor) -> Tensor:
        try:
            with torch.autocast(images.device.type, torch.bfloat16, self.settings.precision == "bfloat16"):
                logits: Tensor = self.model(images).float()
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            raise EdgewiseError(
                f"A batch of {len(images)} photo at {self.preprocess.size} px leaves a batch norm one value per "
                "channel, which has no variance. Use a larger --batch-size or --image-size."
            ) from error
        return logits

    def _order(self, epoch: int) -> Sequence[int]:
        order = epoch_order(self.train, self.settings.seed, epoch, self.settings.balance)
        # One photo alone has no batch statistics: the last batch then gets the epoch's first photo too.
        alone = len(order) % self.settings.batch_size == 1 and len(order) > 1
        return (*order, order[0]) if alone else order


@torch.no_grad()
def predict(model: nn.Module, samples: Sequence[Sample], preprocess: Preprocess, workers: int = 0) -> Tensor:
    """Class probabilities (len(samples), classes) in eval mode, in the order of ``samples``."""
    model.eval()
    order = tuple(range(len(samples)))
    rows = [
        model(images).float().softmax(1)
        for images, _ in batches(samples, order, EVALUATION_BATCH, preprocess, None, 0, 0, workers)
    ]
    return torch.cat(rows)


def _digest_of(*sets: Sequence[Sample]) -> str:
    total = hashlib.sha256()
    for number, samples in enumerate(sets):
        for sample in samples:
            total.update(f"{number}|{sample.label}|{_last_parts(sample.path)}|{sample.path.stat().st_size}\n".encode())
    return total.hexdigest()


def _last_parts(path: Path) -> str:
    """Enough of the path to tell photos apart, and little enough that a moved folder still resumes."""
    return "/".join(path.parts[-3:])
