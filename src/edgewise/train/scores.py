"""From class probabilities to what people ask: how often right, on which class, which mistakes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Evaluation:
    """``confusion[truth][predicted]`` counts; ``per_class`` is None for a class without images."""

    classes: tuple[str, ...]
    accuracy: float
    n: int
    per_class: dict[str, float | None]
    confusion: list[list[int]]

    def to_json(self) -> dict[str, Any]:
        return {
            "accuracy": self.accuracy,
            "n": self.n,
            "per_class": self.per_class,
            "confusion": self.confusion,
            "classes": list(self.classes),
        }


def evaluation(probabilities: Tensor, labels: Sequence[int], classes: tuple[str, ...]) -> Evaluation:
    """Score ``probabilities`` (n, classes) against ``labels``."""
    guesses = probabilities.argmax(1).tolist()
    confusion = [[0] * len(classes) for _ in classes]
    for truth, guess in zip(labels, guesses, strict=True):
        confusion[truth][guess] += 1
    per_class = {
        name: confusion[i][i] / sum(confusion[i]) if sum(confusion[i]) else None for i, name in enumerate(classes)
    }
    hits = sum(confusion[i][i] for i in range(len(classes)))
    return Evaluation(classes, hits / len(labels), len(labels), per_class, confusion)


def worst_mistakes(probabilities: Tensor, labels: Sequence[int], most: int) -> list[tuple[int, int, float]]:
    """Up to ``most`` wrong answers, the most confident first: (row, predicted class, confidence)."""
    confidence, guesses = probabilities.max(1)
    wrong = torch.nonzero(guesses != torch.tensor(labels)).flatten().tolist()
    wrong.sort(key=lambda row: (-float(confidence[row]), row))
    return [(row, int(guesses[row]), float(confidence[row])) for row in wrong[:most]]
