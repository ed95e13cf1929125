"""Learning from what was drawn: for sources whose answers have no gradient, and programs that choose at random."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from edgewise.core.settings import check, setting
from edgewise.reprogram.trainers.base import Loss, Losses, Stepper
from edgewise.train.adam import Adam
from edgewise.train.schedule import cosine


def surrogate(losses: Losses) -> Tensor:
    """A number whose gradient is in the mean that of the expected loss (Williams, REINFORCE, 1992).

    ``mean_i [l_i + (l_i - b_i) log p_i]``, where the baseline b_i is the mean loss of the batch's other samples: so it
    does not depend on what was drawn for i, and the estimate is unbiased (Kool et al., 2019; with i itself among them
    it would be too short by 1 / N).  A batch of one has none.  Only the second term reaches what draws; the first is
    for a reader that trains too.
    """
    each = losses.each
    if losses.log_chance is None:
        return each.mean()
    got, others = each.detach(), max(1, len(each) - 1)
    baseline = (got.sum() - got) / others
    return (each + (got - baseline) * losses.log_chance).mean()


@dataclass(frozen=True)
class PolicyGradient:
    """Adam along the score-function estimate: one query a sample and step, and labels alone will do.

    The released code of Neekhara et al. (EMNLP 2019) rewards a right label with 1 and a wrong one with -1; here the
    loss is what it is everywhere, and before a source that only gives labels it takes two values too.
    """

    name: ClassVar[str] = "policy"
    follows_gradients: ClassVar[bool] = False
    draws: ClassVar[bool] = True
    lr: float = setting(0.05, "learning rate", low=0, high=100)

    def __post_init__(self) -> None:
        check(self)

    def build(self, parameters: Sequence[tuple[str, nn.Parameter]]) -> Stepper:
        return _Steps(self.lr, parameters)

    def evaluations(self) -> int:
        return 1


class _Steps:
    def __init__(self, lr: float, parameters: Sequence[tuple[str, nn.Parameter]]) -> None:
        self.lr, self.adam = lr, Adam({"program": parameters})

    def step(self, loss: Loss, progress: float, seed: int) -> float:
        torch.manual_seed(seed)
        losses = loss()
        value = float(losses.each.detach().mean())
        if math.isfinite(value):
            surrogate(losses).backward()
            self.adam.step({"program": self.rate(progress)})
        return value

    def rate(self, progress: float) -> float:
        return self.lr * cosine(progress)

    def tensors(self) -> Mapping[str, Tensor]:
        return self.adam.tensors()

    def set_updates(self, updates: int) -> None:
        self.adam.steps = updates
