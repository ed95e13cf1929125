"""Bytes kept between forward and backward, to the byte; and nothing is kept where they cannot be counted."""

import ast
import dataclasses
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from op_cases import CASES, Case, Needs, twin
from straight_lines import Builder, Line, programs
from torch import Tensor, nn

import edgewise
from edgewise.compress.ternary import ternarised
from edgewise.cost.kept import KeptBytes
from edgewise.layers.masked_conv import STEPS, masked
from edgewise.layers.signed_activation import SignedActivation
from edgewise.layers.weight_standardised import standardised
from edgewise.ops import (
    Add,
    Affine,
    BatchStatistics,
    Clamp,
    Conv,
    FrozenConv,
    Geometry,
    GlobalPool,
    Mapped,
    Multiply,
    Op,
    Plan,
    Shape,
    run,
)
from edgewise.subnets import layers as subnets

IMAGES = 5
CHUNKS = (1, 3, IMAGES)
every_case = pytest.mark.parametrize("case", CASES, ids=str)


def kept(plan: Plan, tensors: Sequence[Tensor], ignored: Sequence[Tensor] = ()) -> int:
    """Bytes, without those of shared inputs (weights are there anyway)."""
    with KeptBytes([*tensors[plan.program.batched :], *ignored]) as counter:
        run(plan, tensors)
    return counter.total


def bits(elements: int, images: int, chunk: int) -> int:
    """Bytes of one bit an element; every chunk begins a byte."""
    return sum((elements * len(range(images)[start : start + chunk]) + 7) // 8 for start in range(0, images, chunk))


def elements(shape: Shape) -> int:
    return torch.Size(shape).numel()


@every_case
def test_an_op_declares_no_more_than_it_must(case: Case) -> None:
    for needs in case.patterns():
        declared = case.op.keeps(needs)
        assert (declared.operands, declared.bits) == case.keeps(needs)
    nothing = case.op.keeps((False,) * len(case.shapes))
    assert (nothing.operands, nothing.bits) == ((), False)


@every_case
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_is_kept_is_what_is_declared(case: Case, dtype: torch.dtype) -> None:
    tensors = case.tensors(IMAGES, dtype)
    for needs in case.patterns():
        tensors = [t.detach().requires_grad_(need) for t, need in zip(tensors, needs, strict=True)]
        operands, flags = case.keeps(needs)
        whole = sum(tensors[i].nbytes for i in operands)
        for chunk in CHUNKS:
            expected = whole + (bits(elements(case.result), IMAGES, chunk) if flags else 0)
            assert kept(Plan(case.program, chunk), tensors) == expected, (needs, chunk)


@every_case
def test_never_more_than_stock_torch(case: Case) -> None:
    if case.name == "Mapped two functions":
        pytest.skip("torch keeps the small result between the two; Mapped keeps the one large operand")
    for needs in case.patterns():
        tensors = [t.requires_grad_(need) for t, need in zip(case.tensors(IMAGES, torch.float32), needs, strict=True)]
        with KeptBytes(tensors[case.batched :]) as stock:
            twin(case.op, tensors)
        assert kept(Plan(case.program, 1), tensors) <= max(stock.total, bits(elements(case.result), IMAGES, 1))


def one_op(op: Op, shapes: Sequence[Shape], batched: int, needs: Needs, chunk: int) -> int:
    """Kept bytes of four images in float32."""
    case = Case("", op, tuple(shapes), batched, lambda n: ((), False), ())
    tensors = [t.requires_grad_(need) for t, need in zip(case.tensors(4, torch.float32), needs, strict=True)]
    return kept(Plan(case.program, chunk), tensors)


def test_by_hand() -> None:
    x, weight, vector = (7, 5, 3), (2, 3, 3, 3), (2,)
    geometry = Geometry((2, 2), (1, 1, 1, 1))
    frozen = partial(one_op, shapes=(x, weight, vector, vector), batched=1, needs=(True, False, False, True))
    # The result has 4 x 3 x 2 = 24 elements: 3 bytes an image.
    assert [frozen(FrozenConv(geometry, 0.0), chunk=chunk) for chunk in (1, 3, 4)] == [12, 12, 12]
    assert frozen(FrozenConv(geometry), chunk=1) == 0
    # 7 x 5 x 3 = 105 elements: 14 bytes an image, or 420 bits in one go.
    clamp = partial(one_op, Clamp(), [x], 1, (True,))
    assert [clamp(chunk=chunk) for chunk in (1, 3, 4)] == [56, 40 + 14, 53]
    convolution = partial(one_op, Conv(geometry), [x, weight], 1, chunk=1)
    assert convolution(needs=(True, False)) == 0
    assert convolution(needs=(False, True)) == convolution(needs=(True, True)) == 4 * 105 * 4
    norm = partial(one_op, Affine(), [x, (3,), (3,), (3,)], 1, chunk=3)
    assert norm(needs=(True, True, False, True)) == 0
    assert norm(needs=(False, False, True, False)) == 4 * 105 * 4
    assert one_op(GlobalPool(), [x], 1, (True,), 1) == 0
    assert one_op(Mapped(_pool, linear=True), [x], 1, (True,), 1) == 0
    assert one_op(Add(), [x, x], 2, (True, True), 1) == 0
    gate = partial(one_op, Multiply(), [x, (1, 1, 3)], 2, chunk=2)
    assert [gate(needs=n) for n in ((True, False), (False, True))] == [4 * 3 * 4, 4 * 105 * 4]


def _pool(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 3)


def declared(plan: Plan, line: Line, images: int, tensors: Sequence[Tensor], ignored: frozenset[int]) -> int:
    """Bytes that the plan's stretches store, by its shapes."""
    analysis, program, total = plan.analysis(line.needs), line.program, 0
    for register in {r for stretch in analysis.stretches for r in stretch.stored} - ignored:
        total += tensors[register].nbytes if register < program.batched else 4 * images * program.elements(register)
    size = sum(
        bits(program.elements(program.instructions[i].result), images, plan.chunk)
        for stretch in analysis.stretches
        if not stretch.recompute
        for i in range(stretch.start, stretch.stop)
        if analysis.bit_elements(i)
    )
    return total + size


@settings(max_examples=120)
@given(programs(longest=12), st.integers(1, 4), st.integers(1, 4))
def test_programs_keep_what_their_stretches_store(line: Line, images: int, chunk: int) -> None:
    """And no more than keeping everything; inputs that are held by somebody else are free."""
    plan, whole = Plan(line.program, chunk), Plan(line.program, chunk)
    tensors = line.tensors(images, dtype=torch.float32)
    held = [tensors[r] for r in line.program.held]
    measured = kept(plan, tensors, held)
    assert measured == declared(plan, line, images, tensors, line.program.held)
    analysis = whole.analysis(line.needs)
    vars(analysis)["stretches"] = (analysis._stretch(0, len(line.program.instructions), False),)
    # The choice is made in whole bits; every chunk's last byte is extra.
    assert measured <= kept(whole, tensors, held) + len(line.program.instructions) * images


def swish_line(held: Sequence[int]) -> Line:
    """A large input made small, then a smooth function and a clamp."""
    builder = Builder([(7, 5, 12)])
    small = builder.frozen(0, 2)
    value = builder.add(Clamp(), [builder.add(Mapped(F.silu), [small])])
    return Line(builder.program([value], held), (True, *builder.trainable))


def test_what_is_held_anyway_costs_nothing() -> None:
    line, held = swish_line([]), swish_line([0])
    (x, *_) = tensors = line.tensors(3, dtype=torch.float32)
    small, bits_of_clamp = 3 * 7 * 5 * 2 * 4, 3 * 9
    assert kept(Plan(line.program, 1), tensors) == small + bits_of_clamp
    assert kept(Plan(held.program, 1), tensors, [x]) == bits_of_clamp, "the small map is computed again from x"
    assert kept(Plan(held.program, 1), tensors) == x.nbytes + bits_of_clamp


def test_nothing_is_kept_without_gradients() -> None:
    line = swish_line([])
    tensors = line.tensors(3)
    with torch.no_grad():
        assert kept(Plan(line.program, 1), tensors) == 0
    assert kept(Plan(line.program, 1), [t.detach() for t in tensors]) == 0


def hidden(thing: Any, path: str = "", seen: set[int] | None = None) -> Iterator[str]:
    """Where tensors lie in a thing's attributes, containers, closures; saved ones are not among them."""
    seen = set() if seen is None else seen
    if id(thing) in seen or isinstance(thing, (type, str, int, float)):
        return
    seen.add(id(thing))
    if isinstance(thing, Tensor):
        yield path
        return
    inside: dict[str, Any] = {}
    if isinstance(thing, dict):
        inside = {f"[{key!r}]": value for key, value in thing.items()} | {f"key {key!r}": key for key in thing}
    elif isinstance(thing, (list, tuple, set, frozenset)):
        inside = {f"[{i}]": value for i, value in enumerate(thing)}
    elif isinstance(thing, FunctionType):
        inside = {f".cell{i}": cell.cell_contents for i, cell in enumerate(thing.__closure__ or ())}
        inside |= {".defaults": thing.__defaults__, ".keywords": thing.__kwdefaults__}
    elif isinstance(thing, partial):
        inside = {".func": thing.func, ".args": thing.args, ".keywords": thing.keywords}
    elif dataclasses.is_dataclass(thing):
        inside = {f".{field.name}": vars(thing)[field.name] for field in dataclasses.fields(thing)}
    else:
        try:
            inside = {f".{name}": value for name, value in vars(thing).items()}
        except TypeError:  # nothing can be hung on it
            return
    for name, value in inside.items():
        yield from hidden(value, path + name, seen)


def contexts(y: Tensor) -> list[Any]:
    """The nodes of ``y``'s graph that our functions made: such a node is the ``ctx`` of its forward pass."""
    found: list[Any] = []
    waiting, seen = [y.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        waiting += [before for before, _ in node.next_functions]
        if isinstance(node, torch.autograd.function.BackwardCFunction):
            found.append(node)
    return found


def test_every_autograd_function_is_looked_at() -> None:
    found = {
        node.name
        for path in Path(edgewise.__path__[0]).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef) and any(ast.unparse(base).endswith("Function") for base in node.bases)
    }
    assert found == {"_Run", "BatchStatistics", "_Standardise", "_SignedGradient", "_Masked", "_Ternarise", "_Kept"}


@pytest.mark.parametrize("chunk", [1, 3])
def test_no_tensor_hides_on_a_context(chunk: int) -> None:
    """`KeptBytes` sees what is saved, not what hangs on a context."""
    line = swish_line([])
    program = line.program
    x, *shared = line.tensors(3)
    mean, variance = BatchStatistics.apply(x * 2)  # type: ignore[no-untyped-call]
    (y,) = run(Plan(program, chunk), [x * mean.view(-1, 1, 1) + variance.view(-1, 1, 1), *shared])
    weight = standardised(torch.randn(2, 3, 3, 3, requires_grad=True))
    signed = SignedActivation(nn.ReLU6())(torch.randn(2, 3, requires_grad=True))
    scores = torch.rand(2, 3, 1, 1, requires_grad=True)
    left = masked(torch.randn(2, 3, 3, 3), scores, STEPS["kernel"])
    codes = ternarised(torch.randn(2, 3, requires_grad=True))
    active = subnets.kept(torch.randn(2, 3, requires_grad=True), torch.ones(2, 3).bool(), subnets.Active())
    nodes = [node for one in (y, weight, signed, left, codes, active) for node in contexts(one)]
    kinds = {
        "_RunBackward", "BatchStatisticsBackward", "_StandardiseBackward", "_SignedGradientBackward", "_MaskedBackward",
        "_TernariseBackward", "_KeptBackward",
    }  # fmt: skip
    assert {type(node).__name__ for node in nodes} == kinds
    assert [place for node in nodes for place in hidden(vars(node))] == []
    assert all(node.saved_tensors for node in nodes)


@every_case
def test_no_tensor_hides_on_the_context_of_an_op(case: Case) -> None:
    needs = max(case.patterns())
    tensors = [t.requires_grad_(need) for t, need in zip(case.tensors(2, torch.float32), needs, strict=True)]
    (y,) = run(Plan(case.program, 1), tensors)
    (node,) = contexts(y)
    assert list(hidden(vars(node))) == []


class Hiding(torch.autograd.Function):
    """What is forbidden, in several disguises."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, how: str) -> Tensor:
        twice = x * 2
        if how == "attribute":
            ctx.x = twice
        elif how == "container":
            ctx.options = [("name", {"deep": (twice,)})]
        elif how == "closure":
            ctx.later = lambda: twice
        elif how == "default":
            ctx.later = partial(torch.add, twice)
        return twice

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad * 2, None


@pytest.mark.parametrize(
    ("how", "places"),
    [
        ("attribute", ["['x']"]),
        ("container", ["['options'][0][1]['deep'][0]"]),
        ("closure", ["['later'].cell0"]),
        ("default", ["['later'].args[0]"]),
        ("not at all", []),
    ],
)
def test_a_hidden_tensor_is_found(how: str, places: list[str]) -> None:
    x = torch.randn(3, requires_grad=True)
    with KeptBytes() as counter:
        y = Hiding.apply(x, how)  # type: ignore[no-untyped-call]
    assert counter.total == 0, "this is why they are forbidden"
    assert [place for node in contexts(y) for place in hidden(vars(node))] == places
