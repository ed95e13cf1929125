"""Many labels of the source for each class of the task: what most mappings come to."""

from typing import Any

import torch
from torch import Tensor, nn

from edgewise.core.errors import UsageError
from edgewise.core.settings import setting
from edgewise.reprogram.base import LEAST, Aggregate, Domain


class LabelMap(nn.Module):
    """The score of class t is the mean, or the largest, of the scores of its labels B_t (survey, eq. 2).

    ``labels`` (classes, m) are the source's; no label serves two classes.  Probabilities are combined
    first and their logarithm is taken then, logits are combined as they are.
    """

    def __init__(self, labels: Tensor, domain: Domain, aggregate: Aggregate) -> None:
        super().__init__()
        self.domain, self.aggregate = domain, aggregate
        self.labels: Tensor
        self.register_buffer("labels", labels.long())

    def forward(self, scores: Tensor) -> Tensor:
        """(N, source's classes) to logits (N, classes)."""
        own = scores[:, self.labels]
        combined = own.mean(2) if self.aggregate == "mean" else own.amax(2)
        return combined if self.domain == "logits" else combined.clamp_min(LEAST).log()


def labels_each() -> Any:
    """The field of a mapping's settings that says how many labels a class gets."""
    return setting(1, "the source's labels for each class", low=1, high=1000)


def combining(default: Domain = "probs") -> Any:
    """The field that says what is combined."""
    return setting(default, "what is combined", choices=("probs", "logits"))


def aggregating() -> Any:
    """The field that says how a class's labels are combined."""
    return setting("mean", "how a class's labels are combined", choices=("mean", "max"))


def enough(source_classes: int, classes: int, each: int) -> None:
    """Raise `UsageError` where a source of ``source_classes`` has not ``each`` labels for every one of ``classes``."""
    if classes * each > source_classes:
        most = source_classes // max(1, classes)
        advice = f"take at most {most} labels a class" if most else "take a source with more classes"
        raise UsageError(
            f"{classes} classes with {each} labels each need {classes * each} labels, and the source has "
            f"{source_classes}: {advice}."
        )


def greedy(weights: Tensor, each: int) -> Tensor:
    """Labels (classes, ``each``): always the largest of ``weights`` (source's classes, classes) that is left.

    Of equal weights the lowest label comes first, then the lowest class, so that nothing depends on the
    order of computation.  A class that was met too rarely is filled up with the lowest labels left.
    """
    free = weights.double().clone()
    taken: list[list[int]] = [[] for _ in range(weights.shape[1])]
    for _ in range(each * weights.shape[1]):
        label, target = divmod(int(free.flatten().argmax()), weights.shape[1])
        if free[label, target] <= 0:
            break
        taken[target].append(label)
        free[label] = -1
        if len(taken[target]) == each:
            free[:, target] = -1
    used = {label for own in taken for label in own}
    rest = iter(label for label in range(len(weights)) if label not in used)
    return torch.tensor([own + [next(rest) for _ in range(each - len(own))] for own in taken])
