"""Compiled code and its plain twin, both against torch's own operations and their gradients."""

import math
from dataclasses import dataclass, replace
from types import ModuleType

import pytest
import torch
import torch.nn.functional as F
from both_ways import BOUNDS, COMPILED, activated, bits_of, guarded, only, room, untouched, ways
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from edgewise import native
from edgewise.native import fallback, functions, kernels


@ways
@pytest.mark.parametrize("name", BOUNDS)
@settings(max_examples=25)
@given(st.integers(1, 9), st.integers(1, 70), st.booleans(), st.integers(0, 3), st.integers(0, 99))
def test_clamp(way: ModuleType, name: str, rows: int, channels: int, biased: bool, odd: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    x, memory = guarded((rows, channels), odd=odd)
    special = torch.tensor([math.nan, math.inf, -math.inf, 0.0, -0.0, 6.0, -1.5, 2.0])
    x.copy_(4 * torch.randn(x.shape, generator=generator))
    chosen = torch.rand(x.shape, generator=generator) < 0.3
    x[chosen] = special[torch.randint(0, 8, (int(chosen.sum()),), generator=generator)]
    bias = torch.randn(channels, generator=generator) if biased else None
    expected, passes = activated(x if bias is None else x + bias, name)
    bits, memory_of_bits = room(x)
    with only(way):
        native.clamp_(x, *BOUNDS[name], bias, bits)
    torch.testing.assert_close(x, expected, rtol=0, atol=0, equal_nan=True)
    assert bits.tolist() == bits_of(passes)
    assert untouched(memory, odd)
    assert untouched(memory_of_bits)


@ways
@settings(max_examples=40)
@given(st.integers(1, 300), st.integers(0, 3), st.integers(0, 99))
def test_mask(way: ModuleType, count: int, odd: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    keep = torch.rand(count, generator=generator) < 0.5
    bits = torch.tensor(bits_of(keep), dtype=torch.uint8)
    g, memory = guarded((count,), odd=odd)
    g.copy_(torch.randn(count, generator=generator))
    g[torch.rand(count, generator=generator) < 0.2] = math.nan
    expected = torch.where(keep, g, 0.0)
    with only(way):
        native.mask_(g, bits)
    torch.testing.assert_close(g, expected, rtol=0, atol=0, equal_nan=True)
    assert untouched(memory, odd)


@dataclass(frozen=True)
class Case:
    """A depthwise convolution; ``after`` rows and columns of zeros follow the input, negative ones cut it."""

    images: int
    size: tuple[int, int]
    channels: int
    kernel: int
    stride: int
    before: tuple[int, int]
    after: tuple[int, int]

    @property
    def x(self) -> tuple[int, ...]:
        return self.images, *self.size, self.channels

    @property
    def out(self) -> tuple[int, ...]:
        sides = zip(self.size, self.before, self.after, strict=True)
        return (
            self.images,
            *(max(1, (n + a + b - self.kernel) // self.stride + 1) for n, a, b in sides),
            self.channels,
        )

    def geometry(self) -> dict[str, int]:
        return {"stride": self.stride, "pad_top": self.before[0], "pad_left": self.before[1]}


def pairs(low: int, high: int) -> st.SearchStrategy[tuple[int, int]]:
    return st.tuples(st.integers(low, high), st.integers(low, high))


CASES = st.builds(
    Case,
    images=st.integers(1, 3),
    size=st.tuples(st.integers(1, 7), st.integers(1, 21)),
    channels=st.one_of(st.integers(1, 40), st.sampled_from([64, 80, 100])),
    kernel=st.sampled_from([1, 3, 5, 7]),
    stride=st.integers(1, 4),
    before=pairs(0, 6),
    after=pairs(-2, 6),
)
MOBILE = [  # the layers of MobileNet and its kin, and TensorFlow's uneven padding
    Case(2, (14, 14), 24, 3, 1, (1, 1), (1, 1)),
    Case(1, (28, 28), 96, 3, 2, (1, 1), (1, 1)),
    Case(1, (28, 28), 32, 3, 2, (0, 0), (1, 1)),
    Case(1, (14, 14), 72, 5, 2, (1, 1), (2, 2)),
    Case(1, (20, 20), 40, 5, 1, (2, 2), (2, 2)),
    Case(2, (7, 7), 160, 7, 1, (3, 3), (3, 3)),
    Case(1, (40, 31), 33, 3, 1, (1, 1), (1, 1)),
    Case(5, (9, 70), 17, 3, 2, (1, 1), (1, 1)),
]


def convolved(x: Tensor, weight: Tensor, case: Case) -> Tensor:
    """In float64 with torch's own convolution, of the input with its zeros laid around it."""
    (_, height, width, channels), k = case.out, case.kernel
    (top, left), s = case.before, case.stride
    surrounded = F.pad(x.double().permute(0, 3, 1, 2), (left, s * width + k, top, s * height + k))
    surrounded = surrounded[:, :, : (height - 1) * s + k, : (width - 1) * s + k]
    filters = weight.double().t().reshape(channels, 1, k, k)
    return F.conv2d(surrounded, filters, stride=s, groups=channels).permute(0, 2, 3, 1)


def check(way: ModuleType, case: Case, seed: int, threads: int = 1) -> None:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(case.x, generator=generator)
    weight = torch.randn(case.kernel**2, case.channels, generator=generator)
    bias = torch.randn(case.channels, generator=generator) if seed % 3 else None
    g = torch.randn(case.out, generator=generator)
    keep = torch.rand(case.x, generator=generator) < 0.5

    leaf, filters = x.double().requires_grad_(), weight.double().requires_grad_()
    linear = convolved(leaf, filters, case)
    gradient, gradient_of_weight = torch.autograd.grad(linear, (leaf, filters), g.double())
    expected = (linear if bias is None else linear + bias.double()).detach()

    out, memory = guarded(case.out)
    bits, memory_of_bits = room(out)
    to_x, memory_of_gradient = guarded(case.x)
    to_weight, memory_of_sums = guarded((case.kernel**2, case.channels))
    masked = torch.empty(case.x)
    with only(way, threads):
        native.depthwise(x, weight, bias, out, **case.geometry(), low=0.0, high=6.0, bits=bits)
        native.depthwise_grad_input(g, weight, to_x, **case.geometry())
        native.depthwise_grad_weight(g, x, to_weight, **case.geometry())
        native.depthwise_grad_input(
            g, weight, masked, **case.geometry(), bits=torch.tensor(bits_of(keep), dtype=torch.uint8)
        )
        unclamped = torch.empty(case.out)
        native.depthwise(x, weight, bias, unclamped, **case.geometry())
    torch.testing.assert_close(unclamped.double(), expected, rtol=1e-5, atol=2e-5)
    assert torch.equal(out, unclamped.clamp(0, 6))
    assert bits.tolist() == bits_of((unclamped > 0) & (unclamped < 6))
    torch.testing.assert_close(to_x.double(), gradient, rtol=1e-5, atol=2e-5)
    assert torch.equal(masked, torch.where(keep, to_x, 0.0))
    close_sums(to_weight, gradient_of_weight, case)
    assert untouched(memory)
    assert untouched(memory_of_bits)
    assert untouched(memory_of_gradient)
    assert untouched(memory_of_sums)


def close_sums(sums: Tensor, expected: Tensor, case: Case) -> None:
    """Each is a sum over all pixels, most of which cancel."""
    pixels = case.images * case.out[1] * case.out[2]
    torch.testing.assert_close(sums.double(), expected, rtol=1e-5, atol=2e-5 + 2e-6 * math.sqrt(pixels))


@ways
@settings(max_examples=80)
@given(CASES, st.integers(0, 99))
def test_depthwise(way: ModuleType, case: Case, seed: int) -> None:
    check(way, case, seed)


@ways
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("case", MOBILE)
def test_depthwise_layers_of_real_networks(way: ModuleType, case: Case, threads: int) -> None:
    check(way, case, 1, threads)


@ways
def test_what_is_not_a_number_stays_so_and_stays_where_it_is(way: ModuleType) -> None:
    x = torch.zeros(1, 6, 6, 24)
    x[0, 2, 2, 5] = math.nan
    out, bits = torch.empty(1, 6, 6, 24), torch.empty(108, dtype=torch.uint8)
    with only(way):
        native.depthwise(x, torch.ones(9, 24), None, out, stride=1, pad_top=1, pad_left=1, low=0, high=6, bits=bits)
    assert out[0, 1:4, 1:4, 5].isnan().all()
    assert int(out.isnan().sum()) == 9
    assert sum(bin(byte).count("1") for byte in bits.tolist()) == 9, "and its gradient passes"


@ways
@pytest.mark.parametrize("channels", [96, 7])
def test_threads_change_nothing(way: ModuleType, channels: int) -> None:
    start = torch.randn(1201, channels)
    results = []
    for threads in (1, 2):
        x, bits = start.clone(), torch.empty((start.numel() + 7) // 8, dtype=torch.uint8)
        with only(way, threads):
            native.clamp_(x, 0.0, 6.0, start[0], bits)
            g = start.clone()
            native.mask_(g, bits)
        results.append((x, bits, g))
    assert all(torch.equal(one, two) for one, two in zip(*results, strict=True))


@pytest.mark.parametrize("way", [COMPILED])
@settings(max_examples=40)
@given(CASES, st.integers(0, 99))
def test_threads_do_not_change_the_gradient_of_the_weight(way: ModuleType, case: Case, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    case = replace(case, channels=case.channels + 17, images=30)
    x, g = torch.randn(case.x, generator=generator), torch.randn(case.out, generator=generator)
    results = []
    for threads in (1, 2):
        results.append(torch.full((case.kernel**2, case.channels), math.nan))
        with only(way, threads):
            native.depthwise_grad_weight(g, x, results[-1], **case.geometry())
    assert torch.equal(*results)


@ways
def test_the_gradient_of_a_weight_that_meets_nothing_is_zero(way: ModuleType) -> None:
    """One pixel, met by the last tap only."""
    x, g, out = torch.full((2, 1, 1, 20), 3.0), torch.full((2, 1, 1, 20), 2.0), torch.full((25, 20), math.nan)
    with only(way):
        native.depthwise_grad_weight(g, x, out, stride=3, pad_top=4, pad_left=4)
    assert torch.equal(out[24], torch.full((20,), 12.0))
    assert not out[:24].any()
    with only(way):
        native.depthwise_grad_weight(g[:0], x[:0], out, stride=1, pad_top=0, pad_left=0)
    assert not out.any()


def test_other_types_and_devices_take_the_plain_way() -> None:
    assert functions._way(torch.empty(1)) is (kernels if kernels.why_not() is None else fallback)
    assert functions._way(torch.empty(1, dtype=torch.float64)) is fallback
    assert functions._way(torch.empty(1, device="meta")) is fallback
    x, bits = torch.tensor([[-1.0, 3.0, 7.0]], dtype=torch.float64), torch.empty(1, dtype=torch.uint8)
    native.clamp_(x, 0.0, 6.0, None, bits)
    assert (x.tolist(), bits.tolist()) == ([[0.0, 3.0, 6.0]], [0b010])
    shapeless = torch.empty(2, 5, 5, 8, device="meta")
    native.depthwise(
        shapeless, torch.empty(9, 8, device="meta"), None, shapeless.clone(), stride=1, pad_top=1, pad_left=1
    )
    sums = torch.empty(9, 8, device="meta")
    native.depthwise_grad_weight(shapeless, shapeless, sums, stride=1, pad_top=1, pad_left=1)
    x, g = torch.ones(1, 2, 2, 3, dtype=torch.float64), torch.ones(1, 2, 2, 3, dtype=torch.float64)
    sums = torch.empty(9, 3, dtype=torch.float64)
    native.depthwise_grad_weight(g, x, sums, stride=1, pad_top=1, pad_left=1)
    assert sums[:, 0].tolist() == [1, 2, 1, 2, 4, 2, 1, 2, 1]


X, WEIGHT, OUT = torch.zeros(1, 4, 4, 8), torch.zeros(9, 8), torch.zeros(1, 4, 4, 8)
BITS = torch.zeros(16, dtype=torch.uint8)
WRONG = {
    "integers": lambda: native.clamp_(torch.zeros(3, 8, dtype=torch.int32)),
    "not contiguous": lambda: native.clamp_(X.permute(0, 3, 1, 2)),
    "bias too long": lambda: native.clamp_(X, bias=torch.zeros(9)),
    "bias of another type": lambda: native.clamp_(X, bias=torch.zeros(8, dtype=torch.float64)),
    "bias elsewhere": lambda: native.clamp_(X, bias=torch.zeros(8, device="meta")),
    "bits too short": lambda: native.clamp_(X, bits=BITS[1:]),
    "bits too long": lambda: native.mask_(X[:, :3], BITS),
    "bits of another type": lambda: native.mask_(X, BITS.to(torch.int8)),
    "bits with gaps": lambda: native.mask_(X, torch.zeros(32, dtype=torch.uint8)[::2]),
    "three dimensions": lambda: native.depthwise(X[0], WEIGHT, None, OUT, stride=1, pad_top=1, pad_left=1),
    "an even filter": lambda: native.depthwise(X, torch.zeros(4, 8), None, OUT, stride=1, pad_top=1, pad_left=1),
    "torch's own filter": lambda: native.depthwise(
        X, torch.zeros(8, 1, 3, 3), None, OUT, stride=1, pad_top=1, pad_left=1
    ),
    "other channels": lambda: native.depthwise(
        X, WEIGHT, None, torch.zeros(1, 4, 4, 9), stride=1, pad_top=1, pad_left=1
    ),
    "other images": lambda: native.depthwise(X, WEIGHT, None, torch.zeros(2, 4, 4, 8), stride=1, pad_top=1, pad_left=1),
    "no stride": lambda: native.depthwise(X, WEIGHT, None, OUT, stride=0, pad_top=1, pad_left=1),
    "negative padding": lambda: native.depthwise_grad_input(OUT, WEIGHT, X, stride=1, pad_top=-1, pad_left=1),
    "a gradient of other channels": lambda: native.depthwise_grad_weight(
        torch.zeros(1, 4, 4, 9), X, WEIGHT, stride=1, pad_top=1, pad_left=1
    ),
    "a gradient with gaps": lambda: native.depthwise_grad_weight(
        torch.zeros(1, 4, 4, 16)[..., ::2], X, WEIGHT, stride=1, pad_top=1, pad_left=1
    ),
    "an input of another type": lambda: native.depthwise_grad_weight(
        OUT, X.double(), WEIGHT, stride=1, pad_top=1, pad_left=1
    ),
    "room for torch's own filter": lambda: native.depthwise_grad_weight(
        OUT, X, torch.zeros(8, 1, 3, 3), stride=1, pad_top=1, pad_left=1
    ),
    "gradient's bits": lambda: native.depthwise_grad_input(
        OUT, WEIGHT, X, stride=1, pad_top=1, pad_left=1, bits=BITS[1:]
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_does_not_fit_is_refused(what: str) -> None:
    with pytest.raises(ValueError, match=r"not |cannot |must "):
        WRONG[what]()


def test_the_message_names_what_was_given() -> None:
    with pytest.raises(ValueError, match=r"^bits must") as caught:
        native.mask_(X, BITS[1:])
    assert str(caught.value) == (
        "bits must be 16 contiguous bytes for a map of shape (1, 4, 4, 8), "
        "not torch.uint8 of shape (15,) on cpu, contiguous."
    )
