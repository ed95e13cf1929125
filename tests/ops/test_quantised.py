"""8 bits of a weight: how far off, channel by channel, and the same again."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from edgewise.ops.quantised import dequantised, quantised

SHAPES = st.one_of(
    st.tuples(st.integers(1, 6), st.integers(1, 5), st.integers(1, 4), st.integers(1, 4)),
    st.tuples(st.integers(1, 6), st.integers(1, 9)),
)


def weight_of(shape: tuple[int, ...], seed: int, exponent: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Channels of very different sizes, one of them empty."""
    random = torch.Generator().manual_seed(seed)
    weight = torch.randn(shape, generator=random, dtype=dtype)
    sizes = 2.0 ** (exponent + 3.0 * torch.arange(shape[0], dtype=dtype))
    weight *= sizes.view(-1, *(1 for _ in shape[1:]))
    weight[shape[0] // 2] = 0
    return weight


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@given(shape=SHAPES, seed=st.integers(0, 1000), exponent=st.integers(-60, 60))
def test_within_half_a_scale_and_the_same_again(
    shape: tuple[int, ...], seed: int, exponent: int, dtype: torch.dtype
) -> None:
    weight = weight_of(shape, seed, exponent, dtype)
    levels, scale = quantised(weight)
    assert (levels.dtype, levels.shape) == (torch.int8, weight.shape)
    assert (scale.dtype, scale.shape) == (dtype, shape[:1])
    assert int(levels.min()) >= -127
    back = dequantised(levels, scale)
    assert (back.dtype, back.shape) == (weight.dtype, weight.shape)
    error = (back.double() - weight.double()).flatten(1).abs().amax(1)
    assert bool((error <= scale.double() / 2 * (1 + 1e-5)).all())
    assert bool((back[shape[0] // 2] == 0).all())
    assert all(torch.equal(a, b) for a, b in zip(quantised(back), (levels, scale), strict=True))
    exact = levels.double() * scale.double().view(-1, *(1 for _ in shape[1:]))
    assert torch.equal(back.double(), exact), "the product of a level and a scale has no rounding"


@given(shape=SHAPES, seed=st.integers(0, 1000))
def test_channels_know_nothing_of_each_other(shape: tuple[int, ...], seed: int) -> None:
    weight = weight_of(shape, seed, 0)
    levels, scale = quantised(weight)
    for channel in range(shape[0]):
        own, one = quantised(weight[channel : channel + 1])
        assert torch.equal(own[0], levels[channel])
        assert torch.equal(one[0], scale[channel])


def test_the_largest_weight_of_a_channel_takes_the_last_level() -> None:
    levels, scale = quantised(torch.tensor([[1.0, -0.51, 0.25], [-0.01, 0.004, 0.0]]))
    assert levels.tolist() == [[127, -65, 32], [-127, 51, 0]]
    assert scale.tolist() == pytest.approx([1 / 127, 0.01 / 127], rel=2**-15)


def test_ends_of_the_range() -> None:
    tiny, largest = 1e-45, 3e38
    weight = torch.tensor([[tiny, 0.0], [0.0, 0.0], [largest, -largest]])
    back = dequantised(*quantised(weight))
    assert bool(back.isfinite().all())
    assert back[:2].tolist() == [[0, 0], [0, 0]]
    assert back[2].tolist() == pytest.approx([largest, -largest], rel=1e-4)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_not_a_number_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="a weight is not a finite number"):
        quantised(torch.tensor([[1.0, 2.0], [value, 0.0]]))


def test_the_weight_is_left_alone_and_its_layout_kept() -> None:
    weight = torch.randn(4, 3, 3, 3).contiguous(memory_format=torch.channels_last).requires_grad_(True)
    before = weight.detach().clone()
    levels, scale = quantised(weight)
    assert torch.equal(weight.detach(), before)
    assert levels.is_contiguous(memory_format=torch.channels_last)
    assert not levels.requires_grad
    assert not scale.requires_grad
