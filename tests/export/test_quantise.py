"""Integers for a float network: rules, places, packed codes, and what is refused."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise.compress import Conv, Network, Packed, Pool, Step, Ternary
from edgewise.core.errors import EdgewiseError, UsageError
from edgewise.export import layout as places
from edgewise.export.layout import laid_out, plane
from edgewise.export.limits import check, check_sizes
from edgewise.export.packing import packed_codes, sums_taken
from edgewise.export.quantise import BITS, quantised
from edgewise.export.rules import LARGEST, rule
from edgewise.export.source import sources
from small_networks import CLASSES, Maker, drawn, mobile, photos, residual


@settings(max_examples=60)
@given(ratio=st.floats(1e-7, 50), offset=st.floats(-1e5, 1e5), bound=st.integers(1, 2**24), bits=st.sampled_from(BITS))
def test_a_rule_is_near_what_it_stands_for_and_never_overflows(
    ratio: float, offset: float, bound: int, bits: int
) -> None:
    made = rule(np.array([ratio]), np.array([offset]), np.array([float(bound)]), bits)
    sums = np.array([[-bound, -bound // 3, -1, 0, 1, bound // 5, bound]])
    top = 2 ** (bits - 1) - 1
    exact = np.clip(ratio * sums + offset, -top, top)
    found = np.clip(made.apply(sums), -top, top)
    # half a step of rounding, what `before` rounds, and the multiplier's precision
    allowed = 0.5 + ratio * 2.0 ** made.before[0] + 2.0**-12 * np.abs(ratio * sums)
    assert (np.abs(found - exact) <= allowed + 2.0 ** (bits - 8) * 0.1).all()
    rounded = (np.abs(sums) >> made.before[0]) + 1
    largest = max(int(value) * abs(int(made.multiplier[0])) + abs(int(made.offset[0])) for value in rounded[0])
    assert largest <= LARGEST[bits]


def test_a_rule_that_cannot_be() -> None:
    with pytest.raises(EdgewiseError, match="not finite; train it again"):
        rule(np.array([np.nan]), np.zeros(1), np.ones(1), 8)
    with pytest.raises(EdgewiseError, match="scale is too large for integers: export it with --activations int16\\."):
        rule(np.array([1e9]), np.zeros(1), np.ones(1), 8)


@pytest.mark.parametrize("seed", range(6))
def test_values_that_live_together_lie_apart(seed: int) -> None:
    network = quantised(drawn(seed), photos(drawn(seed).preprocess.size, 1))
    layout, steps = laid_out(network), network.steps
    lives = []
    for number, held in enumerate(network.values):
        readers = [i for i, step in enumerate(steps, 1) if number in step.step.operands]
        size = held.shape[0] * plane(held.shape, layout.margins[number])
        lives.append((layout.at[number], size, number, max([number, *readers])))
    for i, (at, size, first, last) in enumerate(lives):
        assert at + size + places.READ_BEYOND <= layout.arena
        for other_at, other_size, other_first, other_last in lives[:i]:
            together = first <= other_last and other_first <= last
            assert not together or at + size <= other_at or other_at + other_size <= at


def test_resnet20_takes_little_memory() -> None:
    """What the issue allows: 150 kB beside the weights."""
    make = Maker(32)
    x = make.conv(0, 16)
    for channels, stride in ((16, 1), (32, 2), (64, 2)):
        y = make.conv(x, channels, stride=(stride, stride), slab=16)
        x = make.conv(y, channels, slab=16)
    assert sources(quantised(make.finished(x), photos(32, 1))).memory < 150_000


@pytest.mark.parametrize(("slab", "pairs"), [(1, False), (3, False), (2, True), (6, True)])
def test_packed_codes_are_all_there(slab: int, pairs: bool) -> None:
    rng = np.random.default_rng(slab)
    codes = rng.integers(-1, 2, (4, 6, 3, 3)).astype(np.int8)
    codes.reshape(4, 6 // slab, slab, 3, 3)[1, 0] = 0
    bits, packed = packed_codes(codes, slab, pairs)
    groups = codes.reshape(-1, slab, 3, 3)
    there = np.unpackbits(bits, count=len(groups), bitorder="little").astype(bool)
    np.testing.assert_array_equal(there, groups.any((1, 2, 3)))
    two = (packed[:, :, None] >> np.array([0, 2, 4, 6]) & 3).reshape(len(packed), -1)[:, : slab * 9].astype(np.int8)
    values = np.where(two == 2, -1, two)
    if pairs:
        values = values.reshape(-1, slab // 2, 3, 3, 2).transpose(0, 1, 4, 2, 3)
    np.testing.assert_array_equal(values.reshape(-1, slab, 3, 3), groups[there])


def test_sums_taken() -> None:
    codes = np.array([[1, 1, -1, -1], [1, -1, 1, 1], [0, 1, 1, 0]], np.int8)[:, :, None, None]
    np.testing.assert_array_equal(sums_taken(codes), [0, 1, 0])


def test_zero_is_zero() -> None:
    """So that padding is."""
    network = quantised(mobile(), photos(16))
    for held in network.values:
        assert held.low <= 0 <= held.high
        assert held.scale > 0


def test_what_is_refused() -> None:
    with pytest.raises(UsageError, match="Activations have 8 or 16 bits, not 4"):
        quantised(residual(), photos(12), 4)
    with pytest.raises(UsageError, match="no photo to calibrate on: name some with --calibrate"):
        quantised(residual(), photos(12, 0))


def test_sizes_that_are_refused() -> None:
    make = Maker(8)
    last = make.finished(make.conv(0, 4)).steps
    wide = Step(Pool("mean", (1, 300), (1, 1), (0, 0)), (0,), "pool")
    with pytest.raises(UsageError, match="The layer pool has a kernel, stride or padding over 255"):
        check(Network(make.preprocess, CLASSES, (wide, *last)))
    make = Maker(8)
    x = make.conv(0, 3000, (1, 1), padding=(0, 0, 0, 0))
    codes = torch.ones(2, 3000, 5, 5, dtype=torch.int8)
    ternary = Conv(Packed(Ternary(codes, 1.0), 2), (1, 1), (2, 2, 2, 2), 1, torch.ones(2), torch.zeros(2), "relu")
    network = quantised(make.finished(make.add(ternary, x)), photos(8, 1))
    with pytest.raises(UsageError, match="The layer step2 is too large for the C program: 150,000 taps"):
        check_sizes(network, laid_out(network))


def test_a_layer_with_an_empty_filter_is_not_dead() -> None:
    network = residual()
    steps = list(network.steps)
    op = steps[1].op
    assert isinstance(op, Conv)
    assert isinstance(op.weight, Packed)
    codes = op.weight.ternary.codes.clone()
    codes[3] = 0
    steps[1] = dataclasses.replace(
        steps[1], op=dataclasses.replace(op, weight=Packed(Ternary(codes, 0.5), op.weight.slab))
    )
    check(dataclasses.replace(network, steps=tuple(steps)))
