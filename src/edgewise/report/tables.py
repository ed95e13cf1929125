"""What the pages' tables hold, as plain values; how they look is the templates' affair."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True)
class _Quantity:
    key: str
    name: str
    unit: str
    meaning: str
    scale: float = 1.0


_MEMORY = (
    _Quantity(
        "kept_mb",
        "Kept",
        "MB",
        "held between forward and backward, without parameters, buffers and the input",
    ),
    _Quantity(
        "measured_peak_mb",
        "Peak",
        "MB",
        "highest live memory in a training step over the level after import; "
        "weights, input, gradients and optimizer included",
    ),
    _Quantity(
        "measured_rss_mb", "Resident", "MB", "highest resident size of the fresh process over its size after import"
    ),
    _Quantity("predicted_mb", "Predicted", "MB", "what Edgewise expects before anything runs"),
    _Quantity("published_mb", "As published", "MB", "counted the way the method’s paper counts"),
)
_WORK = (
    _Quantity("step_ms", "One step", "ms", "median time of forward, backward and gradients, one batch"),
    _Quantity("macs_forward", "Forward", "M", "multiply-accumulates for one image, in millions", 1e-6),
    _Quantity("macs_backward", "Backward", "M", "multiply-accumulates of its gradients, in millions", 1e-6),
)


def memory_rows(cost: Mapping[str, float | None]) -> list[CostRow]:
    """What a training step takes in memory, measured or not, with the definitions."""
    return [_cost_row(quantity, cost) for quantity in _MEMORY]


def work_rows(cost: Mapping[str, float | None]) -> list[CostRow]:
    """What a training step takes in time and arithmetic, measured or not."""
    return [_cost_row(quantity, cost) for quantity in _WORK]


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


def _cost_row(quantity: _Quantity, cost: Mapping[str, float | None]) -> CostRow:
    value = cost[quantity.key]
    return CostRow(
        quantity.name, None if value is None else _amount(value * quantity.scale, quantity.unit), quantity.meaning
    )


def _amount(value: float, unit: str) -> str:
    """Three figures or so: ``"2,140 MB"``, ``"21.3 MB"``, ``"0.02 MB"``."""
    size = abs(value)
    return f"{value:,.0f} {unit}" if size >= 1000 else f"{value:.1f} {unit}" if size >= 1 or not size else f"{value:.2g} {unit}"
