"""Standardised rows and their gradient, compiled and plain, against float64."""

import math
from types import ModuleType

import pytest
import torch
from both_ways import COMPILED, only, ways
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from edgewise import native
from edgewise.native import fallback

EPS = 1e-5
COUNTS = st.one_of(st.integers(2, 70), st.sampled_from([576, 1152, 4609]))


def numbers(rows: int, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Rows that lie far from zero in their own deviations, and a gradient for them."""
    generator = torch.Generator().manual_seed(seed)
    x = 0.1 * torch.randn(rows, count, generator=generator) + torch.linspace(-1, 1, rows).unsqueeze(1)
    return x, torch.randn(rows, count, generator=generator) + 0.3


def in_float64(x: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
    """By the definition, and by autograd."""
    leaf = x.double().requires_grad_()
    y = (leaf - leaf.mean(1, keepdim=True)) / (leaf.std(1, keepdim=True) + EPS)
    (gradient,) = torch.autograd.grad(y, leaf, g.double())
    return y.detach(), gradient


def both(x: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
    return native.standardise(x, EPS), native.standardise_grad(g, x, EPS)


@ways
@settings(max_examples=60)
@given(st.integers(1, 9), COUNTS, st.integers(0, 99))
@example(64, 576, 0)
def test_equals_the_definition(way: ModuleType, rows: int, count: int, seed: int) -> None:
    x, g = numbers(rows, count, seed)
    before = x.clone(), g.clone()
    with only(way):
        results = both(x, g)
    # compiled code rounds once, torch at every step, and what it rounds is larger than the result
    deviation = x.double().std(1, keepdim=True)
    far = x.abs().amax(1, keepdim=True) / deviation
    sizes = (far, far * g.abs().amax(1, keepdim=True) / deviation)
    for result, expected, size in zip(results, in_float64(x, g), sizes, strict=True):
        allowed = 4e-6 * size if way is fallback else 1e-7 * expected.abs() + 1e-12 * size
        assert ((result - expected).abs() <= allowed).all()
        assert result.is_contiguous()
    assert torch.equal(x, before[0])
    assert torch.equal(g, before[1])


@pytest.mark.parametrize("way", [COMPILED])
@pytest.mark.parametrize("shape", [(101, 577), (3, 20_001)])
def test_threads_change_nothing(way: ModuleType, shape: tuple[int, int]) -> None:
    x, g = numbers(*shape, 0)
    results = []
    for threads in (1, 2):
        with only(way, threads):
            results.append(both(x, g))
    assert all(torch.equal(one, two) for one, two in zip(*results, strict=True))


@ways
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_row_that_is_not_finite_spoils_no_other(way: ModuleType, value: float) -> None:
    x, g = numbers(3, 50, 0)
    x[1, 17] = value
    with only(way):
        results = both(x, g)
    for result in results:
        assert result[1].isnan().all()
        assert result[::2].isfinite().all()


@ways
def test_rows_of_one_value_one_number_or_none(way: ModuleType) -> None:
    ones = torch.ones(2, 9)
    with only(way):
        flat, gradient = both(ones, ones)
        assert torch.equal(flat, torch.zeros(2, 9))
        assert gradient.isnan().all(), "the root has no slope at 0"
        assert all(result.isnan().all() for result in both(torch.ones(4, 1), torch.ones(4, 1)))
        for shape in ((0, 5), (3, 0)):
            assert all(result.shape == shape for result in both(torch.empty(shape), torch.empty(shape)))


X = torch.zeros(4, 9)
WRONG = {
    "integers": lambda: native.standardise(X.int(), EPS),
    "gaps": lambda: native.standardise(X[:, ::2], EPS),
    "filters": lambda: native.standardise(X.view(4, 1, 3, 3), EPS),
    "a row alone": lambda: native.standardise_grad(X[0], X[0], EPS),
    "a gradient with gaps": lambda: native.standardise_grad(torch.zeros(9, 4).t(), X, EPS),
    "a shorter gradient": lambda: native.standardise_grad(X[1:], X, EPS),
    "a gradient of another type": lambda: native.standardise_grad(X.double(), X, EPS),
    "a gradient elsewhere": lambda: native.standardise_grad(X.to("meta"), X, EPS),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_does_not_fit_is_refused(what: str) -> None:
    with pytest.raises(ValueError, match=r"must .*not "):
        WRONG[what]()
