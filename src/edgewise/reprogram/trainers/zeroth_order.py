"""Training without gradients: the source only answers (BAR, ICML 2020; BlackVIP, CVPR 2023)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector

from edgewise.core.settings import check, setting
from edgewise.reprogram.trainers.base import Loss, Stepper
from edgewise.reprogram.trainers.estimators import FlatLoss, sphere_gradient, spsa_gradient
from edgewise.train.adam import Adam
from edgewise.train.schedule import cosine


@dataclass(frozen=True)
class SphereSearch:
    """Adam along `sphere_gradient`: ``directions`` + 1 evaluations a step (BAR).

    Adam divides by the estimate's size, which grows with the square root of the numbers to train, so the rate means
    the same for large programs and small ones.
    """

    name: ClassVar[str] = "sphere"
    follows_gradients: ClassVar[bool] = False
    draws: ClassVar[bool] = False
    lr: float = setting(0.05, "learning rate", low=0, high=100)
    directions: int = setting(25, "directions a step looks into", low=1, high=100_000)
    distance: float = setting(0.1, "how far it looks; too near is lost in the rounding of answers", low=1e-6, high=10)

    def __post_init__(self) -> None:
        check(self)

    def build(self, parameters: Sequence[tuple[str, nn.Parameter]]) -> Stepper:
        return _AdamSteps(self, parameters)

    def evaluations(self) -> int:
        return self.directions + 1


@dataclass(frozen=True)
class Spsa:
    """SPSA with gradient correction (BlackVIP): 2 ``repeats`` evaluations a step.

    Rates ``a / (k + 1)^alpha`` and distances ``c / (k + 1)^gamma`` at step k; with momentum b: ``m = b m + g``, and the
    parameters move along ``g + b m``.
    """

    name: ClassVar[str] = "spsa"
    follows_gradients: ClassVar[bool] = False
    draws: ClassVar[bool] = False
    a: float = setting(0.1, "first learning rate", low=0, high=1000)
    alpha: float = setting(0.4, "how fast the rate falls", low=0, high=2)
    c: float = setting(0.05, "first distance", low=1e-6, high=10)
    gamma: float = setting(0.1, "how fast the distance falls", low=0, high=2)
    repeats: int = setting(5, "perturbations that are averaged", low=1, high=10_000)
    momentum: float = setting(0.9, "of the gradient correction", low=0, high=0.999)

    def __post_init__(self) -> None:
        check(self)

    def build(self, parameters: Sequence[tuple[str, nn.Parameter]]) -> Stepper:
        return _SpsaSteps(self, parameters)

    def evaluations(self) -> int:
        return 2 * self.repeats


@torch.no_grad()
def _assign(vector: Tensor, own: Sequence[nn.Parameter]) -> None:
    """Into the parameters' own memory, which checkpoints hold on to (torch's function gives them new memory)."""
    for parameter, part in zip(own, vector.split([p.numel() for p in own]), strict=True):
        parameter.copy_(part.view_as(parameter))


def _flat(loss: Loss, own: Sequence[nn.Parameter], seed: int, seen: list[float]) -> FlatLoss:
    """The loss as a function of one vector; whatever is random in it is the same every time."""

    @torch.no_grad()
    def at(vector: Tensor) -> float:
        _assign(vector, own)
        torch.manual_seed(seed)
        seen.append(float(loss().each.mean()))
        return seen[-1]

    return at


class _AdamSteps:
    def __init__(self, settings: SphereSearch, parameters: Sequence[tuple[str, nn.Parameter]]) -> None:
        self.settings, self.own = settings, [parameter for _, parameter in parameters]
        self.adam = Adam({"program": parameters})

    def step(self, loss: Loss, progress: float, seed: int) -> float:
        settings, seen, start = self.settings, list[float](), parameters_to_vector(self.own).detach()
        random = torch.Generator().manual_seed(seed)
        try:
            flat = _flat(loss, self.own, seed, seen)
            found = sphere_gradient(flat, start, settings.directions, settings.distance, random)
        finally:  # a budget may end in the middle: the program is then what it was
            _assign(start, self.own)
        if all(map(math.isfinite, seen)):
            for parameter, part in zip(self.own, found.split([p.numel() for p in self.own]), strict=True):
                parameter.grad = part.view_as(parameter)
            self.adam.step({"program": self.rate(progress)})
        return seen[0]

    def rate(self, progress: float) -> float:
        return self.settings.lr * cosine(progress)

    def tensors(self) -> Mapping[str, Tensor]:
        return self.adam.tensors()

    def set_updates(self, updates: int) -> None:
        self.adam.steps = updates


class _SpsaSteps:
    def __init__(self, settings: Spsa, parameters: Sequence[tuple[str, nn.Parameter]]) -> None:
        self.settings, self.own, self.updates = settings, [parameter for _, parameter in parameters], 0
        self.momentum = torch.zeros_like(parameters_to_vector(self.own).detach())

    def step(self, loss: Loss, progress: float, seed: int) -> float:
        settings, seen, start = self.settings, list[float](), parameters_to_vector(self.own).detach()
        count, random = self.updates + 1, torch.Generator().manual_seed(seed)
        moved = start
        try:
            flat = _flat(loss, self.own, seed, seen)
            found = spsa_gradient(flat, start, settings.repeats, settings.c / count**settings.gamma, random)
            if all(map(math.isfinite, seen)):
                self.momentum.mul_(settings.momentum).add_(found)
                along = found + settings.momentum * self.momentum
                moved = start - self.rate(progress) * along
                self.updates = count
        finally:
            _assign(moved, self.own)
        return sum(seen) / len(seen)

    def rate(self, progress: float) -> float:
        return float(self.settings.a / (self.updates + 1) ** self.settings.alpha)

    def tensors(self) -> Mapping[str, Tensor]:
        return {"momentum": self.momentum}

    def set_updates(self, updates: int) -> None:
        self.updates = updates
