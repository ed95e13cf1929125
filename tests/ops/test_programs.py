"""Programs against stock autograd: results, every gradient, and that nothing given in is changed."""

from collections.abc import Sequence

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from op_cases import LAYOUTS, laid_out
from straight_lines import WHOLE, Builder, Line, by_torch, programs
from torch import Tensor

from edgewise.ops import Add, Analysis, Clamp, FrozenConv, Geometry, GlobalPool, Mapped, Multiply, Plan, Program, run

counts = st.integers(1, 4)


def check(line: Line, plan: Plan, images: int, layout: str = "channels_last", silent: Sequence[int] = ()) -> None:
    """Results and gradients; the outputs named in ``silent`` take no part in the loss."""
    tensors, twins = line.tensors(images), line.tensors(images)
    inputs = [t.detach().clone() for t in tensors]
    found, expected = run(plan, tensors), by_torch(line.program, twins)
    assert all(torch.equal(t, b) for t, b in zip(tensors, inputs, strict=True)), "an input was overwritten"
    assert [y.requires_grad for y in found] == [y.requires_grad for y in expected]
    for y, truth in zip(found, expected, strict=True):
        torch.testing.assert_close(y, truth, rtol=1e-9, atol=1e-9)
    heard = [i for i, y in enumerate(expected) if y.requires_grad and i not in silent]
    if not heard:
        return
    generator = torch.Generator().manual_seed(1)
    grads = [laid_out(torch.randn(expected[i].shape, generator=generator).double(), layout) for i in heard]
    given = [*tensors, *found, *grads]
    before = [t.detach().clone() for t in given]
    gradients, again = (gradients_of([found[i] for i in heard], tensors, grads) for _ in range(2))
    assert all(torch.equal(t, b) for t, b in zip(given, before, strict=True)), "overwritten on the way back"
    truths = gradients_of([expected[i] for i in heard], twins, grads)
    assert equal(gradients, again), "the backward pass used up what it needs"
    for gradient, right in zip(gradients, truths, strict=True):
        assert (gradient is None) == (right is None)
        if right is not None:
            torch.testing.assert_close(gradient, right, rtol=1e-8, atol=1e-8)


def gradients_of(outputs: Sequence[Tensor], tensors: Sequence[Tensor], grads: Sequence[Tensor]) -> list[Tensor | None]:
    """One for each tensor; None where it wants none, or has no part."""
    wanted = [t for t in tensors if t.requires_grad]
    found = iter(torch.autograd.grad(outputs, wanted, grads, retain_graph=True, allow_unused=True))
    return [next(found) if t.requires_grad else None for t in tensors]


def equal(some: Sequence[Tensor | None], others: Sequence[Tensor | None]) -> bool:
    """To the last bit; None equals None."""
    pairs = zip(some, others, strict=True)
    return all(b is None if a is None else b is not None and torch.equal(a, b) for a, b in pairs)


@settings(max_examples=120)
@given(programs(), counts, counts, st.sampled_from(LAYOUTS), st.lists(st.integers(0, 2), max_size=2))
def test_any_program(line: Line, images: int, chunk: int, layout: str, silent: list[int]) -> None:
    check(line, Plan(line.program, chunk), images, layout, silent)


@settings(max_examples=120)
@given(programs(), counts, counts, st.lists(st.tuples(st.integers(1, 12), st.booleans()), max_size=6))
def test_any_cut(line: Line, images: int, chunk: int, cuts: list[tuple[int, bool]]) -> None:
    """Whatever is kept and whatever is computed again, the gradients are right; what is chosen is only cheap."""
    check(line, cut(line, chunk, cuts), images)


def cut(line: Line, chunk: int, cuts: Sequence[tuple[int, bool]]) -> Plan:
    """A plan whose stretches have these lengths, as far as they fit; the rest is computed again."""
    plan, ends, start = Plan(line.program, chunk), len(line.program.instructions), 0
    analysis, stretches = plan.analysis(line.needs), []
    for length, recompute in (*cuts, (ends, True)):
        stop = min(start + length, ends)
        if start < stop:
            stretches.append(analysis._stretch(start, stop, recompute))
        start = stop
    vars(analysis)["stretches"] = tuple(stretches)
    return plan


def hard_swish_blocks(blocks: int = 3, held: Sequence[int] = ()) -> Line:
    """MobileNetV3's blocks: expand, hard-swish, depthwise, hard-swish, gate, project, shortcut."""
    builder = Builder([(6, 5, 4)])
    value = 0
    for _ in range(blocks):
        inner = builder.add(Mapped(F.hardswish), [builder.frozen(value, 12)])
        inner = builder.add(Mapped(F.hardswish), [builder.depthwise(inner)])
        pooled = builder.add(GlobalPool(), [inner])
        gate = builder.add(Mapped(F.hardsigmoid), [builder.frozen(builder.frozen(pooled, 3, 0.0), 12)])
        inner = builder.add(Multiply(), [inner, gate])
        value = builder.add(Add(), [builder.frozen(inner, 4), value])
    return Line(builder.program([value], held), (True, *builder.trainable))


@pytest.mark.parametrize("chunk", [1, 2, 5])
def test_hard_swish_blocks_are_computed_again(chunk: int) -> None:
    line = hard_swish_blocks()
    chosen, whole = Plan(line.program, chunk), cut(line, chunk, [(99, False)])
    stretches = chosen.analysis(line.needs).stretches
    assert sum(stretch.recompute for stretch in stretches) >= 2
    assert len({r for stretch in stretches for r in stretch.stored}) < len(whole.analysis(line.needs).stored)
    check(line, chosen, 5)
    gradients = []
    for plan in (chosen, whole):
        tensors = line.tensors(5, dtype=torch.float32)
        (y,) = run(plan, tensors)
        gradients.append(gradients_of([y], tensors, [torch.ones_like(y)]))
    assert equal(*gradients), "the same arithmetic"


def test_one_plan_serves_other_batches_and_other_patterns() -> None:
    line = hard_swish_blocks(1)
    plan = Plan(line.program, 2)
    for images in (3, 1, 4):
        check(line, plan, images)
    check(Line(line.program, tuple(not need and i == 0 for i, need in enumerate(line.needs))), plan, 2)
    check(Line(line.program, (False, *line.needs[1:])), plan, 3)
    check(line, plan, 3)


def views() -> dict[str, Line]:
    """Functions whose result may be their operand's own memory, beside ops that overwrite what is free."""
    found = {}
    for name, function in {"whole": WHOLE, "rows": lambda x: x[:, :, :2], "flatten": lambda x: x.flatten(1)}.items():
        builder = Builder([(1, 1, 4) if name == "flatten" else (3, 2, 4)])
        value = builder.frozen(0, 4)
        view = builder.add(Mapped(function, linear=True), [value])
        clamped = builder.add(Clamp(0.0, 0.5), [view])
        found[f"{name} of an input"] = Line(
            (direct := Builder([builder.batched[0]])).program(
                [direct.add(Clamp(), [direct.add(Mapped(function, linear=True), [0])])]
            ),
            (True,),
        )
        found[f"{name} of a result"] = Line(builder.program([clamped, value]), (True, *builder.trainable))
        # The gradient flows unchanged through the view and through the sum: two users of one tensor.
        builder = Builder([(1, 1, 4)] * 2)
        first, second = (builder.add(Clamp(-0.5, 0.5), [i]) for i in (0, 1))
        views = [builder.add(Mapped(function, linear=True), [v]) for v in (first, second)]
        found[f"{name} under a sum"] = Line(builder.program([builder.add(Add(), views)]), (True, True))
    return found


@pytest.mark.parametrize("name", views())
def test_views_are_not_written_through(name: str) -> None:
    line = views()[name]
    for chunk in (1, 3):
        check(line, Plan(line.program, chunk), 3)


def test_an_operand_twice_and_a_tied_weight() -> None:
    builder = Builder([(3, 4, 2)])
    doubled = builder.add(Add(), [0, 0])
    squared = builder.add(Multiply(), [doubled, doubled])
    weight, scale, offset = builder.weight((2, 2, 1, 1), False), builder.weight((2,), False), builder.weight((2,))
    value = squared
    for _ in range(2):
        value = builder.add(FrozenConv(Geometry(), 0.0, 1.0), [value], [weight, scale, offset])
    line = Line(builder.program([value, doubled]), (True, *builder.trainable))
    for chunk in (1, 2, 3):
        check(line, Plan(line.program, chunk), 3)


def test_unused_inputs_and_results() -> None:
    builder = Builder([(3, 4, 2), (3, 4, 2)])
    builder.weight((5,))
    builder.frozen(0, 3, 0.0)
    value = builder.add(Clamp(), [0])
    line = Line(builder.program([value]), (True, True, *builder.trainable))
    check(line, Plan(line.program, 2), 3)


def test_an_output_without_a_gradient_asks_for_none_later() -> None:
    """Else whoever reads it would keep tensors for a gradient that goes nowhere."""
    builder = Builder([(3, 4, 2), (3, 4, 2)])
    outputs = [builder.add(Clamp(), [0]), builder.add(Clamp(), [1])]
    line = Line(builder.program(outputs), (False, True))
    assert [y.requires_grad for y in run(Plan(line.program, 1), line.tensors(2))] == [False, True]


def test_a_second_derivative_is_refused() -> None:
    line = hard_swish_blocks(1)
    tensors = line.tensors(2)
    (y,) = run(Plan(line.program, 1), tensors)
    (gradient,) = torch.autograd.grad(y.square().sum(), tensors[:1], create_graph=True)
    with pytest.raises(RuntimeError, match="differentiate twice"):
        gradient.sum().backward()


def test_a_kept_input_that_was_overwritten_is_refused() -> None:
    builder = Builder([(3, 4, 2)])
    program: Program = builder.program([builder.add(Mapped(F.silu), [0])])
    x = Line(program, (True,)).tensors(2)[0]
    moved = x * 1
    (y,) = run(Plan(program, 1), [moved])
    moved.detach().zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_without_numbers() -> None:
    """A program of every kind of stretch runs on the meta device, forward and backward."""
    line = hard_swish_blocks()
    for chunk, cuts in ((1, []), (2, [(7, False), (5, True), (20, False)]), (3, [(99, True)])):
        plan = cut(line, chunk, cuts) if cuts else Plan(line.program, chunk)
        tensors = [t.detach().to("meta").requires_grad_(t.requires_grad) for t in line.tensors(3)]
        (y,) = run(plan, tensors)
        assert y.shape == (3, 4, 6, 5)
        y.sum().backward()
        assert all((t.grad is not None) == t.requires_grad for t in tensors)
        assert all(t.grad.shape == t.shape for t in tensors if t.grad is not None)


def test_a_stretch_that_no_gradient_passes_stores_nothing() -> None:
    builder = Builder([(3, 4, 2)])
    smooth = builder.add(Mapped(F.silu), [builder.frozen(0, 3)])
    builder.add(Mapped(F.silu), [builder.depthwise(smooth)])
    line = Line(builder.program([len(builder.values) - 1]), (False, *[False] * 5, True))
    frozen, trained = cut(line, 1, [(2, True), (2, True)]).analysis(line.needs).stretches
    assert frozen.stored == ()
    assert trained.stored == (line.program.instructions[1].result,)
    check(line, cut(line, 1, [(2, True)]), 3)


def test_an_analysis_needs_no_tensors() -> None:
    """What is kept can be told from shapes alone."""
    line = hard_swish_blocks(1)
    analysis = Analysis(line.program, line.needs)
    assert analysis.wants[line.program.outputs[0]]
    assert analysis.stored
