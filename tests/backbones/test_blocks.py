"""Shared blocks: TensorFlow's padding against its definition, rounding of channels, seeds."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from edgewise.backbones.blocks import ConvBnAct, ConvNormAct, SameConv2d, conv2d, make_divisible, seeded


@settings(max_examples=50)
@given(st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3, 5, 7]), st.integers(1, 4))
def test_same_padding_is_tensorflows(height, width, kernel, stride):
    """Output i sees the window that starts at ``i * stride - before``, before being the smaller half."""
    conv = SameConv2d(1, 1, kernel, stride, bias=False).double()
    x = torch.randn(1, 1, height, width, dtype=torch.float64)
    out = conv(x)
    assert out.shape[-2:] == (-(-height // stride), -(-width // stride))
    expected = torch.zeros_like(out)
    for i in range(out.shape[2]):
        for j in range(out.shape[3]):
            for a in range(kernel):
                for b in range(kernel):
                    row = i * stride + a - max((out.shape[2] - 1) * stride + kernel - height, 0) // 2
                    column = j * stride + b - max((out.shape[3] - 1) * stride + kernel - width, 0) // 2
                    if 0 <= row < height and 0 <= column < width:
                        expected[0, 0, i, j] += conv.weight[0, 0, a, b] * x[0, 0, row, column]
    torch.testing.assert_close(out, expected)


def test_even_inputs_of_stride_2_get_their_padding_after():
    conv = conv2d(1, 1, 3, 2, padding="tf-same")
    nn.init.ones_(conv.weight)
    x = torch.zeros(1, 1, 4, 4)
    x[0, 0, 0, 0] = 1
    assert conv(x).flatten().tolist() == [1, 0, 0, 0]
    assert F.conv2d(x, conv.weight, stride=2, padding=1).flatten().tolist() == [1, 0, 0, 0]
    x[0, 0, 1, 1] = 1  # seen by one window in TensorFlow, by all four in torch
    assert conv(x).flatten().tolist() == [2, 0, 0, 0]
    assert F.conv2d(x, conv.weight, stride=2, padding=1).flatten().tolist() == [2, 1, 1, 1]


def test_stride_1_needs_no_special_convolution():
    assert type(conv2d(4, 4, 3, 1, padding="tf-same")) is nn.Conv2d


@pytest.mark.parametrize(
    ("channels", "expected"), [(9.6, 16), (4.8, 8), (11.2, 16), (33.6, 32), (112, 112), (1792, 1792)]
)
def test_make_divisible(channels, expected):
    assert make_divisible(channels) == expected


@given(st.floats(1, 4000), st.floats(0, 100))
def test_make_divisible_grows_and_loses_at_most_a_tenth(channels, more):
    rounded = make_divisible(channels)
    assert rounded % 8 == 0
    assert rounded >= 0.9 * channels
    assert make_divisible(channels + more) >= rounded


@pytest.mark.parametrize("padding", ["torch", "tf-same"])
def test_both_spellings_of_a_block_are_one_function(padding):
    one, other = ConvNormAct(3, 8, 3, 2, 1, padding, 1e-3), ConvBnAct(3, 8, 3, 2, 1, padding, 1e-3)
    assert [name for name, _ in other.named_children()] == ["conv", "bn", "act"]
    other.load_state_dict(dict(zip(other.state_dict(), one.state_dict().values(), strict=True)))
    x = torch.randn(2, 3, 10, 10)
    assert torch.equal(one(x), other(x))
    linear = ConvBnAct(3, 8, 1, act=False)
    assert linear(x).min() < 0


def test_seeded_gives_the_stream_back():
    torch.manual_seed(7)
    expected = torch.rand(2)
    torch.manual_seed(7)
    with seeded(3):
        inside = torch.rand(2)
    assert torch.equal(torch.rand(2), expected)
    with seeded(3):
        assert torch.equal(torch.rand(2), inside)
