"""From a traced model to steps: runs of ops, batch statistics, and calls left as they are."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Graph, Node

from edgewise.lean.lowered import Shared, Statistics
from edgewise.lean.lowering import Lowering
from edgewise.lean.values import shapes_of
from edgewise.ops import Analysis, Instruction, Op, Plan, Program
from edgewise.ops.program import FLOAT

Key = int
ROOM = 8_000_000  # bytes that the runs of a step may take before photos are cut apart or values computed again


@dataclass(frozen=True)
class RunStep:
    """Ops in one program; ``batched`` are the values it reads, ``outputs`` those it leaves."""

    plan: Plan
    batched: tuple[Key, ...]
    shared: tuple[Shared, ...]
    outputs: tuple[Key, ...]


@dataclass(frozen=True)
class StatisticsStep:
    """Batch statistics of a value."""

    name: str
    source: Key
    norm: nn.BatchNorm2d


@dataclass(frozen=True)
class CallStep:
    """A node of the model executed as it stands; ``node.args`` are found by ``keys``."""

    node: Node
    keys: Mapping[Node, Key]
    result: Key


Step = RunStep | StatisticsStep | CallStep


@dataclass(frozen=True)
class Steps:
    """A planned forward pass: steps in order, what may be forgotten after each, and the result.

    ``kept`` is what waits for the backward pass, in bytes.
    """

    image: Key
    steps: tuple[Step, ...]
    forget: tuple[tuple[Key, ...], ...]
    result: Key
    constants: Mapping[Node, Any]
    uncovered: tuple[str, ...]
    kept: int


@dataclass(frozen=True)
class _Bound:
    """A lowered op with its operands' keys."""

    op: Op
    batched: tuple[Key, ...]
    shared: tuple[Shared, ...]
    result: Key
    name: str


def plan_steps(graph: Graph, model: nn.Module, image: Tensor, chunk: int, recompute: bool = True) -> Steps:
    """Plan ``graph`` for a batch like ``image``, in the model's present mode and pattern of gradients.

    ``chunk`` is the least number of images a run takes at once, 0 for the whole batch; ``recompute`` lets it
    compute again what costs more to keep.  Both go only as far as it takes to stay below `ROOM` bytes:
    on small maps the calls would take longer than the arithmetic.
    Raises `edgewise.lean.values.Unshapeable`.
    """
    values = shapes_of(graph, model, image)
    items, keys, result = _items(graph, Lowering(model, values), values)
    image_key = next(keys[node] for node in graph.nodes if node.op == "placeholder")
    shapes = {key: _per_image(values[node]) for node, key in keys.items() if isinstance(values[node], Tensor)}
    held = {item.source for item in items if isinstance(item, StatisticsStep)} | {image_key}
    steps, wants = _steps(items, result, shapes, held, model, recompute=False)
    least = min(chunk or len(image), len(image))
    held_besides = _for_statistics(steps, wants, shapes, len(image))
    if recompute and _fullest(steps, wants, least, len(image)) + held_besides > ROOM:
        steps, wants = _steps(items, result, shapes, held, model, recompute=True)
    moments = _moments(steps, wants, len(image))
    steps = _chunked(steps, wants, least, len(image), ROOM - held_besides)
    return Steps(
        image_key, tuple(steps), tuple(_forget(steps, result)), result,
        {node: value for node, value in values.items() if not isinstance(value, Tensor)},
        tuple(str(s.node.target) for s in steps if isinstance(s, CallStep) and _worth_naming(s.node, model)),
        max((kept for kept, _ in moments.values()), default=0) + held_besides,
    )  # fmt: skip


def _items(
    graph: Graph, lowering: Lowering, values: Mapping[Node, Any]
) -> tuple[list[_Bound | StatisticsStep | CallStep], dict[Node, Key], Key]:
    keys: dict[Node, Key] = {}
    fresh = iter(range(1_000_000))
    items: list[_Bound | StatisticsStep | CallStep] = []
    taken: set[Node] = set()
    for node in graph.nodes:
        if node in taken or not isinstance(values.get(node), Tensor):
            continue
        if node.op == "placeholder":
            keys[node] = next(fresh)
            continue
        if node.op == "output":
            break
        ops = lowering.lower(node)
        if ops is None:
            known = {n: keys[n] for n in node.all_input_nodes if n in keys}
            keys[node] = next(fresh)
            items.append(CallStep(node, known, keys[node]))
            continue
        if not ops:
            keys[node] = keys[node.all_input_nodes[0]]
        for op in ops:
            if isinstance(op, Statistics):
                items.append(StatisticsStep(op.name, keys[op.source], op.norm))
                continue
            operands = tuple(keys[n] for n in op.batched)
            keys[node] = next(fresh)
            items.append(_Bound(op.op, operands, op.shared, keys[node], node.name))
        end = lowering.end_of(node)
        follower = node
        while follower is not end:
            follower = next(iter(follower.users))
            taken.add(follower)
            keys[follower] = keys[node]
    final = next(node for node in graph.nodes if node.op == "output").args[0]
    assert isinstance(final, Node)
    return items, keys, keys[final]


def _groups(items: Sequence[Any]) -> Iterator[Any]:
    group: list[_Bound] = []
    for item in items:
        if isinstance(item, _Bound):
            group.append(item)
            continue
        if group:
            yield group
            group = []
        yield item
    if group:
        yield group


def _program(
    group: Sequence[_Bound], needed: set[Key], shapes: dict[Key, tuple[int, ...]], held: set[Key], recompute: bool
) -> RunStep:
    made = {item.result for item in group}
    batched = tuple(dict.fromkeys(key for item in group for key in item.batched if key not in made))
    shared = tuple(dict.fromkeys(operand for item in group for operand in item.shared))
    register = {key: i for i, key in enumerate(batched)}
    constant = {operand: len(batched) + i for i, operand in enumerate(shared)}
    sizes = [shapes[key] for key in batched]
    instructions: list[Instruction] = []
    all_shapes: list[tuple[int, ...]] = [*sizes, *(operand.shape for operand in shared)]
    for item in group:
        operands = (*(register[key] for key in item.batched), *(constant[s] for s in item.shared))
        register[item.result] = len(batched) + len(shared) + len(instructions)
        all_shapes.append(tuple(item.op.shape([all_shapes[r] for r in operands])))
        shapes[item.result] = all_shapes[-1]
        instructions.append(Instruction(item.op, operands, register[item.result], item.name))
    outputs = tuple(item.result for item in group if item.result in needed)
    program = Program(
        len(batched), len(shared), tuple(instructions), tuple(register[key] for key in outputs), tuple(all_shapes),
        frozenset(register[key] for key in batched if key in held),
    )  # fmt: skip
    return RunStep(Plan(program, 1, recompute), batched, shared, outputs)


class _Wants:
    """Which values want a gradient, followed through the steps."""

    def __init__(self, enabled: bool) -> None:
        self.enabled = enabled
        self.keys: set[Key] = set()
        self.statistics: set[str] = set()
        self.analyses: dict[int, Analysis] = {}

    def follow(self, step: Step, model: nn.Module) -> None:
        if isinstance(step, StatisticsStep):
            if step.source in self.keys:
                self.statistics.add(step.name)
            return
        if isinstance(step, CallStep):
            own = model.get_submodule(str(step.node.target)).parameters() if step.node.op == "call_module" else ()
            if self.enabled and (self.keys & set(step.keys.values()) or any(p.requires_grad for p in own)):
                self.keys.add(step.result)
            return
        needs = tuple(
            self.enabled and value
            for value in (
                *(key in self.keys for key in step.batched),
                *(s.trains or s.statistics in self.statistics for s in step.shared),
            )
        )
        analysis = self.analyses[id(step)] = step.plan.analysis(needs)
        registers = step.plan.program.outputs
        self.keys |= {key for key, r in zip(step.outputs, registers, strict=True) if analysis.wants[r]}


def _steps(
    items: Sequence[Any], result: Key, shapes: dict[Key, tuple[int, ...]], held: set[Key], model: nn.Module,
    recompute: bool,
) -> tuple[list[Step], _Wants]:  # fmt: skip
    steps: list[Step] = []
    wants = _Wants(torch.is_grad_enabled())
    done = 0
    for group in _groups(items):
        if isinstance(group, list):
            done += len(group)
            needed = {key for item in items[done:] for key in _reads(item)} | {result}
            steps.append(_program(group, needed, shapes, held, recompute))
        else:
            done += 1
            steps.append(group)
        wants.follow(steps[-1], model)
    return steps, wants


def _moments(steps: Sequence[Step], wants: _Wants, images: int) -> dict[int, tuple[int, int]]:
    """For every run: bytes kept when it ends, and bytes of one image in work at its widest point."""
    kept, moments = 0, {}
    for step in steps:
        if isinstance(step, RunStep):
            analysis = wants.analyses[id(step)]
            kept += images * analysis.kept_bytes()
            moments[id(step)] = (kept, analysis.width())
    return moments


def _for_statistics(steps: Sequence[Step], wants: _Wants, shapes: Mapping[Key, tuple[int, ...]], images: int) -> int:
    """Bytes of the values that batch statistics keep."""
    sources = {s.source for s in steps if isinstance(s, StatisticsStep) and s.source in wants.keys}
    return sum(FLOAT * images * math.prod(shapes[source]) for source in sources)


def _fullest(steps: Sequence[Step], wants: _Wants, chunk: int, images: int) -> int:
    """Bytes at the fullest moment of the runs, ``chunk`` images at a time."""
    return max((kept + chunk * width for kept, width in _moments(steps, wants, images).values()), default=0)


def _chunked(steps: Sequence[Step], wants: _Wants, chunk: int, images: int, room: int) -> list[Step]:
    """Each run with the images it takes at once: at least ``chunk``, and more where that costs nothing.

    The fullest moment decides: what the runs before have kept, and the widest point of a run at
    ``chunk`` images.  Runs take as many images as stay below it, or below ``room``, which is faster.
    """
    moments, fullest = _moments(steps, wants, images), max(room, _fullest(steps, wants, chunk, images))

    def images_of(kept: int, width: int) -> int:
        return min(images, max(chunk, (fullest - kept) // max(1, width)))

    return [
        replace(step, plan=replace(step.plan, chunk=images_of(*moments[id(step)])))
        if isinstance(step, RunStep)
        else step
        for step in steps
    ]


def _reads(item: Any) -> tuple[Key, ...]:
    if isinstance(item, StatisticsStep):
        return (item.source,)
    return tuple(item.keys.values()) if isinstance(item, CallStep) else item.batched


def _forget(steps: Sequence[Step], result: Key) -> Iterator[tuple[Key, ...]]:
    last = {key: i for i, step in enumerate(steps) for key in _reads(step)}
    made = {key: i for i, step in enumerate(steps) if isinstance(step, RunStep) for key in step.outputs}
    for i in range(len(steps)):
        yield tuple(key for key in {*last, *made} if max(last.get(key, -1), made.get(key, -1)) == i and key != result)


def _per_image(value: Tensor) -> tuple[int, ...]:
    return tuple((value.permute(0, 2, 3, 1) if value.ndim == 4 else value).shape[1:])


def _worth_naming(node: Node, model: nn.Module) -> bool:
    """A dropout is as it should be; everything else keeps what torch keeps."""
    return node.op != "call_module" or not isinstance(model.get_submodule(str(node.target)), nn.Dropout)
