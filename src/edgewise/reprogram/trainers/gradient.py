"""Adam along the gradient: for sources whose weights are here."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from edgewise.core.settings import check, setting
from edgewise.reprogram.trainers.base import Loss, Stepper
from edgewise.train.adam import Adam
from edgewise.train.schedule import cosine


@dataclass(frozen=True)
class Gradient:
    """Adam with a cosine to zero, along the gradient through the source; its tuned parts have a rate of their own."""

    name: ClassVar[str] = "gradient"
    follows_gradients: ClassVar[bool] = True
    draws: ClassVar[bool] = False
    lr: float = setting(0.05, "learning rate", low=0, high=100)
    tune_lr: float = setting(1e-3, "learning rate of the source's parts that train too", low=0, high=100)

    def __post_init__(self) -> None:
        check(self)

    def build(self, parameters: Sequence[tuple[str, nn.Parameter]]) -> Stepper:
        return _Steps(self, parameters)

    def evaluations(self) -> int:
        return 1


class _Steps:
    def __init__(self, settings: Gradient, parameters: Sequence[tuple[str, nn.Parameter]]) -> None:
        self.settings = settings
        groups: dict[str, list[tuple[str, nn.Parameter]]] = {"program": [], "source": []}
        for name, parameter in parameters:
            groups["source" if name.startswith("source.") else "program"].append((name, parameter))
        self.adam = Adam(groups)

    def step(self, loss: Loss, progress: float, seed: int) -> float:
        torch.manual_seed(seed)
        found = loss().each.mean()
        value = float(found.detach())
        if math.isfinite(value):
            found.backward()
            self.adam.step({"program": self.rate(progress), "source": self.settings.tune_lr * cosine(progress)})
        return value

    def rate(self, progress: float) -> float:
        return self.settings.lr * cosine(progress)

    def tensors(self) -> Mapping[str, Tensor]:
        return self.adam.tensors()

    def set_updates(self, updates: int) -> None:
        self.adam.steps = updates
