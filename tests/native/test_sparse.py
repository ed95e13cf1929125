"""Sparse convolutions: compiled code and its twin against torch's dense ones, and what they refuse."""

import math

import pytest
import torch
import torch.nn.functional as F

from edgewise.native import SparseWeight, pack, sparse_conv2d, sparse_why_not
from edgewise.native import sparse as module

compiled = pytest.mark.skipif(sparse_why_not() is not None, reason=str(sparse_why_not()))
# images, channels, height, width, filters, kernel, stride, padding (top, bottom, left, right)
SHAPES = [
    (1, 3, 8, 8, 4, 3, 1, (1, 1, 1, 1)),
    (2, 5, 9, 7, 6, 3, 2, (1, 1, 1, 1)),  # odd sides, phases of the stride
    (5, 8, 4, 4, 8, 3, 1, (1, 1, 1, 1)),  # several images side by side
    (33, 4, 3, 3, 9, 3, 1, (1, 1, 1, 1)),  # and a last handful that is smaller
    (40, 6, 1, 1, 5, 1, 1, (0, 0, 0, 0)),  # a linear layer
    (3, 4, 8, 8, 9, 1, 2, (0, 0, 0, 0)),  # a shortcut of option B
    (2, 3, 17, 19, 4, 3, 2, (0, 1, 0, 1)),  # TensorFlow's padding
    (1, 4, 32, 32, 9, 5, 3, (0, 1, 2, 3)),
    (1, 2, 40, 300, 3, 7, 2, (3, 3, 3, 3)),  # rows longer than a block
    (20, 2, 5, 5, 3, 5, 4, (0, 0, 0, 0)),  # one pixel, a stride below the kernel
    (9, 2, 2, 2, 3, 1, 1, (1, 1, 1, 1)),  # a kernel within the padding
    (2, 2, 6, 6, 3, 2, 3, (0, 0, 0, 0)),  # a stride above the kernel
]


@pytest.fixture(params=[pytest.param("compiled", marks=compiled), "plain"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "plain":
        monkeypatch.setattr(module, "_opened", lambda: (None, "switched off"))
    return request.param


def sparse(shape: tuple[int, ...], density: float) -> torch.Tensor:
    return torch.randn(shape) * (torch.rand(shape) < density)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("density", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_equals_torchs_dense_convolution(shape: tuple, density: float, threads: int, way: str) -> None:
    images, channels, height, width, filters, kernel, stride, padding = shape
    torch.manual_seed(1)
    x, bias = torch.randn(images, channels, height, width), torch.randn(filters)
    weight = sparse((filters, channels, kernel, kernel), density)
    top, bottom, left, right = padding
    expected = F.conv2d(F.pad(x, (left, right, top, bottom)), weight, bias, stride)
    before, given = torch.get_num_threads(), x.clone()
    torch.set_num_threads(threads)
    try:
        y = sparse_conv2d(x, pack(weight), bias, stride=stride, padding=padding)
        clamped = sparse_conv2d(x, pack(weight), None, stride=stride, padding=padding, low=-0.25, high=0.5)
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(y, expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(clamped, (expected - bias[:, None, None]).clamp(-0.25, 0.5), rtol=1e-4, atol=1e-4)
    assert torch.equal(x, given)


def test_many_threads_change_nothing(way: str) -> None:
    x, weight = torch.randn(4, 32, 40, 40), pack(sparse((64, 32, 3, 3), 0.2))
    results, before = [], torch.get_num_threads()
    for threads in (1, 4):
        torch.set_num_threads(threads)
        results.append(sparse_conv2d(x, weight, None, stride=1, padding=(1, 1, 1, 1)))
    torch.set_num_threads(before)
    assert torch.equal(*results)


@compiled
def test_nan_and_infinity_go_where_a_weight_takes_them_and_nowhere_else() -> None:
    """A weight of 0 is not there; in torch's dense convolution it would spread NaN over the whole kernel."""
    x = torch.randn(1, 2, 20, 20)
    x[0, 0, 5, 5], x[0, 1, 12, 12] = math.nan, math.inf
    weight = torch.zeros(2, 2, 3, 3)
    weight[0, 0, 1, 1], weight[1, 1, 0, 0] = 1.0, 2.0
    y = sparse_conv2d(x, pack(weight), None, stride=1, padding=(1, 1, 1, 1), low=0.0)
    assert y[0, 0].isnan().nonzero().tolist() == [[5, 5]]
    assert y[0, 1].isinf().nonzero().tolist() == [[13, 13]]


def test_what_is_not_contiguous_gives_the_same(way: str) -> None:
    x, weight = torch.randn(2, 6, 10, 10), pack(sparse((4, 6, 3, 3), 0.3))
    other = x.to(memory_format=torch.channels_last)
    expected = sparse_conv2d(x, weight, None, stride=1, padding=(1, 1, 1, 1))
    assert torch.equal(sparse_conv2d(other, weight, None, stride=1, padding=(1, 1, 1, 1)), expected)


def test_a_batch_of_none(way: str) -> None:
    y = sparse_conv2d(torch.empty(0, 3, 8, 8), pack(torch.ones(4, 3, 3, 3)), None, stride=2, padding=(1, 1, 1, 1))
    assert y.shape == (0, 4, 4, 4)


def test_packing_loses_nothing_and_counts() -> None:
    weight = sparse((7, 5, 3, 3), 0.2)
    weight[3] = 0
    packed = pack(weight)
    assert torch.equal(packed.dense(), weight)
    there = int((weight != 0).sum())
    assert packed.density == there / weight.numel()
    assert packed.nbytes == 8 * there + 4 * 8
    assert packed.starts[3] == packed.starts[4]
    weight.fill_(1)
    assert packed.density < 1, "packing shares no memory with the weight"


def test_refuses_what_does_not_fit() -> None:
    packed = pack(torch.ones(4, 3, 3, 3))
    x = torch.randn(1, 3, 8, 8)

    def said(x: torch.Tensor, bias: torch.Tensor | None = None, weight: SparseWeight = packed, **wrong: object) -> str:
        settings: dict = {"stride": 1, "padding": (0, 0, 0, 0), **wrong}
        with pytest.raises(ValueError, match="must be|does not fit") as caught:
            sparse_conv2d(x, weight, bias, **settings)
        return str(caught.value)

    assert "x must be float32 (N, 3, H, W) on the CPU, not torch.float64" in said(x.double())
    assert "not torch.float32 (1, 2, 8, 8)" in said(x[:, :2])
    assert "not torch.float32 (3, 8, 8)" in said(x[0])
    assert "bias must be float32 (4,), not torch.float32 (3,)" in said(x, torch.ones(3))
    assert "Stride 0" in said(x, stride=0)
    assert "padding (0, -1, 0, 0)" in said(x, padding=(0, -1, 0, 0))
    assert "A kernel of 3 does not fit into 2 x 8 pixels" in said(x[:, :, :2])
    with pytest.raises(ValueError, match=r"weight must be \(N, C, K, K\) on the CPU, not \(4, 3, 3, 1\)"):
        pack(torch.ones(4, 3, 3, 1))
