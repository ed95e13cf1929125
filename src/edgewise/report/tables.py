"""What the pages' tables hold, as plain values; how they look is the templates' affair."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgewise.core.units import megabytes
from edgewise.report.fit_record import SPLITS, Data

LISTED = 300  # rows of a class table; a page of thousands is nobody's reading


@dataclass(frozen=True)
class CostRow:
    """A quantity, its value as text (None: not measured) and what the word means."""

    name: str
    value: str | None
    meaning: str


@dataclass(frozen=True)
class ClassRow:
    """Images of a class in each split, and the share recognised (0-1; None: not tried)."""

    name: str
    counts: tuple[int, ...]
    accuracy: float | None


@dataclass(frozen=True)
class Confusion:
    """``count`` of ``total`` images of ``truth`` were taken for ``answer``."""

    truth: str
    answer: str
    count: int
    total: int


_MEMORY = (
    ("kept_mb", "Kept", "held between forward and backward, without parameters, buffers and the input"),
    (
        "measured_peak_mb",
        "Peak",
        "highest live memory in a training step over the level after import; "
        "weights, input, gradients and optimizer included",
    ),
    ("measured_rss_mb", "Resident", "highest resident size of the fresh process over its size after import"),
    ("predicted_mb", "Predicted", "what Edgewise expects before anything runs"),
    ("published_mb", "As published", "counted the way the method’s paper counts"),
)
_WORK = (
    ("step_ms", "One step", "median time of forward, backward and gradients, one batch"),
    ("macs_forward", "Forward", "multiply-accumulates for one image, in millions"),
    ("macs_backward", "Backward", "multiply-accumulates of its gradients, in millions"),
)


def memory_rows(cost: Mapping[str, float | None]) -> list[CostRow]:
    """What a training step takes in memory, measured or not, with the definitions."""
    return [_cost_row(key, name, meaning, cost[key]) for key, name, meaning in _MEMORY]


def work_rows(cost: Mapping[str, float | None]) -> list[CostRow]:
    """What a training step takes in time and arithmetic, measured or not."""
    return [_cost_row(key, name, meaning, cost[key]) for key, name, meaning in _WORK]


def class_rows(data: Data, per_class: Sequence[float | None]) -> list[ClassRow]:
    """The classes in their order, at most `LISTED`."""
    counts = zip(*(data.counts[split] for split in SPLITS), strict=True)
    return [ClassRow(*row) for row in zip(data.classes, counts, per_class, strict=True)][:LISTED]


def confusions(classes: Sequence[str], confusion: Sequence[Sequence[int]], most: int) -> list[Confusion]:
    """The ``most`` commonest mix-ups, most frequent first; none happened where the list is empty."""
    found = (
        Confusion(classes[truth], classes[answer], count, sum(row))
        for truth, row in enumerate(confusion)
        for answer, count in enumerate(row)
        if count and truth != answer
    )
    return sorted(found, key=lambda one: (-one.count, -one.count / one.total, one.truth, one.answer))[:most]


def _cost_row(key: str, name: str, meaning: str, value: float | None) -> CostRow:
    if value is None:
        return CostRow(name, None, meaning)
    if key.endswith("_mb"):
        return CostRow(name, megabytes(1e6 * value), meaning)
    return CostRow(name, f"{value:,.1f} ms" if key.endswith("_ms") else f"{value / 1e6:,.1f} M", meaning)
