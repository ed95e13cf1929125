"""One step of Adam over one parameter, compiled and plain, against float64."""

import math
from types import ModuleType

import pytest
import torch
from both_ways import COMPILED, guarded, only, untouched, ways
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from edgewise import native
from edgewise.cost.dry import Watch
from edgewise.native import fallback, kernels

HOW = {"rate": 2e-3, "correction": 0.06, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8}


def numbers(shape: tuple[int, ...], seed: int = 0) -> list[Tensor]:
    """Parameter, gradient and moments."""
    generator = torch.Generator().manual_seed(seed)
    parameter, gradient, first, second = torch.randn(4, *shape, generator=generator)
    return [parameter, gradient, 0.1 * first, 0.01 * second.square()]


def stepped(parameter: Tensor, gradient: Tensor, first: Tensor, second: Tensor) -> list[Tensor]:
    """In float64, by the paper's lines."""
    p, g, m, v = (x.double() for x in (parameter, gradient, first, second))
    m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
    return [p - 2e-3 * m / (v.sqrt() / 0.06 + 1e-8), m, v]


def close(results: list[Tensor], expected: list[Tensor]) -> None:
    for result, right in zip(results, expected, strict=True):
        torch.testing.assert_close(result.double(), right, rtol=5e-7, atol=1e-7)


@ways
@settings(max_examples=60)
@given(st.integers(0, 300), st.integers(0, 3), st.integers(0, 99))
@example(4096, 1, 0)
@example(40_003, 0, 0)
def test_equals_the_paper(way: ModuleType, count: int, odd: int, seed: int) -> None:
    start = numbers((count,), seed)
    places = [guarded((count,), odd=odd) for _ in start]
    for (place, _), value in zip(places, start, strict=True):
        place.copy_(value)
    parameter, gradient, first, second = (place for place, _ in places)
    with only(way):
        native.adam_(parameter, gradient, first, second, **HOW)
    close([parameter, first, second], stepped(*start))
    assert torch.equal(gradient, start[1])
    assert all(untouched(memory, odd) for _, memory in places)


@pytest.mark.parametrize("way", [COMPILED])
def test_neither_threads_nor_places_change_anything(way: ModuleType) -> None:
    alike = [torch.full((40_007,), value) for value in (0.3, -0.7, 0.01, 0.02)]
    results = []
    for threads in (1, 2):
        apart = numbers((50_021,))
        with only(way, threads):
            native.adam_(*apart, **HOW)
            native.adam_(*alike, **HOW)
        results.append(apart)
        assert all(bool((x == x[0]).all()) for x in alike)
    assert all(torch.equal(one, two) for one, two in zip(*results, strict=True))


def laid_out(x: Tensor, layout: str) -> Tensor:
    match layout:
        case "channels last":
            return x.contiguous(memory_format=torch.channels_last)
        case "turned":
            return x.transpose(0, 1).contiguous().transpose(0, 1)
        case "with gaps":
            wide = x.new_zeros(*x.shape[:-1], 2 * x.shape[-1])
            wide[..., ::2] = x
            return wide[..., ::2]
    return x.contiguous()


LAYOUTS = ("contiguous", "channels last", "turned", "with gaps")


@pytest.mark.parametrize("shape", [(6, 5, 3, 3), (7, 5, 1, 1), (5, 1, 3, 3), (1, 4, 3, 2), (1, 1, 1, 1)])
@pytest.mark.parametrize("of_gradient", LAYOUTS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_change_nothing(shape: tuple[int, ...], layout: str, of_gradient: str) -> None:
    start = numbers(shape)
    parameter, first, second = (laid_out(start[i], layout).clone() for i in (0, 2, 3))
    if layout == "with gaps":
        parameter = laid_out(start[0], layout)
    strides = parameter.stride()
    native.adam_(parameter, laid_out(start[1], of_gradient), first, second, **HOW)
    close([parameter, first, second], stepped(*start))
    assert parameter.stride() == strides


@ways
def test_what_is_not_a_number_stays_where_it_is_and_nothing_moves_nothing(way: ModuleType) -> None:
    parameter, gradient, first, second = numbers((100,))
    start = parameter.clone()
    first.zero_()
    second.zero_()
    gradient.zero_()
    gradient[40], gradient[60] = math.nan, math.inf
    with only(way):
        native.adam_(parameter, gradient, first, second, **HOW)
    for x in (parameter, first):
        assert not x[[40, 60]].isfinite().any()
    rest = [i for i in range(100) if i not in (40, 60)]
    assert torch.equal(parameter[rest], start[rest])
    assert not first[rest].any()
    assert not second[rest].any()


@ways
def test_a_backward_pass_that_needs_the_old_numbers_fails(way: ModuleType) -> None:
    weight = nn.Parameter(torch.ones(3))
    y = weight.square().sum()
    with only(way), torch.no_grad():
        native.adam_(weight, torch.ones(3), torch.zeros(3), torch.zeros(3), **HOW)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()


def test_shapes_alone_and_other_types() -> None:
    shape, turned = torch.empty(4, 3, device="meta"), torch.empty(3, 4, device="meta").t()
    with Watch() as watch:
        watch.own("shapes", [shape, turned])
        native.adam_(shape, shape, shape, shape, **HOW)
        assert watch.timeline.samples == []
        # what lies otherwise is torch's, also in a prediction
        native.adam_(turned, shape, shape, shape, **HOW)
    assert watch.timeline.samples == [("aten.sqrt.default", {"shapes": 96, "transient": 48})]
    start = [x.double() for x in numbers((9,))]
    expected = stepped(*start)
    native.adam_(*start, **HOW)
    for result, right in zip((start[0], *start[2:]), expected, strict=True):
        torch.testing.assert_close(result, right, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("way", [COMPILED])
def test_compiled_code_takes_what_lies_alike_and_only_that(way: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    monkeypatch.setattr(kernels, "adam_", lambda *_, **__: taken.append("compiled"))
    monkeypatch.setattr(fallback, "adam_", lambda *_, **__: taken.append("plain"))
    last = torch.zeros(4, 3, 2, 2).contiguous(memory_format=torch.channels_last)
    with only(way):
        native.adam_(*[last] * 4, **HOW)
        native.adam_(*[last.contiguous()] * 4, **HOW)
        native.adam_(last, last.contiguous(), last, last, **HOW)
    assert taken == ["compiled", "compiled", "plain"]


P = torch.zeros(4, 9)
WRONG = {
    "integers": lambda: native.adam_(*[P.int()] * 4, **HOW),
    "a shorter gradient": lambda: native.adam_(P, P[1:], P, P, **HOW),
    "as many numbers in another shape": lambda: native.adam_(P, P.view(9, 4), P, P, **HOW),
    "a first moment of another type": lambda: native.adam_(P, P, P.double(), P, **HOW),
    "a second moment elsewhere": lambda: native.adam_(P, P, P, P.to("meta"), **HOW),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_does_not_fit_is_refused(what: str) -> None:
    with pytest.raises(ValueError, match=r"must .*not "):
        WRONG[what]()
