"""Training against a critic: for programs before a generator, where no loss compares one sample with another."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgewise.core.settings import check, setting
from edgewise.reprogram.space import Space
from edgewise.reprogram.trainers.critic import Critic
from edgewise.train.adam import Adam
from edgewise.train.schedule import cosine

Made = Callable[[], tuple[Tensor, Tensor]]
"""Samples made by the program as it is now, of the present batch's classes, and their penalty; others every time."""


@dataclass(frozen=True)
class Adversarial:
    """A critic learns to tell labelled real samples from made ones, the program to be taken for real.

    The program's loss is the non-saturating one, ``softplus(-D(G(z'), y))`` (Goodfellow et al., 2014).  The critic's is
    plain, ``l(D(x, y)) + l(-D(G(z'), y))`` with ``l(t) = softplus(-t)``, or, with ``unlabelled`` (InRep+, Dinh et al.,
    2022), takes what is made for unlabelled rather than for wrong, since a good generator makes samples of every class
    without any program.  A share p of what is made is then right already, and the loss learns from positive and
    unlabelled samples (Kiryo et al., 2017)::

        (1 + p) l(D(x, y)) + max(0, l(-D(G(z'), y)) - p l(-D(x, y)))

    p grows from 1/K, which it is before training, to 1, which it should be at the end, with the progress of the
    training, as in the authors' code.  Deviations from it: the logistic loss, not the hinge; no 30 steps without p,
    as p is exact at the start; Adam's usual moments; both rates fall to zero along a cosine.
    """

    name: ClassVar[str] = "adversarial"
    lr: float = setting(1e-3, "learning rate of the program", low=0, high=10)
    critic_lr: float = setting(1e-3, "learning rate of the critic", low=0, high=10)
    critic_steps: int = setting(1, "steps of the critic for one of the program", low=1, high=100)
    width: int = setting(32, "channels of the critic's first convolution", low=1, high=1024)
    unlabelled: bool = setting(True, "made samples count as unlabelled, not as wrong")
    shift: int = setting(0, "pixels that the critic sees real and made samples shifted by at random", low=0, high=64)

    def __post_init__(self) -> None:
        check(self)

    def build(self, parameters: Sequence[tuple[str, nn.Parameter]], samples: Space, classes: int) -> "Duel":
        """A critic of ``samples`` of ``classes`` classes and the named ``parameters`` of a program, face to face."""
        return Duel(self, parameters, Critic(samples, classes, self.width), classes)


def right_share(classes: int, progress: float) -> float:
    """The share of made samples that count as right when ``progress`` of the training is done."""
    return 1 / classes + progress * (1 - 1 / classes)


def critics_loss(real: Tensor, made: Tensor, right: float | None) -> Tensor:
    """Of logits (N,) of real samples and of made ones, of which the share ``right`` is right; None: no one is."""
    hit, miss = F.softplus(-real).mean(), F.softplus(made).mean()
    if right is None:
        return hit + miss
    return (1 + right) * hit + (miss - right * F.softplus(real).mean()).clamp_min(0)


def shifted(images: Tensor, most: int) -> Tensor:
    """Each of ``images`` (N, C, H, W) shifted by up to ``most`` pixels both ways at random, zeros coming in."""
    if not most:
        return images
    down, right = torch.randint(2 * most + 1, (2, len(images), 1))
    rows, columns = torch.arange(images.shape[2]) + down, torch.arange(images.shape[3]) + right
    wide = F.pad(images, (most,) * 4).permute(0, 2, 3, 1)
    return wide[torch.arange(len(images))[:, None, None], rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


class Duel:
    """The program's parameters, the critic, and what both remember of earlier steps."""

    def __init__(
        self, settings: Adversarial, parameters: Sequence[tuple[str, nn.Parameter]], critic: Critic, classes: int
    ) -> None:
        self.settings, self.critic, self.classes = settings, critic.train(), classes
        self.own = [parameter for _, parameter in parameters]
        self.program_adam = Adam({"program": parameters})
        self.critic_adam = Adam({"critic": list(critic.named_parameters())})

    def step(self, real: Tensor, classes: Tensor, made: Made, progress: float, seed: int) -> tuple[float, int]:
        """Move the critic, then the program; its loss before, and how many made samples the critic took for real.

        ``real`` (N, …) are of ``classes`` (N,); ``seed`` is all that may be random.  A loss that is not finite, of
        either, moves nothing and is what is answered.
        """
        torch.manual_seed(seed)
        settings, falling = self.settings, cosine(progress)
        for _ in range(settings.critic_steps):
            with torch.no_grad():
                fakes, _ = made()
            share = right_share(self.classes, progress) if settings.unlabelled else None
            found = critics_loss(self._judged(real, classes), self._judged(fakes, classes), share)
            if not math.isfinite(value := float(found.detach())):
                return value, 0
            found.backward()
            self.critic_adam.step({"critic": settings.critic_lr * falling})
        fakes, penalty = made()
        logits = self._judged(fakes, classes)
        aimed = F.softplus(-logits).mean() + penalty
        if math.isfinite(value := float(aimed.detach())):
            for parameter, slope in zip(self.own, torch.autograd.grad(aimed, self.own), strict=True):
                parameter.grad = slope
            self.program_adam.step({"program": settings.lr * falling})
        return value, int((logits.detach() > 0).sum())

    def _judged(self, samples: Tensor, classes: Tensor) -> Tensor:
        logits: Tensor = self.critic(shifted(samples, self.settings.shift), classes)
        return logits

    def rate(self, progress: float) -> float:
        """The program's learning rate when ``progress`` of the training is done."""
        return self.settings.lr * cosine(progress)

    def tensors(self) -> Mapping[str, Tensor]:
        """What it remembers, by name; live."""
        return {
            **{f"critic/{name}": tensor for name, tensor in self.critic.state_dict().items()},
            **{f"critic_adam/{name}": tensor for name, tensor in self.critic_adam.tensors().items()},
            **{f"program_adam/{name}": tensor for name, tensor in self.program_adam.tensors().items()},
        }

    def set_updates(self, updates: int) -> None:
        """Tell it how many steps were made before."""
        self.program_adam.steps, self.critic_adam.steps = updates, updates * self.settings.critic_steps
