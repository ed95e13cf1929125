"""How many cycles an array of processing elements takes for a ternary layer.  A model, never a measurement.

The dissertation (Section 2.4.4, Table 7) prints three speed-ups on an FPGA over the same accelerator without group
skipping, and neither clock, element count nor cycles.  They do not follow from the counts of groups: 16 groups of which
9 are stored would be 1.78 times faster, 1.56 is printed.  This model says what may lie between.

    job      one group (C_g x K x K weights of one filter) over all H W places of the output
    cycles   H W ceil(C_g K K / adders) + fetch          for a job; an absent group's job is left out
    index    to look up whether a group is stored        for every group, absent ones too; only where groups are skipped
    element  has every P-th filter, whole                 so a layer takes as long as its most loaded element
    fixed    filling and draining, once a layer           with and without skipping

An element that holds whole filters needs no adder between elements, and the bits of the index in the order of the file.
The price is imbalance.  Which groups are absent, Table 7 does not say: there, every arrangement counts as equally
likely and the load of the most loaded element is its expected value, exactly.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import ceil, comb

from edgewise.compress.network import Conv, Network, Packed
from edgewise.compress.shape_rules import shapes
from edgewise.core.errors import UsageError


@dataclass(frozen=True)
class Layer:
    """``filters`` filters of ``slabs`` groups, each of ``weights`` (C_g K K), at ``places`` (H W) of the output.

    ``stored``: groups that are not absent, in each filter, or in all together where no more is known.
    Raises `UsageError` for counts that cannot be.
    """

    name: str
    filters: int
    slabs: int
    weights: int
    places: int
    stored: tuple[int, ...] | int

    def __post_init__(self) -> None:
        if min(self.filters, self.slabs, self.weights, self.places) < 1:
            raise UsageError(f"Layer {self.name}: filters, slabs, weights and places must be 1 or more.")
        if isinstance(self.stored, tuple) and (
            len(self.stored) != self.filters or not all(0 <= one <= self.slabs for one in self.stored)
        ):
            raise UsageError(
                f"Layer {self.name} has {self.filters} filters of {self.slabs} groups; stored must be as many "
                f"counts from 0 to {self.slabs}."
            )
        if not 1 <= self.held <= self.groups:
            raise UsageError(
                f"Layer {self.name} stores {self.held} of {self.groups} groups; it must be 1 at least, or the layer "
                "is dead and its network answers nothing."
            )

    @property
    def groups(self) -> int:
        return self.filters * self.slabs

    @property
    def held(self) -> int:
        """Stored groups."""
        return sum(self.stored) if isinstance(self.stored, tuple) else self.stored


@dataclass(frozen=True)
class Array:
    """``elements`` processing elements of ``adders`` adders each; costs in cycles.

    ``fetch``: to bring a stored group's codes, as far as the job before does not hide it (9: 288 bits, 32 at a time);
    ``index``: to look up one group; ``fixed``: of a layer.  Raises `UsageError` for less than nothing.
    """

    elements: int = 1
    adders: int = 144
    fetch: float = 9.0
    index: float = 0.0
    fixed: float = 0.0

    def __post_init__(self) -> None:
        if self.elements < 1 or self.adders < 1:
            raise UsageError(f"An array of {self.elements} elements with {self.adders} adders: 1 at least of each.")
        if min(self.fetch, self.index, self.fixed) < 0:
            raise UsageError(f"fetch {self.fetch:g}, index {self.index:g}, fixed {self.fixed:g}: cycles are 0 or more.")


@dataclass(frozen=True)
class Speedup:
    """Over the same array without skipping: by the counts alone, ``ideal``; with fetch, index and fixed costs at equal
    loads, ``with_overhead``; and with the loads as they are, ``with_imbalance``."""

    ideal: float
    with_overhead: float
    with_imbalance: float


def packed_layers(network: Network) -> list[Layer]:
    """The ternary layers of ``network``, in order, with what each of their filters stores.

    Raises `UsageError` where one has no group left.
    """
    found = []
    for step, (_, height, width) in zip(network.steps, shapes(network)[1:], strict=True):
        if isinstance(step.op, Conv) and isinstance(step.op.weight, Packed):
            codes, slab = step.op.weight.ternary.codes, step.op.weight.slab
            filters, channels, high, wide = codes.shape
            groups = codes.reshape(filters, channels // slab, slab * high * wide)
            stored = tuple(groups.any(2).sum(1).tolist())
            found.append(Layer(step.name, filters, channels // slab, slab * high * wide, height * width, stored))
    return found


def job(layer: Layer, array: Array) -> float:
    """Cycles of one group."""
    return layer.places * ceil(layer.weights / array.adders) + array.fetch


def dense_cycles(layer: Layer, array: Array) -> float:
    """Cycles of the layer without skipping: every group is computed, and none looked up."""
    return ceil(layer.filters / array.elements) * layer.slabs * job(layer, array) + array.fixed


def cycles(layer: Layer, array: Array) -> float:
    """Cycles of the layer with absent groups skipped; see `most_stored` for layers whose arrangement is not known."""
    each, lookup = job(layer, array), layer.slabs * array.index
    if isinstance(layer.stored, tuple):
        loads = (layer.stored[first :: array.elements] for first in range(array.elements))
        return max(each * sum(load) + lookup * len(load) for load in loads) + array.fixed
    return each * most_stored(layer, array.elements) + lookup * layer.filters / array.elements + array.fixed


def most_stored(layer: Layer, elements: int) -> float:
    """Groups that the most loaded of ``elements`` computes.

    Where the arrangement is not known, the expected value over all of them.  Raises `UsageError` where the filters
    then do not divide among the elements: the expectation is for equal shares.
    """
    if isinstance(layer.stored, tuple):
        return max(sum(layer.stored[first::elements]) for first in range(elements))
    if layer.filters % elements:
        raise UsageError(
            f"Layer {layer.name}: {layer.filters} filters do not divide among {elements} elements. Choose a divisor, "
            "or say how many groups each filter stores."
        )
    return _expected_most(layer.groups // elements, elements, layer.stored)


def most_even(layer: Layer, elements: int) -> float:
    """The largest speed-up that any arrangement of the stored groups allows: the loads differ by one at most."""
    return ceil(layer.filters / elements) * layer.slabs / ceil(layer.held / elements)


def speedup(layers: Sequence[Layer], array: Array) -> Speedup:
    """Of ``layers`` one after another.  `ideal` is never passed where the filters divide among the elements."""
    jobs = [job(layer, array) for layer in layers]
    dense = sum(each * layer.groups for each, layer in zip(jobs, layers, strict=True)) / array.elements
    held = sum(each * layer.held for each, layer in zip(jobs, layers, strict=True)) / array.elements
    lookups = array.index * sum(layer.groups for layer in layers) / array.elements
    fixed = array.fixed * len(layers)
    return Speedup(
        ideal=dense / held,
        with_overhead=(dense + fixed) / (held + lookups + fixed),
        with_imbalance=sum(dense_cycles(layer, array) for layer in layers)
        / sum(cycles(layer, array) for layer in layers),
    )


@cache
def _expected_most(groups: int, elements: int, stored: int) -> float:
    """E max over ``elements`` of ``groups`` each, of which ``stored`` in all, every choice of them equally likely.

    Choices with no element above m are the coefficient of x^stored in (sum over j <= m of C(groups, j) x^j)^elements;
    E max is the sum over m of the chance that an element has more than m.
    """
    choices = comb(groups * elements, stored)
    least = ceil(stored / elements)  # no element has fewer: below it the chance is 1
    below = [
        _coefficient([comb(groups, j) for j in range(m + 1)], elements, stored)
        for m in range(least, min(groups, stored))
    ]
    return least + sum((choices - count) / choices for count in below)


def _coefficient(polynomial: Sequence[int], exponent: int, degree: int) -> int:
    """The coefficient of x^degree in ``polynomial`` to the power ``exponent``."""
    product = [1]
    for _ in range(exponent):
        longer = [0] * min(len(product) + len(polynomial) - 1, degree + 1)
        for i, a in enumerate(product):
            for j, b in enumerate(polynomial[: len(longer) - i]):
                longer[i + j] += a * b
        product = longer
    return product[degree] if degree < len(product) else 0
