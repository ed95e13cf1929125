"""Every op against plain torch: results and gradients, whatever trains and however tensors lie in memory."""

import dataclasses
import importlib
import pkgutil
from collections.abc import Sequence

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from op_cases import BOUNDS, CASES, LAYOUTS, Case, Needs, laid_out, twin
from torch import Tensor

import edgewise.ops
from edgewise.ops import AveragePool, Conv, FrozenConv, Geometry, Plan, Signed, kernels_met, run
from edgewise.ops.base import Saved, as_rows

IMAGES = 5
CHUNKS = (1, 3, IMAGES)
TOLERANCE = {torch.float64: 1e-10, torch.float32: 2e-4}
EXPECTED = {
    "Add", "Affine", "AveragePool", "BilinearResize", "Clamp", "Conv", "FrozenConv", "GlobalPool", "Linear", "Mapped",
    "Multiply", "Shift", "Signed",
}  # fmt: skip
every_case = pytest.mark.parametrize("case", CASES, ids=str)


def test_every_op_is_here_and_exported() -> None:
    modules = [importlib.import_module(m.name) for m in pkgutil.iter_modules(edgewise.ops.__path__, "edgewise.ops.")]
    found: set[type] = {
        thing
        for module in modules
        for thing in vars(module).values()
        if isinstance(thing, type) and dataclasses.is_dataclass(thing)
        if {"shape", "keeps", "forward", "backward"} <= set(vars(thing))
    }
    assert {op.__name__ for op in found} == EXPECTED
    assert {type(case.op).__name__ for case in CASES} == EXPECTED
    assert all(vars(edgewise.ops)[op.__name__] is op for op in found)
    assert len({case.name for case in CASES}) == len(CASES)


def compare(case: Case, needs: Needs, plan: Plan, tensors: Sequence[Tensor], layout: str) -> None:
    """Result and gradients of ``tensors``; the tensors given in, and the gradient, come back unchanged."""
    tensors = [t.detach().requires_grad_(need) for t, need in zip(tensors, needs, strict=True)]
    # Torch gets copies in its own layout: its group norm of channels-last maps has bugs of its own.
    twins = [t.detach().clone(memory_format=torch.contiguous_format).requires_grad_(t.requires_grad) for t in tensors]
    expected = twin(case.op, twins)
    grad = laid_out(torch.randn(expected.shape, generator=torch.Generator().manual_seed(1)).to(expected), layout)
    before = [t.detach().clone() for t in (*tensors, grad)]
    (found,) = run(plan, tensors)
    gradients = torch.autograd.grad(found, [t for t in tensors if t.requires_grad], grad)
    assert all(torch.equal(t, b) for t, b in zip((*tensors, grad), before, strict=True)), "something was overwritten"
    close(found, expected)
    truths = torch.autograd.grad(expected, [t for t in twins if t.requires_grad], grad)
    for gradient, truth in zip(gradients, truths, strict=True):
        close(gradient, truth)
    with torch.no_grad():
        assert torch.equal(run(plan, tensors)[0], found), "with gradients or without"


def close(found: Tensor, expected: Tensor) -> None:
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    tolerance = TOLERANCE[expected.dtype]
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


@every_case
def test_in_double_precision_for_every_pattern_and_chunk(case: Case) -> None:
    tensors = case.tensors(IMAGES, torch.float64)
    for chunk in CHUNKS:
        plan = Plan(case.program, chunk)
        for needs in case.patterns():
            compare(case, needs, plan, tensors, "contiguous")


@every_case
@pytest.mark.parametrize("layout", LAYOUTS)
def test_in_single_precision_for_every_layout(case: Case, layout: str) -> None:
    tensors = case.tensors(IMAGES, torch.float32, layout)
    # All that can train, and each alone; one image at a time, where more layouts look alike.
    patterns = {max(case.patterns()), *(needs for needs in case.patterns() if sum(needs) == 1)}
    for chunk in (1, 3) if layout == "channels_last" else (3,):
        for needs in sorted(patterns):
            compare(case, needs, Plan(case.program, chunk), tensors, layout)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_products_of_many_pixels(layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two threads and more leave them to oneDNN, which is another way through every 1 x 1 convolution."""
    monkeypatch.setattr("edgewise.ops.geometry.MANY_PIXELS", 1)
    cases = [
        case for case in CASES if isinstance(case.op, Conv | FrozenConv) and case.op.geometry.pointwise(case.shapes[1])
    ]
    assert len(cases) >= 2
    torch.set_num_threads(2)
    try:
        for case in cases:
            for kind in (torch.float32, torch.float64):
                compare(case, max(case.patterns()), Plan(case.program, 3), case.tensors(IMAGES, kind, layout), layout)
    finally:
        torch.set_num_threads(1)


@pytest.mark.parametrize("images", [1, 2, 8])
def test_products_of_single_pixels_round_alike_whatever_their_strides(images: int) -> None:
    """A side of length 1 may have any stride, and torch chooses how to multiply by strides."""
    torch.manual_seed(0)
    maps, weight = torch.randn(images, 1, 1, 96), torch.randn(96, 96, 1, 1)
    strange = maps.as_strided(maps.shape, (96, 1, 1, 1))
    for product in (Geometry().apply, lambda x, w: Geometry().input_gradient(x, w, (1, 1, 96))):
        assert torch.equal(product(strange, weight), product(maps, weight))


def test_shapes_that_code_is_compiled_for_are_counted_once() -> None:
    conv, x, weight = Geometry((2, 2), (1, 1, 1, 1)), torch.empty(2, 8, 8, 3, device="meta"), (4, 3, 3, 3)
    with kernels_met() as met:
        for _ in range(2):
            conv.apply(x, torch.empty(weight, device="meta"))
        Geometry().apply(x, torch.empty(4, 3, 1, 1, device="meta"))  # a product
        assert len(met) == 1
        conv.input_gradient(torch.empty(2, 4, 4, 4, device="meta"), torch.empty(weight, device="meta"), (8, 8, 3))
        assert len(met) == 2


@every_case
def test_gradcheck(case: Case) -> None:
    if isinstance(case.op, Signed) and "ReLU" not in case.name:
        pytest.skip("the sign is not this function's derivative, and is not meant to be")
    needs = max(case.patterns())
    tensors = [t.requires_grad_(need) for t, need in zip(case.tensors(3, torch.float64), needs, strict=True)]
    plan = Plan(case.program, 2)
    assert torch.autograd.gradcheck(lambda *given: run(plan, given), tensors, fast_mode=True)


@every_case
def test_the_contract_without_a_program(case: Case) -> None:
    """``backward`` gets what `Op.keeps` names and no more; without ``inplace`` nothing is overwritten."""
    operands = [as_rows(t) if i < case.batched else t for i, t in enumerate(case.tensors(2, torch.float64))]
    grad = torch.randn(2, *case.result, dtype=torch.float64)
    for needs in case.patterns():
        keeps, size = case.op.keeps(needs), (grad.numel() + 7) // 8
        read = [t if i in keeps.operands or i >= case.batched else None for i, t in enumerate(operands)]
        both = []
        for inplace in (False, True):
            given = [t.clone() for t in operands]
            bits = torch.empty(size, dtype=torch.uint8) if keeps.bits else None
            y = case.op.forward(given, bits, inplace)
            assert inplace or all(torch.equal(t, before) for t, before in zip(given, operands, strict=True))
            flowing = grad.clone()
            grads = case.op.backward(flowing, Saved(read, case.shapes, bits, needs, inplace))
            assert inplace or torch.equal(flowing, grad)
            assert y.is_contiguous()
            assert [g is not None for g in grads] == list(needs)
            assert all(g.shape == t.shape for g, t in zip(grads, operands, strict=True) if g is not None)
            both.append([y, *(g.clone() for g in grads if g is not None)])
        assert all(torch.equal(a, b) for a, b in zip(*both, strict=True))


@every_case
def test_shape_is_that_of_the_result(case: Case) -> None:
    (y,) = run(Plan(case.program, 2), case.tensors(3, torch.float32))
    assert (3, *case.result) == tuple((y.permute(0, 2, 3, 1) if y.ndim == 4 else y).shape)


@every_case
def test_without_numbers(case: Case) -> None:
    """On the meta device, where memory is predicted, the same shapes come out."""
    real = case.tensors(IMAGES, torch.float32)
    for chunk in (2, IMAGES):
        for needs in case.patterns():
            meta = [t.to("meta").requires_grad_(need) for t, need in zip(real, needs, strict=True)]
            (y,) = run(Plan(case.program, chunk), meta)
            assert y.device.type == "meta"
            assert y.shape == twin(case.op, meta).shape
            y.sum().backward()
            assert [t.grad is not None for t in meta] == list(needs)
            assert all(t.grad.shape == t.shape for t in meta if t.grad is not None)


@st.composite
def convolutions(draw: st.DrawFn) -> Case:
    """Any convolution that has a result."""
    groups = draw(st.integers(1, 3))
    kernel = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    stride = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    dilation = draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
    padding = draw(st.tuples(*[st.integers(0, 3)] * 4))
    reach = [step * (k - 1) + 1 for step, k in zip(dilation, kernel, strict=True)]
    sides = [
        draw(st.integers(max(1, r - before - after), 13))
        for r, before, after in zip(reach, padding[::2], padding[1::2], strict=True)
    ]
    inputs, outputs = (groups * draw(st.integers(1, 3)) for _ in range(2))
    geometry = Geometry(stride, padding, dilation, groups)
    x, weight, vector = (*sides, inputs), (outputs, inputs // groups, *kernel), (outputs,)
    if draw(st.booleans()):
        return Case("Conv", Conv(geometry), (x, weight), 1, lambda n: ((), False), (0, 1))
    op = FrozenConv(geometry, *draw(st.sampled_from(list(BOUNDS.values()))))
    return Case("FrozenConv", op, (x, weight, vector, vector), 1, lambda n: ((), False), (0, 3))


@given(convolutions(), st.integers(1, 4), st.integers(1, 4), st.sampled_from(LAYOUTS))
def test_any_convolution(case: Case, images: int, chunk: int, layout: str) -> None:
    compare(case, max(case.patterns()), Plan(case.program, chunk), case.tensors(images, torch.float64, layout), layout)


@given(
    st.sampled_from([case for case in CASES if "Conv" not in case.name and len(case.shapes[0]) == 3]),
    st.lists(st.integers(1, 13), min_size=2, max_size=2),
    st.integers(1, 4),
    st.integers(1, 4),
    st.sampled_from(LAYOUTS),
)
def test_any_size(case: Case, sides: list[int], images: int, chunk: int, layout: str) -> None:
    """Maps of one op in other sizes; what is a gate stays one."""
    assume(not isinstance(case.op, AveragePool) or min(sides) >= case.op.pool)
    largest = max(case.shapes, key=lambda shape: len(shape) * 1000 + shape[0])
    shapes = tuple((*sides, s[2]) if len(s) == 3 and s[:2] == largest[:2] else s for s in case.shapes)
    case = dataclasses.replace(case, shapes=shapes)
    compare(case, max(case.patterns()), Plan(case.program, chunk), case.tensors(images, torch.float64, layout), layout)
