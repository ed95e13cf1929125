"""What a fitted mapping reads the source's classes as, for people to look at."""

import torch
from torch import Tensor

from edgewise.reprogram.base import Reader
from edgewise.reprogram.mappings.label_map import LabelMap
from edgewise.reprogram.mappings.linear import LinearReader
from edgewise.reprogram.mappings.matrix import MatrixMap

Entry = tuple[int, float | None]


def read_as(reader: Reader, most: int = 8) -> list[list[Entry]] | None:
    """For each class of the task the source's labels that stand for it, at most ``most``, and their weights.

    A label that counts like the others of its class has no weight; where labels have weights the largest come first,
    and those that are 0 or less are left out.  None where ``reader`` cannot be told in this way.
    """
    if isinstance(reader, LabelMap):
        return [[(label, None) for label in own[:most]] for own in reader.labels.tolist()]
    if isinstance(reader, MatrixMap):
        return _heaviest(reader.matrix.t(), most)
    if isinstance(reader, LinearReader):
        return _heaviest(reader.weight.detach(), most)
    return None


def _heaviest(weights: Tensor, most: int) -> list[list[Entry]]:
    """``weights`` (classes, source's classes); of equal ones the lowest label comes first."""
    ordered, labels = torch.sort(weights.double(), dim=1, descending=True, stable=True)
    rows = zip(labels[:, :most].tolist(), ordered[:, :most].tolist(), strict=True)
    return [[(label, weight) for label, weight in zip(*row, strict=True) if weight > 0] for row in rows]
