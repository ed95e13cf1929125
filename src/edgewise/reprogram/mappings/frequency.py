"""Mappings from what the source says of the task's samples: counts, taken greedily or at the best."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from edgewise.core.settings import check, setting
from edgewise.reprogram.base import Aggregate, Domain, Reader, counted
from edgewise.reprogram.mappings.assignment import assigned
from edgewise.reprogram.mappings.label_map import LabelMap, aggregating, combining, enough, greedy, labels_each
from edgewise.reprogram.mappings.matrix import MatrixMap


@dataclass(frozen=True)
class FrequencyMap:
    """The labels that the source gives most often to a class's samples, taken greedily (Tsai et al., BAR, ICML 2020).

    The source's first choice is counted on every training sample; the largest count of all decides first
    (`greedy` says what happens to equal ones).  Fitted once, with the program as it starts.
    """

    name: ClassVar[str] = "frequency"
    needs_scores: ClassVar[bool] = True
    every: ClassVar[int] = 0
    labels: int = labels_each()
    domain: Domain = combining()
    aggregate: Aggregate = aggregating()

    def __post_init__(self) -> None:
        check(self)

    def fit(self, scores: Tensor, targets: Tensor, classes: int) -> Reader:
        enough(scores.shape[1], classes, self.labels)
        return LabelMap(greedy(counted(scores, targets, classes), self.labels), self.domain, self.aggregate)


@dataclass(frozen=True)
class IterativeMap:
    """`FrequencyMap`, fitted again after every epoch (Chen et al., ILM-VP, CVPR 2023): the program moves the counts."""

    name: ClassVar[str] = "iterative"
    needs_scores: ClassVar[bool] = True
    labels: int = labels_each()
    every: int = setting(1, "epochs between two fits", low=1, high=10_000)
    domain: Domain = combining()
    aggregate: Aggregate = aggregating()

    def __post_init__(self) -> None:
        check(self)

    def fit(self, scores: Tensor, targets: Tensor, classes: int) -> Reader:
        return FrequencyMap(self.labels, self.domain, self.aggregate).fit(scores, targets, classes)


@dataclass(frozen=True)
class OptimalMap:
    """The labels that match most samples in sum: an optimal assignment of labels to classes (Kuhn, 1955)."""

    name: ClassVar[str] = "optimal"
    needs_scores: ClassVar[bool] = True
    every: ClassVar[int] = 0
    labels: int = labels_each()
    domain: Domain = combining()
    aggregate: Aggregate = aggregating()

    def __post_init__(self) -> None:
        check(self)

    def fit(self, scores: Tensor, targets: Tensor, classes: int) -> Reader:
        enough(scores.shape[1], classes, self.labels)
        counts = counted(scores, targets, classes)
        labels = assigned(counts.repeat_interleave(self.labels, 1)).view(classes, self.labels)
        return LabelMap(labels.sort(1).values, self.domain, self.aggregate)


@dataclass(frozen=True)
class BayesianMap:
    """How probable each class is, given each label (Cai et al., BLM and BLM+, NeurIPS 2024).

    omega[s, t] = C[s, t] / (sum_t C[s, t] + ``smoothing``), each column then divided by its sum; a class's score is the
    scores' product with its column.  C counts first choices, or sums the ``top`` largest probabilities
    of a sample (BLM+).  Deviations: the paper's ``top`` is a share of the classes that comes to 0 for few of them;
    here it is a number.  A class that no label was given to gets the mean of all labels, not 0 / 0.
    """

    name: ClassVar[str] = "bayesian"
    needs_scores: ClassVar[bool] = True
    smoothing: float = setting(1.0, "added to a label's count", low=0, high=1e6)
    top: int = setting(0, "probabilities of a sample that are summed up; 0 counts the first choice", low=0, high=1000)
    every: int = setting(1, "epochs between two fits", low=1, high=10_000)
    domain: Domain = combining()

    def __post_init__(self) -> None:
        check(self)

    def fit(self, scores: Tensor, targets: Tensor, classes: int) -> Reader:
        enough(scores.shape[1], classes, 1)
        evidence = self._evidence(scores, targets, classes)
        share = evidence / (evidence.sum(1, keepdim=True) + self.smoothing).clamp_min(torch.finfo(torch.double).tiny)
        total = share.sum(0, keepdim=True)
        even = torch.full_like(share, 1 / len(share))
        return MatrixMap(torch.where(total > 0, share / total.clamp_min(1e-300), even).float(), self.domain)

    def _evidence(self, scores: Tensor, targets: Tensor, classes: int) -> Tensor:
        if not self.top:
            return counted(scores, targets, classes).double()
        probs = scores.double() if self.domain == "probs" else scores.double().softmax(1)
        largest, places = probs.topk(min(self.top, probs.shape[1]), 1)
        kept = torch.zeros_like(probs).scatter_(1, places, largest)
        return torch.zeros(classes, probs.shape[1], dtype=torch.double).index_add_(0, targets, kept).t()
