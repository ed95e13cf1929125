"""Masks against hand computations: ERK, exact numbers, ties, exchange, subsets."""

from math import inf

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from edgewise.subnets.masks import (
    erk,
    exchange,
    is_nested,
    largest,
    non_overlap,
    random_masks,
    subset,
    top,
    top_of_all,
    uniform,
    weights_in,
)

SHAPES = {"wide": (8, 4, 3, 3), "point": (4, 2, 1, 1), "head": (2, 10)}  # 288, 8 and 20 weights


def test_erk_against_a_hand_computation():
    """Sums of dimensions 18, 8, 12.  At 0.25, 79 weights: the factor is 79 / 38 = 2.079, so point would get 16.6 of 8
    and head 24.9 of 20: both are dense, and wide has the 51 that are left."""
    assert erk(SHAPES, 0.25) == {"wide": 51, "point": 8, "head": 20}
    # At 0.05, 16 weights: 16 / 38 = 0.42105 gives 7.579, 3.368 and 5.053, rounded down 7, 3, 5: one more to wide.
    assert erk(SHAPES, 0.05) == {"wide": 8, "point": 3, "head": 5}
    assert erk(SHAPES, 1.0) == {"wide": 288, "point": 8, "head": 20}


@given(st.floats(0.01, 1.0))
def test_erk_is_exact_to_one_weight(density):
    counts = erk(SHAPES, density)
    assert sum(counts.values()) == round(316 * density)
    assert all(0 <= counts[name] <= size for name, size in zip(SHAPES, (288, 8, 20), strict=True))


def test_random_masks_have_the_counts_and_come_from_their_place():
    counts = erk(SHAPES, 0.05)
    masks = random_masks(SHAPES, counts, 0, 1)
    assert {name: int(mask.sum()) for name, mask in masks.items()} == counts
    assert {name: tuple(mask.shape) for name, mask in masks.items()} == SHAPES
    again, other, seeded = (random_masks(SHAPES, counts, *where) for where in ((0, 1), (0, 2), (1, 1)))
    assert all(torch.equal(masks[name], again[name]) for name in SHAPES)
    assert not torch.equal(masks["wide"], other["wide"])
    assert not torch.equal(masks["wide"], seeded["wide"])


def test_uniform_rounds_by_layer():
    assert uniform(SHAPES, 0.1) == {"wide": 29, "point": 1, "head": 2}


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=30), st.integers(0, 30))
def test_top_is_exact_and_takes_the_first_of_equals(numbers, count):
    scores = torch.tensor(numbers, dtype=torch.float32)
    order = sorted(range(len(numbers)), key=lambda place: (-numbers[place], place))[:count]
    assert top(scores, count).nonzero().flatten().tolist() == sorted(order)


def weights(seed=0):
    torch.manual_seed(seed)
    return {name: torch.randn(shape) for name, shape in SHAPES.items()}


@pytest.mark.parametrize("count", [3, 4, 100, 315, 316])
def test_global_pruning_is_exact_and_takes_the_largest(count):
    found = largest(weights(), count)
    assert weights_in(found) == count
    every = torch.cat([w.abs().flatten() for w in weights().values()])
    kept = torch.cat([m.flatten() for m in found.values()])
    if count == 100:  # no layer is at its floor
        assert every[kept].min() >= every[~kept].max()


def test_a_layer_of_small_weights_keeps_one():
    given = {**weights(), "point": torch.arange(8.0).view(4, 2, 1, 1) * 1e-9}
    found = largest(given, 50)
    assert found["point"].flatten().nonzero().tolist() == [[7]]
    assert weights_in(found) == 50


def test_weights_that_are_all_equal_are_taken_in_their_order():
    same = {"a": torch.ones(2, 3), "b": torch.ones(4)}
    found = top_of_all(same, 5)
    assert found["a"].flatten().tolist() == [True] * 4 + [False] * 2
    assert found["b"].tolist() == [True, False, False, False]


def test_exchange_by_hand_and_a_weight_that_has_just_gone_may_come_back():
    mask = torch.tensor([True, True, True, True, False, False])
    weight = torch.tensor([4.0, -0.1, 3.0, 0.2, 9.0, 0.0])
    # half of 4 go: places 1 and 3; the two largest gradients outside the survivors are at 5 and, again, at 3
    gradient = torch.tensor([100.0, 1.0, 100.0, -5.0, 2.0, 6.0])
    assert exchange(mask, weight, gradient, 0.5).nonzero().flatten().tolist() == [0, 2, 3, 5]
    # and a dormant weight that is large comes only by its gradient
    assert exchange(mask, weight, gradient * torch.tensor([1, 1, 1, 1, 0, 0]), 0.5).tolist() == mask.tolist()
    assert exchange(mask, weight, gradient, 0.0).tolist() == mask.tolist()


@given(st.integers(0, 10_000), st.floats(0, 1), st.floats(0, 1))
def test_exchange_keeps_the_number_and_the_survivors(seed, density, share):
    torch.manual_seed(seed)
    mask, weight, gradient = torch.rand(5, 7) < density, torch.randn(5, 7), torch.randn(5, 7)
    found = exchange(mask, weight, gradient, share)
    assert found.sum() == mask.sum()
    stay = int(mask.sum()) - int(share * int(mask.sum()))
    assert found[top(weight.abs().masked_fill(~mask, -inf), stay)].all()


def test_exchange_of_equal_numbers_is_the_same_every_time():
    mask = torch.arange(12) % 2 == 0
    found = exchange(mask, torch.zeros(12), torch.zeros(12), 0.5)
    assert found.nonzero().flatten().tolist() == [0, 1, 2, 3, 4, 5]


def test_a_subset_lies_inside_and_has_as_many_as_there_are():
    outer = largest(weights(0), 100)
    inner = subset(weights(1), outer, 40)
    assert weights_in(inner) == 40
    assert is_nested(inner, outer)
    assert not is_nested(outer, inner)
    assert weights_in(subset(weights(1), outer, 400)) == 100


def test_non_overlap_is_the_share_of_ones_in_the_xor():
    assert non_overlap(torch.tensor([True, True, False, False]), torch.tensor([True, False, True, False])) == 0.5
