"""Mappings that look at nothing: the first labels, and random ones."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from edgewise.core.settings import check, setting
from edgewise.reprogram.base import Aggregate, Domain, Reader
from edgewise.reprogram.mappings.label_map import LabelMap, aggregating, combining, enough, labels_each


@dataclass(frozen=True)
class FirstLabels:
    """The source's first labels, in order (Elsayed et al., ICLR 2019: one a class)."""

    name: ClassVar[str] = "first"
    needs_scores: ClassVar[bool] = False
    every: ClassVar[int] = 0
    labels: int = labels_each()
    domain: Domain = combining()
    aggregate: Aggregate = aggregating()

    def __post_init__(self) -> None:
        check(self)

    def fit(self, scores: Tensor, targets: Tensor, classes: int) -> Reader:
        enough(scores.shape[1], classes, self.labels)
        return LabelMap(torch.arange(classes * self.labels).view(classes, -1), self.domain, self.aggregate)


@dataclass(frozen=True)
class RandomLabels:
    """Random labels, no two classes sharing one (Yang et al., Voice2Series, ICML 2021, with many a class)."""

    name: ClassVar[str] = "random"
    needs_scores: ClassVar[bool] = False
    every: ClassVar[int] = 0
    labels: int = labels_each()
    domain: Domain = combining()
    aggregate: Aggregate = aggregating()
    seed: int = setting(0, "of the drawing", low=0, high=2**31)

    def __post_init__(self) -> None:
        check(self)

    def fit(self, scores: Tensor, targets: Tensor, classes: int) -> Reader:
        enough(scores.shape[1], classes, self.labels)
        drawn = torch.randperm(scores.shape[1], generator=torch.Generator().manual_seed(self.seed))
        return LabelMap(drawn[: classes * self.labels].view(classes, -1), self.domain, self.aggregate)
