"""The three functions of a batch norm, compiled and plain, against float64."""

import math
from types import ModuleType

import pytest
import torch
from both_ways import BOUNDS, COMPILED, activated, bits_of, guarded, only, room, untouched, ways
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from edgewise import native
from edgewise.native import fallback

CHANNELS = st.one_of(st.integers(1, 140), st.sampled_from([256, 320, 700]))
ROWS = st.one_of(st.integers(1, 40), st.integers(100, 700))
SEEDS = st.integers(0, 99)
EVERY = [
    pytest.param(way, dtype, id=f"{name}-{str(dtype)[6:]}", marks=COMPILED.marks if name == "compiled" else ())
    for way, name, dtype in (
        (COMPILED.values[0], "compiled", torch.float32),
        (fallback, "plain", torch.float32),
        (fallback, "plain", torch.float64),
    )
]
every = pytest.mark.parametrize(("way", "dtype"), EVERY)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def close(result: Tensor | None, expected: Tensor, scale: Tensor, roundings: int = 4) -> None:
    """As close to float64 as a few roundings of ``scale`` allow, the size of what was added up."""
    assert result is not None
    unit = torch.finfo(result.dtype).eps
    assert ((result.double() - expected).abs() <= roundings * unit * (expected.abs() + scale)).all()


def close_moments(moments: tuple[Tensor, Tensor], x: Tensor) -> None:
    """The first row may be what was subtracted from all; plain sums in float64, here too, are less exact."""
    x, roundings = x.double(), 4 if moments[0].dtype == torch.float32 else 300
    distance = x - x[0]
    close(moments[0], x.mean(0), distance.abs().mean(0), roundings)
    close(moments[1], x.var(0, correction=0), distance.square().mean(0), roundings)


@every
@settings(max_examples=60)
@given(ROWS, CHANNELS, st.integers(0, 3), SEEDS)
@example(70_001, 3, 1, 0)
@example(9_000, 72, 0, 1)
@example(1, 1, 0, 0)
def test_moments(way: ModuleType, dtype: torch.dtype, rows: int, channels: int, odd: int, seed: int) -> None:
    x, memory = guarded((rows, channels), dtype, odd)
    x.copy_(torch.randn(rows, channels, generator=seeded(seed)) * 3 + torch.arange(channels) % 5)
    before = x.clone()
    with only(way):
        moments = native.moments(x)
    close_moments(moments, before)
    assert torch.equal(x, before)
    assert untouched(memory, odd)


@ways
@pytest.mark.parametrize("channels", [1, 3, 24, 100])
@pytest.mark.parametrize(("mean", "deviation"), [(1000.0, 1.0), (-1e6, 1.0), (1e-4, 1e-8), (0.0, 1e-3), (7.0, 0.0)])
@pytest.mark.parametrize("first", [0.0, 1e4])
def test_moments_far_from_zero(way: ModuleType, channels: int, mean: float, deviation: float, first: float) -> None:
    """Also where the first rows are like no other: what is subtracted then costs some digits, not all."""
    x = mean + deviation * torch.randn(5000, channels, generator=seeded(channels))
    x[:2] += first * deviation
    with only(way):
        result = native.moments(x)
    variance, centre = torch.var_mean(x.double(), 0, correction=0)
    torch.testing.assert_close(result[1].double(), variance, rtol=1e-5 if first else 1e-6, atol=0)
    error = (result[0] - centre).abs()
    assert (error <= 2e-7 * variance.sqrt() + 1e-7 * centre.abs()).all(), "in deviations, and the result's own rounding"


@ways
@pytest.mark.parametrize("channels", [1, 5, 40, 96])
def test_a_channel_that_is_not_finite_spoils_no_other(way: ModuleType, channels: int) -> None:
    for value in (math.nan, math.inf, -math.inf):
        for row in (0, 40, 999):
            x = torch.randn(1000, channels + 1, generator=seeded(row))
            x[row, channels] = value
            with only(way):
                mean, variance = native.moments(x)
            close_moments((mean[:-1], variance[:-1]), x[:, :-1])
            assert not mean[-1].isfinite()
            assert variance[-1].isnan()


@ways
def test_maps_without_rows_or_channels(way: ModuleType) -> None:
    with only(way):
        for moment in native.moments(torch.empty(0, 2, 3)):
            torch.testing.assert_close(moment, torch.full((3,), math.nan), equal_nan=True)
        assert [moment.shape for moment in native.moments(torch.empty(4, 0))] == [(0,), (0,)]
        for shape in ((0, 5), (4, 0)):
            g, vector = torch.empty(shape), torch.ones(shape[1])
            native.affine_clamp(g, vector, vector, vector, g, 0.0, 6.0, torch.empty(0, dtype=torch.uint8))
            for result in native.affine_grad_(g, vector, g.clone(), vector):
                assert result is not None
                assert torch.equal(result, torch.zeros(shape[1]))


@ways
def test_one_row_of_one_dimension(way: ModuleType) -> None:
    x, one = torch.arange(5.0), torch.ones(5)
    with only(way):
        mean, variance = native.moments(x)
        to_shift, to_scale = native.affine_grad_(x, 3 * one, 2 * one, one)
    assert torch.equal(mean, torch.arange(5.0))
    assert not variance.any()
    assert to_shift is not None
    assert to_scale is not None
    assert to_shift.tolist() == to_scale.tolist() == [0, 1, 2, 3, 4]
    assert x.tolist() == [0, 3, 6, 9, 12]


@every
@pytest.mark.parametrize("name", BOUNDS)
@pytest.mark.parametrize("inplace", [False, True])
@settings(max_examples=15)
@given(st.integers(1, 90), CHANNELS, st.integers(0, 3), SEEDS)
@example(3001, 33, 1, 0)
def test_affine_clamp(
    way: ModuleType, dtype: torch.dtype, name: str, inplace: bool, rows: int, channels: int, odd: int, seed: int
) -> None:
    start = 4 * torch.randn(rows, channels, generator=seeded(seed), dtype=dtype)
    mean, scale, shift = torch.randn(3, channels, generator=seeded(seed + 1), dtype=dtype).unbind()
    out, memory = guarded((rows, channels), dtype, odd)
    x = out.copy_(start) if inplace else start.clone()
    bits, memory_of_bits = room(x)
    linear = torch.empty_like(start)
    with only(way):
        native.affine_clamp(start, mean, scale, shift, linear)
        native.affine_clamp(x, mean, scale, shift, out, *BOUNDS[name], bits)
    centred = (start.double() - mean.double()) * scale.double()
    close(linear, centred + shift.double(), centred.abs() + shift.abs())
    expected, passes = activated(linear, name)
    assert torch.equal(out, expected)
    assert bits.tolist() == bits_of(passes)
    assert inplace or torch.equal(x, start)
    assert untouched(memory, odd)
    assert untouched(memory_of_bits)


@ways
@pytest.mark.parametrize("channels", [3, 40, 100])
def test_affine_clamp_of_special_numbers(way: ModuleType, channels: int) -> None:
    """Exact products: at a bound nothing passes, and what is not a number remains and passes."""
    column = torch.tensor([math.nan, math.inf, -math.inf, 0.5, 0.0, 3.5, 1.0]) + 4
    x, bits = column.repeat(channels, 1).t().contiguous(), torch.empty((7 * channels + 7) // 8, dtype=torch.uint8)
    mean, scale, shift = torch.full((channels,), 4.0), torch.full((channels,), 2.0), torch.full((channels,), -1.0)
    with only(way):
        native.affine_clamp(x, mean, scale, shift, x, 0.0, 6.0, bits)
    expected = torch.tensor([math.nan, 6.0, 0.0, 0.0, 0.0, 6.0, 1.0])
    torch.testing.assert_close(x, expected.repeat(channels, 1).t(), rtol=0, atol=0, equal_nan=True)
    passes = torch.tensor([True, False, False, False, False, False, True])
    assert bits.tolist() == bits_of(passes.repeat(channels, 1).t())


@every
@pytest.mark.parametrize("scaled", [True, False])
@pytest.mark.parametrize("asked", ["nothing", "shift", "both"])
@settings(max_examples=25)
@given(ROWS, CHANNELS, st.booleans(), st.integers(0, 3), SEEDS)
@example(70_001, 3, True, 1, 0)
@example(9_000, 72, True, 0, 1)
def test_affine_grad(
    way: ModuleType,
    dtype: torch.dtype,
    scaled: bool,
    asked: str,
    rows: int,
    channels: int,
    masked: bool,
    odd: int,
    seed: int,
) -> None:
    generator = seeded(seed)
    start = torch.randn(rows, channels, generator=generator, dtype=dtype) + 0.5
    mean, scale = torch.randn(2, channels, generator=generator, dtype=dtype).unbind()
    x = (10 + torch.randn(rows, channels, generator=generator, dtype=dtype)) if asked == "both" else None
    keep = torch.rand(rows, channels, generator=generator) < (0.5 if masked else 2)
    bits = torch.tensor(bits_of(keep), dtype=torch.uint8) if masked else None
    g, memory = guarded((rows, channels), dtype, odd)
    g.copy_(start)
    with only(way):
        to_shift, to_scale = native.affine_grad_(
            g, scale if scaled else None, x, None if x is None else mean, bits, sums=asked == "shift"
        )
    exact = torch.where(keep, start, 0.0).double()
    assert torch.equal(g.double(), (exact.to(dtype) * scale if scaled else exact).double())
    if asked == "nothing":
        assert to_shift is None
    else:
        close(to_shift, exact.sum(0), exact.abs().sum(0))
    if x is None:
        assert to_scale is None
    else:
        products = exact * (x.double() - mean.double())
        close(to_scale, products.sum(0), products.abs().sum(0))
    assert untouched(memory, odd)


@ways
@pytest.mark.parametrize("channels", [3, 96])
def test_a_gradient_that_is_not_a_number_is_masked_or_spoils_its_channel(way: ModuleType, channels: int) -> None:
    g, x, one = torch.ones(50, channels), torch.ones(50, channels), torch.ones(channels)
    g[30, 1] = g[30, 2] = math.nan
    x[20, 1] = math.inf
    keep = torch.ones(50, channels, dtype=torch.bool)
    keep[30, 1] = False
    with only(way):
        to_shift, to_scale = native.affine_grad_(g, one, x, 0 * one, torch.tensor(bits_of(keep), dtype=torch.uint8))
    assert to_shift is not None
    assert to_scale is not None
    assert to_shift[:2].tolist() == [50, 49]
    assert to_scale[:2].tolist() == [50, math.inf]
    assert to_shift.isnan().nonzero().tolist() == to_scale.isnan().nonzero().tolist() == [[2]]
    assert g.isnan().nonzero().tolist() == [[30, 2]]


@pytest.mark.parametrize("way", [COMPILED])
@settings(max_examples=30)
@given(st.integers(40_000, 120_000), CHANNELS, SEEDS)
@example(1, 1, 0)
@example(700_000, 1, 0)
def test_threads_change_nothing(way: ModuleType, elements: int, channels: int, seed: int) -> None:
    x = torch.randn(elements // channels + 1, channels, generator=seeded(seed))
    mean, scale, shift = torch.randn(3, channels, generator=seeded(seed + 1)).unbind()
    results: list[list[Tensor | None]] = []
    for threads in (1, 2, 3):
        y, g, bits = torch.empty_like(x), x.clone(), torch.empty((x.numel() + 7) // 8, dtype=torch.uint8)
        with only(way, threads):
            native.affine_clamp(x, mean, scale, shift, y, 0.0, 6.0, bits)
            results.append([*native.moments(x), *native.affine_grad_(g, scale, y, mean, bits), g, y, bits])
    one = results[0]
    assert all(torch.equal(a, b) for other in results[1:] for a, b in zip(one, other, strict=True))


def test_shapes_alone_have_shapes_alone() -> None:
    x, vector = torch.empty(2, 5, 5, 8, device="meta"), torch.empty(8, device="meta")
    bits = torch.empty(50, dtype=torch.uint8, device="meta")
    results = [*native.moments(x), *native.affine_grad_(x, vector, x, vector, bits)]
    for result in results:
        assert result is not None
        assert (result.shape, result.is_meta, result.dtype) == ((8,), True, torch.float32)
    assert native.affine_grad_(x, vector, sums=False) == (None, None)
    native.affine_clamp(x, vector, vector, vector, x, 0.0, 6.0, bits)


def test_a_batch_norm_and_its_gradient() -> None:
    """The three together are torch's batch norm with a ReLU6, statistics as they are."""
    x = torch.randn(6, 5, 5, 12, generator=seeded(0)) * 3 + 2
    weight, shift, to_y = torch.randn(3, 12, generator=seeded(1)).unbind()
    mean, variance = native.moments(x)
    inverse = (variance + 1e-5).rsqrt()
    y, bits = torch.empty_like(x), torch.empty(x.numel() // 8 + 1, dtype=torch.uint8)[: (x.numel() + 7) // 8]
    native.affine_clamp(x, mean, weight * inverse, shift, y, 0.0, 6.0, bits)
    g = to_y.expand_as(x).contiguous()
    to_shift, to_scale = native.affine_grad_(g, weight * inverse, x, mean, bits)
    assert to_scale is not None

    leaf, a, b = (v.double().requires_grad_() for v in (x, weight, shift))
    frozen = (leaf.detach().view(-1, 12).mean(0), leaf.detach().view(-1, 12).var(0, correction=0))
    normed = torch.nn.functional.batch_norm(leaf.permute(0, 3, 1, 2), *frozen, a, b, eps=1e-5).permute(0, 2, 3, 1)
    torch.nn.functional.relu6(normed).backward(to_y.double().expand_as(x))
    for ours, theirs in ((g, leaf.grad), (to_scale * inverse, a.grad), (to_shift, b.grad)):
        torch.testing.assert_close(ours.double(), theirs, rtol=1e-5, atol=1e-5)


X, V, BITS = torch.zeros(1, 4, 4, 8), torch.ones(8), torch.zeros(16, dtype=torch.uint8)
LONG = torch.zeros(17, 8)
WRONG = {
    "moments of integers": lambda: native.moments(torch.zeros(3, 8, dtype=torch.int32)),
    "moments with gaps": lambda: native.moments(X.permute(0, 3, 1, 2)),
    "moments of one number": lambda: native.moments(torch.tensor(1.0)),
    "no mean for a channel": lambda: native.affine_clamp(X, V[1:], V, V, X),
    "a scale for each pixel": lambda: native.affine_clamp(X, V, X, V, X),
    "a shift of another type": lambda: native.affine_clamp(X, V, V, V.double(), X),
    "a scale elsewhere": lambda: native.affine_clamp(X, V, V.to("meta"), V, X),
    "out of another shape": lambda: native.affine_clamp(X, V, V, V, LONG),
    "out with gaps": lambda: native.affine_clamp(X, V, V, V, torch.zeros(1, 4, 4, 16)[..., ::2]),
    "out that overlaps": lambda: native.affine_clamp(LONG[1:], V, V, V, LONG[:-1]),
    "x that overlaps": lambda: native.affine_clamp(LONG[:-1], V, V, V, LONG[1:]),
    "bits too short": lambda: native.affine_clamp(X, V, V, V, X, 0.0, 6.0, BITS[1:]),
    "a gradient with gaps": lambda: native.affine_grad_(X.permute(0, 3, 1, 2), None),
    "a gradient's scale": lambda: native.affine_grad_(X, V[1:]),
    "x alone": lambda: native.affine_grad_(X, V, X.clone()),
    "mean alone": lambda: native.affine_grad_(X, V, None, V),
    "a smaller x": lambda: native.affine_grad_(X, V, X[:, 1:].clone(), V),
    "an x of another type": lambda: native.affine_grad_(X, V, X.double(), V),
    "a longer mean": lambda: native.affine_grad_(X, V, X.clone(), torch.ones(9)),
    "a gradient's bits": lambda: native.affine_grad_(X, V, bits=BITS[1:]),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_does_not_fit_is_refused(what: str) -> None:
    with pytest.raises(ValueError, match=r"not |must "):
        WRONG[what]()
