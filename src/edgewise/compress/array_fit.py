"""The costs of a processing-element array from speed-ups that somebody measured, and what they predict of others.

The dissertation's Table 7 is three such speed-ups; each pair of them can be fitted and the third predicted
(``recipes/compress/pe_array.py``).  What comes out explains numbers, it does not measure any.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal

from edgewise.compress.array import Array, Layer, cycles, dense_cycles, speedup

Cost = Literal["index", "fixed"]


@dataclass(frozen=True)
class Measured:
    """A speed-up that somebody measured."""

    layer: Layer
    speedup: float


@dataclass(frozen=True)
class Prediction:
    """Of a layer that the ``array`` was not calibrated on."""

    layer: Layer
    measured: float
    predicted: float
    array: Array


# Weights (N, N, 3, 3), groups 16 x 3 x 3.  The sizes of the maps are ResNet-20's; the table does not print them.
TABLE_7 = (
    Measured(Layer("stage 1", 16, 1, 144, 32 * 32, 9), 1.56),
    Measured(Layer("stage 2", 32, 2, 144, 16 * 16, 33), 1.69),
    Measured(Layer("stage 3", 64, 4, 144, 8 * 8, 119), 1.73),
)


def calibrated(measured: Sequence[Measured], array: Array, free: Sequence[Cost] = ("index", "fixed")) -> Array:
    """``array`` with the costs named in ``free`` such that it explains ``measured``; the other costs as they are.

    A speed-up S says  S (load + lookups index + fixed) = dense + fixed,  which is linear in the costs.  Least squares,
    each equation divided by its dense cycles; no cost below 0.  As many layers as costs are met exactly, unless a
    cost would have to be negative.
    """
    bare = replace(array, index=0.0, fixed=0.0)
    held = {name: value for name, value in (("index", array.index), ("fixed", array.fixed)) if name not in free}
    rows, wanted = [], []
    for one in measured:
        dense, factor = dense_cycles(one.layer, bare), one.speedup
        lookups = cycles(one.layer, replace(bare, index=1.0)) - cycles(one.layer, bare)
        slope = {"index": factor * lookups / dense, "fixed": (factor - 1) / dense}
        rows.append([slope[name] for name in free])
        missing = 1 - factor * cycles(one.layer, bare) / dense
        wanted.append(missing - sum(slope[name] * value for name, value in held.items()))
    found = dict(zip(free, _least_squares(rows, wanted), strict=True))
    return replace(array, index=found.get("index", array.index), fixed=found.get("fixed", array.fixed))


def held_out(measured: Sequence[Measured], array: Array, free: Sequence[Cost] = ("index", "fixed")) -> list[Prediction]:
    """For each layer what the array says of it when it was calibrated on all the others."""
    found = []
    for one in measured:
        fitted = calibrated([other for other in measured if other is not one], array, free)
        predicted = speedup([one.layer], fitted).with_imbalance
        found.append(Prediction(one.layer, one.speedup, predicted, fitted))
    return found


def _least_squares(rows: Sequence[Sequence[float]], wanted: Sequence[float]) -> list[float]:
    """The x >= 0, of one or two numbers, with the least |rows x - wanted|: the best of the faces' own optima."""
    size = len(rows[0])
    best, least = [0.0] * size, sum(value * value for value in wanted)
    for count in range(1, size + 1):
        for kept in combinations(range(size), count):
            inner = _normal([[row[index] for index in kept] for row in rows], wanted)
            if inner is None or min(inner) < 0:
                continue
            x = [0.0] * size
            for index, value in zip(kept, inner, strict=True):
                x[index] = value
            left = sum(
                (sum(a * b for a, b in zip(row, x, strict=True)) - value) ** 2
                for row, value in zip(rows, wanted, strict=True)
            )
            if left < least:
                best, least = x, left
    return best


def _normal(rows: Sequence[Sequence[float]], wanted: Sequence[float]) -> list[float] | None:
    """The unbounded optimum of one or two numbers by the normal equations; None where it is not unique."""
    columns = list(zip(*rows, strict=True))
    products = [[sum(a * b for a, b in zip(one, other, strict=True)) for other in columns] for one in columns]
    right = [sum(a * b for a, b in zip(one, wanted, strict=True)) for one in columns]
    if len(columns) == 1:
        return [right[0] / products[0][0]] if products[0][0] else None
    (a, b), (_, d) = products
    determinant = a * d - b * b
    if determinant <= 1e-12 * a * d:
        return None
    return [(d * right[0] - b * right[1]) / determinant, (a * right[1] - b * right[0]) / determinant]
