"""A trained layer on the source's answers."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from edgewise.core.settings import check, setting
from edgewise.reprogram.base import Domain, Reader


class LinearReader(nn.Module):
    """``scores @ weight.T + bias``; starts at 0, so that nothing is preferred before training."""

    def __init__(self, source_classes: int, classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(classes, source_classes))
        self.bias = nn.Parameter(torch.zeros(classes))

    def forward(self, scores: Tensor) -> Tensor:
        """(N, source's classes) to logits (N, classes)."""
        return scores @ self.weight.t() + self.bias


@dataclass(frozen=True)
class LinearMap:
    """A dense layer on the source's answers, trained with the program (survey, Section 3; Kloberdanz et al., 2021).

    The one mapping that may have more classes than the source.
    """

    name: ClassVar[str] = "linear"
    needs_scores: ClassVar[bool] = False
    every: ClassVar[int] = 0
    domain: Domain = setting("logits", "what the layer reads", choices=("probs", "logits"))

    def __post_init__(self) -> None:
        check(self)

    def fit(self, scores: Tensor, targets: Tensor, classes: int) -> Reader:
        return LinearReader(scores.shape[1], classes)
