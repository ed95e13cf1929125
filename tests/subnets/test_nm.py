"""N:M masks: the pattern, exact counts, the ramp, and regrowth by groups."""

import pytest
import torch

from edgewise.core.errors import UsageError
from edgewise.subnets.nm import (
    NM,
    TABLE_12,
    grouped,
    has_pattern,
    nm_count,
    nm_exchange,
    nm_mask,
    pattern_of,
    ungrouped,
)

SHAPES = [(6, 32, 3, 3), (5, 16, 1, 1), (10, 48)]


def weight_of(shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("pattern", TABLE_12, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_group_keeps_its_largest(shape, pattern):
    """Against loops over the definition: groups along C, at one filter and one place of the kernel."""
    weight = weight_of(shape)
    mask = nm_mask(weight, pattern)
    flat, chosen = weight.reshape(*shape[:2], -1), mask.reshape(*shape[:2], -1)
    for filter in range(shape[0]):
        for first in range(0, shape[1], pattern.group):
            for place in range(flat.shape[2]):
                own = flat[filter, first : first + pattern.group, place].abs()
                kept = chosen[filter, first : first + pattern.group, place]
                assert set(kept.nonzero().flatten().tolist()) == set(own.topk(pattern.kept).indices.tolist())
    assert int(mask.sum()) == nm_count(shape, pattern) == round(weight.numel() * pattern.density)
    assert has_pattern({"a": mask}, pattern)


def test_all_patterns_of_the_table_are_two_of_four():
    for pattern in TABLE_12:
        assert has_pattern(pattern.pruned({"a": weight_of(SHAPES[0])}, 1.0), NM(2, 4))
    assert [1 - pattern.density for pattern in TABLE_12] == [0.5, 0.75, 0.875, 0.9375]
    assert not has_pattern({"a": nm_mask(weight_of(SHAPES[0]), NM(3, 4))}, NM(2, 4))


@pytest.mark.parametrize("share", [0.0, 0.13, 0.5, 1.0])
def test_the_ramp_counts_exactly_and_takes_the_weakest_groups(share):
    weight, pattern = weight_of(SHAPES[0]), NM(1, 8)
    mask = nm_mask(weight, pattern, share)
    groups = grouped(mask, 8)
    whole = groups.all(1)
    assert int((~whole).sum()) == round(share * len(groups))
    assert (groups[~whole].sum(1) == 1).all()
    assert int(mask.sum()) == nm_count(weight.shape, pattern, share)
    sums = grouped(weight.abs(), 8).sum(1)
    if 0 < share < 1:
        assert sums[~whole].max() <= sums[whole].min()


def test_a_group_that_grew_is_whole_again():
    """Groups are chosen anew at every update; in the released code the first ones in memory stay dense."""
    weight, pattern = weight_of(SHAPES[1]), NM(2, 4)
    before = grouped(nm_mask(weight, pattern, 0.5), 4).all(1)
    sparse = int((~before).nonzero()[-1])
    rows = grouped(weight, 4)
    rows[sparse] = 100.0
    after = grouped(nm_mask(ungrouped(rows, weight.shape), pattern, 0.5), 4).all(1)
    assert after[sparse]
    assert int(after.sum()) == int(before.sum())


@pytest.mark.parametrize("share", [0.4, 1.0])
def test_regrowth_exchanges_one_weight_in_the_most_promising_groups(share):
    weight, pattern = weight_of(SHAPES[0]), NM(2, 8)
    gradient = torch.randn(weight.shape, generator=torch.Generator().manual_seed(4))
    before = nm_mask(weight, pattern, share)
    after = nm_exchange(before, weight, gradient, pattern, 0.25)
    assert int(after.sum()) == int(before.sum()) == nm_count(weight.shape, pattern, share)
    rows = [grouped(one, 8) for one in (before, after, weight.abs(), gradient.abs())]
    moved = (rows[0] != rows[1]).any(1)
    patterned = ~rows[0].all(1)
    assert int(moved.sum()) == int(0.25 * int(patterned.sum()))
    assert patterned[moved].all()
    outside = (rows[3] * ~rows[0]).sum(1)
    assert outside[moved].min() >= outside[patterned & ~moved].max()
    for old, new, magnitude, slope in zip(*(one[moved] for one in rows), strict=True):
        (gone,), (come,) = (old & ~new).nonzero().flatten().tolist(), (new & ~old).nonzero().flatten().tolist()
        assert magnitude[gone] == magnitude[old].min()
        assert slope[come] == slope[~old].max()
    if share == 1.0:
        assert has_pattern({"a": after}, pattern)


def test_nothing_is_exchanged_where_nothing_is_asked_for():
    weight = weight_of(SHAPES[0])
    mask = nm_mask(weight, NM(1, 4), 0.7)
    given = mask.clone()
    assert torch.equal(nm_exchange(mask, weight, weight.flip(0), NM(1, 4), 0.0), mask)
    nm_exchange(mask, weight, weight.flip(0), NM(1, 4), 1.0)
    assert torch.equal(mask, given), "the mask that is given stays as it is"


def test_ties_go_to_the_first():
    mask = nm_mask(torch.ones(1, 8), NM(2, 4), 0.5)
    assert mask.tolist() == [[True, True, False, False, True, True, True, True]]


def test_layers_whose_channels_do_not_divide_are_named():
    shapes = {"conv1": (16, 3, 3, 3), "fc": (10, 20), "conv2": (16, 16, 3, 3)}
    with pytest.raises(UsageError) as caught:
        NM(2, 4).check(shapes)
    assert str(caught.value) == (
        "The pattern 2:4 needs input channels that 4 divides, and these layers have others: conv1 (3). "
        "Choose a smaller group, or another network."
    )
    with pytest.raises(UsageError, match=r"1:8 .* conv1 \(3\), fc \(20\)\."):
        NM(1, 8).check(shapes)
    with pytest.raises(UsageError, match=r"layer4 \(6\) and 2 more\."):
        NM(1, 4).check({f"layer{number}": (1, 6) for number in range(7)})
    NM(1, 8).check({"conv2": (16, 16, 3, 3)})


@pytest.mark.parametrize("text", ["4:4", "0:4", "5:4"])
def test_patterns_that_keep_nothing_or_all_are_refused(text):
    with pytest.raises(UsageError, match=f"The pattern {text} keeps"):
        pattern_of(text)


@pytest.mark.parametrize("text", ["2", "2:", "a:4", "2:4:8", "-1:4", ""])
def test_what_is_no_pattern(text):
    with pytest.raises(UsageError, match="is no pattern; write kept:group"):
        pattern_of(text)


def test_patterns_are_written_as_they_are_read():
    assert [str(pattern_of(str(pattern))) for pattern in TABLE_12] == ["2:4", "1:4", "1:8", "1:16"]


def test_it_is_a_pattern_of_sub_nets():
    """From whole layers to the pattern by magnitude, then exchanged, count for count."""
    weights, pattern = {"a": weight_of(SHAPES[0]), "b": weight_of(SHAPES[1])}, NM(1, 8)
    shapes = {name: tuple(weight.shape) for name, weight in weights.items()}
    assert pattern.name == "87.5%"
    assert all(mask.all() for mask in pattern.first(shapes, 0).values())
    for level in (0.3, 1.0):
        masks = pattern.pruned(weights, level)
        after = pattern.exchanged(masks, weights, {name: one.flip(0) for name, one in weights.items()}, 0.5)
        for name, shape in shapes.items():
            assert int(masks[name].sum()) == int(after[name].sum()) == nm_count(shape, pattern, level)
            assert not torch.equal(masks[name], after[name])
    assert has_pattern(after, pattern)
