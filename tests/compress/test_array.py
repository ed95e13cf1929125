"""The model of a processing-element array: its bounds, its exact expectation, and what it says of Table 7."""

import math
from dataclasses import replace
from itertools import combinations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from edgewise.compress.array import (
    Array,
    Layer,
    cycles,
    dense_cycles,
    job,
    most_even,
    most_stored,
    packed_layers,
    speedup,
)
from edgewise.compress.array_fit import TABLE_7, Measured, calibrated, held_out
from edgewise.compress.network import Bend, Conv, Network, Packed, Pool, Step
from edgewise.compress.ternary import Ternary
from edgewise.core.errors import UsageError
from edgewise.core.preprocess import Preprocess

FREE = Array(fetch=0)


@st.composite
def layers(draw: st.DrawFn) -> Layer:
    """With the stored groups of every filter known."""
    filters, slabs = draw(st.integers(1, 24)), draw(st.integers(1, 6))
    counts = st.lists(st.integers(0, slabs), min_size=filters, max_size=filters).filter(any)
    weights, places = draw(st.sampled_from([1, 9, 72, 144, 576])), draw(st.integers(1, 1024))
    return Layer("a", filters, slabs, weights, places, tuple(draw(counts)))


arrays = st.builds(
    Array,
    elements=st.integers(1, 9),
    adders=st.sampled_from([1, 16, 144]),
    fetch=st.floats(0, 50),
    index=st.floats(0, 20),
    fixed=st.floats(0, 5000),
)


@given(st.lists(layers(), min_size=1, max_size=4), arrays)
def test_costs_and_imbalance_only_take_away(found: list[Layer], array: Array) -> None:
    got = speedup(found, array)
    assert got.with_overhead <= got.ideal * (1 + 1e-12)
    if all(layer.filters % array.elements == 0 for layer in found):
        assert got.with_imbalance <= got.with_overhead * (1 + 1e-12)


@given(layers(), arrays)
def test_nothing_absent_and_free_lookups_change_nothing(layer: Layer, array: Array) -> None:
    dense = replace(layer, stored=(layer.slabs,) * layer.filters)
    free = replace(array, index=0.0)
    assert cycles(dense, free) == pytest.approx(dense_cycles(dense, free))
    got = speedup([dense], free)
    assert (got.ideal, got.with_overhead, got.with_imbalance) == (pytest.approx(1),) * 3
    assert speedup([dense], replace(array, index=1.0)).with_imbalance < 1


@given(layers(), arrays, st.integers(1, 4))
def test_a_multiple_of_the_elements_is_never_slower(layer: Layer, array: Array, times: int) -> None:
    """Any larger number need not be: filters 0 and 3 share an element of three, and not of two."""
    more = replace(array, elements=array.elements * times)
    assert cycles(layer, more) <= cycles(layer, array) * (1 + 1e-12)
    one_more = replace(array, elements=array.elements + 1)
    assert dense_cycles(layer, one_more) <= dense_cycles(layer, array)


def test_an_element_more_can_be_slower() -> None:
    layer = Layer("a", 4, 1, 9, 100, (1, 0, 0, 1))
    assert cycles(layer, replace(FREE, elements=3)) == 2 * cycles(layer, replace(FREE, elements=2))


@given(layers(), arrays, st.data())
def test_a_group_less_is_never_slower(layer: Layer, array: Array, data: st.DataObject) -> None:
    assert isinstance(layer.stored, tuple)
    places = [index for index, count in enumerate(layer.stored) if count]
    index = data.draw(st.sampled_from(places))
    counts = tuple(count - (place == index) for place, count in enumerate(layer.stored))
    if any(counts):
        assert cycles(replace(layer, stored=counts), array) <= cycles(layer, array)


@given(layers(), arrays, arrays)
def test_costs_only_add_cycles(layer: Layer, array: Array, other: Array) -> None:
    dearer = replace(array, fetch=array.fetch + other.fetch, index=array.index + other.index)
    assert cycles(layer, dearer) >= cycles(layer, array)
    assert cycles(layer, replace(array, fixed=array.fixed + 7)) == pytest.approx(cycles(layer, array) + 7)


@pytest.mark.parametrize(("filters", "slabs", "stored", "elements"), [(4, 1, 2, 2), (4, 2, 5, 2), (6, 1, 3, 3)])
def test_the_expected_load_is_the_mean_over_all_arrangements(
    filters: int, slabs: int, stored: int, elements: int
) -> None:
    groups = range(filters * slabs)
    loads = []
    for chosen in combinations(groups, stored):
        counts = tuple(sum(group // slabs == one for group in chosen) for one in range(filters))
        loads.append(most_stored(Layer("a", filters, slabs, 9, 1, counts), elements))
    unknown = Layer("a", filters, slabs, 9, 1, stored)
    assert most_stored(unknown, elements) == pytest.approx(sum(loads) / len(loads), rel=1e-12)
    assert most_stored(unknown, 1) == stored
    assert most_stored(replace(unknown, stored=filters * slabs), elements) == filters * slabs / elements


@given(st.integers(1, 8), st.integers(1, 4), st.integers(1, 4), st.data())
def test_the_expected_load_lies_between_the_even_and_the_worst(
    share: int, slabs: int, elements: int, data: st.DataObject
) -> None:
    filters = share * elements
    stored = data.draw(st.integers(1, filters * slabs))
    expected = most_stored(Layer("a", filters, slabs, 9, 1, stored), elements)
    assert math.ceil(stored / elements) <= expected + 1e-9
    assert expected <= min(stored, share * slabs) + 1e-9


def test_a_job_is_its_places_times_its_passes() -> None:
    layer = Layer("a", 16, 1, 144, 1024, 9)
    assert job(layer, Array(adders=144, fetch=9)) == 1024 + 9
    assert job(layer, Array(adders=100, fetch=0)) == 2 * 1024
    assert job(layer, Array(adders=16, fetch=0)) == 9 * 1024


def test_cycles_by_hand() -> None:
    layer = Layer("a", 4, 2, 9, 10, (2, 1, 0, 2))
    array = Array(elements=2, adders=9, fetch=1, index=0.5, fixed=100)
    assert dense_cycles(layer, array) == 2 * 2 * 11 + 100
    assert cycles(layer, array) == 3 * 11 + 4 * 0.5 + 100  # filters 1 and 3
    got = speedup([layer], array)
    assert got.ideal == 8 / 5
    assert got.with_overhead == pytest.approx((44 + 100) / (27.5 + 2 + 100))
    assert got.with_imbalance == pytest.approx(144 / 135)


# What one cost alone would have to be for each of the dissertation's layers: as a share of a job's cycles to look a
# group up, as a share of the dense cycles to fill and drain, and the speed-up that the counts alone would give over it.
@pytest.mark.parametrize(
    ("one", "lookup", "fixed", "imbalance"),
    list(zip(TABLE_7, (0.079, 0.076, 0.113), (0.219, 0.186, 0.268), (1.14, 1.15, 1.24), strict=True)),
    ids=lambda value: value.layer.name if isinstance(value, Measured) else "",
)
def test_one_cost_alone_on_one_layer(one: Measured, lookup: float, fixed: float, imbalance: float) -> None:
    by_index = calibrated([one], FREE, ("index",))
    assert round(by_index.index / job(one.layer, FREE), 3) == lookup
    by_fixed = calibrated([one], FREE, ("fixed",))
    assert round(by_fixed.fixed / dense_cycles(one.layer, FREE), 3) == fixed
    assert round(speedup([one.layer], FREE).ideal / one.speedup, 2) == imbalance
    for array in (by_index, by_fixed):
        assert speedup([one.layer], array).with_imbalance == pytest.approx(one.speedup)


@given(arrays, st.data())
def test_calibration_finds_the_array_that_made_the_numbers(array: Array, data: st.DataObject) -> None:
    truth = replace(array, index=array.index + 0.1, fixed=array.fixed + 50)
    if truth.elements not in (1, 2, 4, 8):
        truth = replace(truth, elements=1)
    made = [Measured(one.layer, speedup([one.layer], truth).with_imbalance) for one in TABLE_7]
    left_out = data.draw(st.integers(0, 2))
    two = [one for index, one in enumerate(made) if index != left_out]
    found = calibrated(two, replace(truth, index=3.0, fixed=1.0))
    assert (found.index, found.fixed) == (pytest.approx(truth.index, rel=1e-4), pytest.approx(truth.fixed, rel=1e-4))
    for prediction in held_out(made, truth):
        assert prediction.predicted == pytest.approx(prediction.measured, rel=1e-6)


def test_a_cost_that_is_not_free_stays() -> None:
    found = calibrated(TABLE_7[:1], replace(FREE, index=4.0), ("fixed",))
    assert found.index == 4
    assert speedup([TABLE_7[0].layer], found).with_imbalance == pytest.approx(1.56)


def test_no_cost_falls_below_nothing() -> None:
    """Stages 1 and 2 ask for a negative cost of a lookup; four elements are too slow for stage 1 at no cost at all."""
    found = calibrated(TABLE_7[:2], FREE)
    assert found.index == 0
    assert found.fixed > 0
    crowded = calibrated(TABLE_7[:1], replace(FREE, elements=4))
    assert (crowded.index, crowded.fixed) == (0, 0)


def test_each_layer_of_table_7_from_the_other_two() -> None:
    found = held_out(TABLE_7, FREE)
    assert [round(one.predicted, 2) for one in found] == [1.60, 1.65, 1.81]
    assert all(abs(one.predicted / one.measured - 1) < 0.05 for one in found)


def test_static_filters_on_four_elements_cannot_have_made_table_7() -> None:
    """Nine stored filters on four elements: one has three of its four.  1.33 at most, and 1.56 is printed."""
    for elements in (4, 8, 16):
        assert most_even(TABLE_7[0].layer, elements) < TABLE_7[0].speedup
    for elements in (1, 2):
        assert all(most_even(one.layer, elements) > one.speedup for one in TABLE_7)


@given(layers(), st.integers(1, 9))
def test_no_arrangement_beats_the_most_even(layer: Layer, elements: int) -> None:
    array = replace(FREE, elements=elements)
    assert speedup([layer], array).with_imbalance <= most_even(layer, elements) * (1 + 1e-12)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"stored": 0}, "Layer a stores 0 of 8 groups; it must be 1 at least"),
        ({"stored": 9}, "Layer a stores 9 of 8 groups"),
        ({"stored": (0, 0, 0, 0)}, "the layer is dead"),
        ({"stored": (1, 1)}, "stored must be as many counts from 0 to 2"),
        ({"stored": (1, 1, 1, 3)}, "stored must be as many counts from 0 to 2"),
        ({"places": 0}, "places must be 1 or more"),
    ],
)
def test_layers_that_cannot_be(fields: dict[str, object], said: str) -> None:
    good = {"name": "a", "filters": 4, "slabs": 2, "weights": 9, "places": 1, "stored": 5}
    with pytest.raises(UsageError, match=said):
        Layer(**{**good, **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize("fields", [{"elements": 0}, {"adders": 0}, {"fetch": -1.0}, {"index": -1.0}, {"fixed": -1.0}])
def test_arrays_that_cannot_be(fields: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=str(next(iter(fields)))):
        Array(**fields)  # type: ignore[arg-type]


def test_an_unknown_arrangement_needs_equal_shares() -> None:
    with pytest.raises(UsageError, match="16 filters do not divide among 3 elements"):
        cycles(TABLE_7[0].layer, Array(elements=3))


def conv(weight: torch.Tensor | Packed, filters: int, stride: int) -> Conv:
    return Conv(weight, (stride, stride), (1, 1, 1, 1), 1, torch.ones(filters), torch.zeros(filters), "relu")


def test_the_layers_of_a_packed_network() -> None:
    codes = torch.zeros(6, 4, 3, 3, dtype=torch.int8)
    codes[0, 0, 1, 1], codes[0, 3, 0, 0], codes[2, 1, 2, 2], codes[5, 2, 0, 1] = 1, -1, 1, -1
    steps = (
        Step(conv(torch.ones(4, 3, 3, 3), 4, 1), (0,), "first"),
        Step(conv(Packed(Ternary(codes, 0.5), 2), 6, 2), (1,), "second"),
        Step(Bend("relu"), (2,), "bend"),
        Step(Pool("mean", (4, 4), (4, 4), (0, 0)), (3,), "pool"),
    )
    network = Network(Preprocess(8), tuple("abcdef"), steps)
    assert packed_layers(network) == [Layer("second", 6, 2, 18, 16, (2, 0, 1, 0, 0, 1))]
    dead = replace(steps[1], op=conv(Packed(Ternary(torch.zeros_like(codes), 0.0), 2), 6, 2))
    with pytest.raises(UsageError, match="the layer is dead"):
        packed_layers(replace(network, steps=(steps[0], dead, *steps[2:])))
