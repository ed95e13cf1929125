"""Classes that look alike to the source."""

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from edgewise.core.settings import check
from edgewise.reprogram.base import Aggregate, Domain, Reader
from edgewise.reprogram.mappings.label_map import LabelMap, aggregating, combining, enough, greedy, labels_each


@dataclass(frozen=True)
class SimilarityMap:
    """Each label goes to the class whose mean answer is most like the label's own (Yen et al., Interspeech 2023).

    The paper compares centroids of penultimate features; an API gives none, so here the centroid of class t
    is the mean of the source's scores on its samples, and that of label s the answer that is sure of s: their cosine
    is the centroid's entry s over its length.  The largest decides first, as in `FrequencyMap`.
    """

    name: ClassVar[str] = "similarity"
    needs_scores: ClassVar[bool] = True
    every: ClassVar[int] = 0
    labels: int = labels_each()
    domain: Domain = combining()
    aggregate: Aggregate = aggregating()

    def __post_init__(self) -> None:
        check(self)

    def fit(self, scores: Tensor, targets: Tensor, classes: int) -> Reader:
        enough(scores.shape[1], classes, self.labels)
        probs = (scores if self.domain == "probs" else scores.softmax(1)).double()
        sums = torch.zeros(classes, probs.shape[1], dtype=torch.double).index_add_(0, targets, probs)
        return LabelMap(greedy(F.normalize(sums, dim=1).t(), self.labels), self.domain, self.aggregate)
