"""Random programs: straight lines of ops with shortcuts, gates, branches and tied weights."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
import torch.nn.functional as F
from hypothesis import strategies as st
from op_cases import Needs, twin
from torch import Tensor

from edgewise.ops import (
    Add,
    Affine,
    AveragePool,
    BilinearResize,
    Clamp,
    Conv,
    FrozenConv,
    Geometry,
    GlobalPool,
    Instruction,
    Linear,
    Mapped,
    Multiply,
    Op,
    Program,
    Shape,
    Shift,
)

INFINITE = torch.inf
WHOLE: Callable[..., Tensor] = lambda x: x  # noqa: E731


@dataclass
class Builder:
    """A program in the making.  Values are numbered from the batched inputs on; shared ones apart."""

    batched: list[Shape]
    shared: list[Shape] = field(default_factory=list)
    trainable: list[bool] = field(default_factory=list)
    results: list[Shape] = field(default_factory=list)
    lines: list[tuple[Op, tuple[int, ...], tuple[int, ...]]] = field(default_factory=list)

    @property
    def values(self) -> list[Shape]:
        return [*self.batched, *self.results]

    def weight(self, shape: Shape, trainable: bool = True) -> int:
        """A new shared operand."""
        self.shared.append(shape)
        self.trainable.append(trainable)
        return len(self.shared) - 1

    def add(self, op: Op, operands: Sequence[int], shared: Sequence[int] = ()) -> int:
        """One more instruction; returns its value's number."""
        self.lines.append((op, tuple(operands), tuple(shared)))
        shapes = [self.values[v] for v in operands] + [self.shared[s] for s in shared]
        self.results.append(tuple(op.shape(shapes)))
        return len(self.values) - 1

    def frozen(self, value: int, channels: int, low: float = -INFINITE, high: float = INFINITE) -> int:
        """A frozen 1 x 1 convolution."""
        inputs = self.values[value][-1]
        weights = self.weight((channels, inputs, 1, 1), False), self.weight((channels,), False)
        return self.add(FrozenConv(Geometry(), low, high), [value], [*weights, self.weight((channels,))])

    def depthwise(self, value: int, stride: int = 1, trains: bool = False) -> int:
        """A depthwise 3 x 3 convolution, padded below and to the right more than before."""
        channels = self.values[value][-1]
        geometry = Geometry((stride, stride), (0, 1, 1, 1) if stride == 2 else (1, 1, 1, 1), groups=channels)
        weight = self.weight((channels, 1, 3, 3), trains)
        if trains:
            return self.add(Conv(geometry), [value], [weight])
        vectors = self.weight((channels,), False), self.weight((channels,))
        return self.add(FrozenConv(geometry, 0.0, 1.0), [value], [weight, *vectors])

    def program(self, outputs: Sequence[int], held: Sequence[int] = ()) -> Program:
        first, between = len(self.batched), len(self.shared)

        def register(value: int) -> int:
            return value if value < first else value + between

        instructions = tuple(
            Instruction(op, (*map(register, own), *(first + s for s in shared)), first + between + i)
            for i, (op, own, shared) in enumerate(self.lines)
        )
        shapes = (*self.batched, *self.shared, *self.results)
        return Program(
            first, between, instructions, tuple(map(register, outputs)), shapes, frozenset(map(register, held))
        )


@dataclass(frozen=True)
class Line:
    """A program, and which of its inputs want gradients."""

    program: Program
    needs: Needs

    def tensors(self, images: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> list[Tensor]:
        """Its inputs, as torch sees them, with ``requires_grad`` set."""
        generator, program = torch.Generator().manual_seed(seed), self.program
        made = []
        for i, (shape, need) in enumerate(zip(program.shapes, self.needs, strict=False)):
            batched = i < program.batched
            t = torch.randn((images, *shape) if batched else shape, generator=generator, dtype=torch.float64)
            if batched and len(shape) == 3:
                t = t.permute(0, 3, 1, 2)  # channels last
                t = t.contiguous() if i % 2 else t
            elif len(shape) > 1:
                t = t / (t[0].numel() ** 0.5)
            made.append(t.to(dtype).requires_grad_(need))
        return made


def by_torch(program: Program, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The same program, every op by its twin, in stock autograd."""
    registers = dict(enumerate(tensors))
    for line in program.instructions:
        registers[line.result] = twin(line.op, [registers[r] for r in line.operands])
    return tuple(registers[r] for r in program.outputs)


def _is_map(shape: Shape) -> bool:
    return len(shape) == 3


@st.composite
def programs(draw: st.DrawFn, longest: int = 9) -> Line:
    """Up to ``longest`` steps, each from any value before it; any outputs; gradients for any inputs."""
    sides = st.integers(2, 7)
    first = (draw(sides), draw(sides), draw(st.integers(1, 4)))
    others: list[list[Shape]] = [[], [first], [first[2:]], [first, first]]
    inputs = [first, *draw(st.sampled_from(others))]
    builder = Builder(list(inputs))
    for _ in range(draw(st.integers(1, longest))):
        # mostly on from the last value, so that there are chains
        value = draw(st.one_of(st.just(len(builder.values) - 1), st.integers(0, len(builder.values) - 1)))
        shape = builder.values[value]
        steps = [name for name, (suits, _) in STEPS.items() if suits(shape)]
        STEPS[draw(st.sampled_from(steps))][1](draw, builder, value)
    results = range(len(inputs), len(builder.values))
    outputs = draw(st.lists(st.sampled_from(results), min_size=1, max_size=3, unique=True))
    if draw(st.booleans()):
        outputs = list(dict.fromkeys((*outputs, results[-1])))
    held = draw(st.sets(st.integers(0, len(inputs) - 1)))
    can = [*[True] * len(inputs), *builder.trainable]
    wants = draw(st.lists(st.booleans(), min_size=len(can), max_size=len(can)))
    needs = tuple(want and able for want, able in zip(wants, can, strict=True))
    return Line(builder.program(outputs, sorted(held)), needs if any(needs) else (True, *needs[1:]))


def _shared(draw: st.DrawFn, builder: Builder, shape: Shape, trainable: bool = True) -> int:
    """A shared operand of this shape: a new one, or one that another op has too."""
    known = [i for i, s in enumerate(builder.shared) if s == shape and builder.trainable[i] == trainable]
    tied = bool(known) and draw(st.integers(0, 3)) == 0
    return draw(st.sampled_from(known)) if tied else builder.weight(shape, trainable)


def _alike(draw: st.DrawFn, builder: Builder, value: int) -> int:
    """A value of the same shape, perhaps itself."""
    shape = builder.values[value]
    return draw(st.sampled_from([i for i, other in enumerate(builder.values) if other == shape]))


def _frozen_conv(draw: st.DrawFn, builder: Builder, value: int) -> None:
    bounds = draw(st.sampled_from(((-INFINITE, INFINITE), (0.0, INFINITE), (-0.5, 0.75))))
    builder.frozen(value, draw(st.integers(1, 6)), *bounds)


def _conv(draw: st.DrawFn, builder: Builder, value: int) -> None:
    shape = builder.values[value]
    weight = _shared(draw, builder, (draw(st.integers(1, 4)), shape[2], 3, 3))
    builder.add(Conv(Geometry(padding=(1, 1, 1, 1))), [value], [weight])


def _depthwise(draw: st.DrawFn, builder: Builder, value: int) -> None:
    stride = draw(st.sampled_from((1, 2))) if builder.values[value][0] > 1 else 1
    builder.depthwise(value, stride, draw(st.booleans()))


def _affine(draw: st.DrawFn, builder: Builder, value: int) -> None:
    channels = (builder.values[value][-1],)
    builder.add(Affine(), [value], [_shared(draw, builder, channels) for _ in range(3)])


def _shift(draw: st.DrawFn, builder: Builder, value: int) -> None:
    builder.add(Shift(), [value], [_shared(draw, builder, (builder.values[value][-1],))])


def _clamp(draw: st.DrawFn, builder: Builder, value: int) -> None:
    builder.add(Clamp(*draw(st.sampled_from(((0.0, INFINITE), (-0.5, 0.75))))), [value])


def _smooth(draw: st.DrawFn, builder: Builder, value: int) -> None:
    functions: list[Callable[..., Tensor]] = [F.hardswish, torch.sigmoid, F.silu]
    builder.add(Mapped(draw(st.sampled_from(functions))), [value])


def _norm(draw: st.DrawFn, builder: Builder, value: int) -> None:
    vectors = [_shared(draw, builder, (builder.values[value][-1],)) for _ in range(2)]
    builder.add(Mapped(_normed), [value], vectors)


def _normed(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A group norm of one group; torch's own crashes now and then where x wants no gradient."""
    centred = x - x.mean((1, 2, 3), keepdim=True)
    deviation = (centred.square().mean((1, 2, 3), keepdim=True) + 0.1).sqrt()
    return centred / deviation * weight.view(-1, 1, 1) + bias.view(-1, 1, 1)


def _resampled(draw: st.DrawFn, builder: Builder, value: int) -> None:
    height, width, _ = builder.values[value]
    ops = (GlobalPool(), BilinearResize(draw(st.integers(1, 7)), width), AveragePool(draw(st.integers(1, height))))
    builder.add(draw(st.sampled_from(ops if height <= width else ops[:2])), [value])


def _linear_function(draw: st.DrawFn, builder: Builder, value: int) -> None:
    functions = (partial(F.avg_pool2d, kernel_size=2, ceil_mode=True), _rows, partial(F.pad, pad=(1, 0)), WHOLE)
    builder.add(Mapped(draw(st.sampled_from(functions)), linear=True), [value])


def _rows(x: Tensor) -> Tensor:
    return x[:, :, : (x.shape[2] + 1) // 2]


def _add(draw: st.DrawFn, builder: Builder, value: int) -> None:
    builder.add(Add(), draw(st.permutations([value, _alike(draw, builder, value)])))


def _multiply(draw: st.DrawFn, builder: Builder, value: int) -> None:
    builder.add(Multiply(), draw(st.permutations([value, _alike(draw, builder, value)])))


def _gate(draw: st.DrawFn, builder: Builder, value: int) -> None:
    """Squeeze and excitation, from one value on another of as many channels."""
    channels = builder.values[value][2]
    pooled = builder.add(GlobalPool(), [value])
    gate = builder.add(Mapped(F.hardsigmoid), [builder.frozen(pooled, channels)])
    gated = [i for i, shape in enumerate(builder.values) if _is_map(shape) and shape[2] == channels and i != gate]
    builder.add(Multiply(), [draw(st.sampled_from(gated)), gate])


def _vector(draw: st.DrawFn, builder: Builder, value: int) -> None:
    function = draw(st.sampled_from((partial(torch.mean, dim=(2, 3)), partial(torch.flatten, start_dim=1))))
    builder.add(Mapped(function, linear=True), [value])


def _linear(draw: st.DrawFn, builder: Builder, value: int) -> None:
    inputs, outputs = builder.values[value][0], draw(st.integers(1, 4))
    shared = [_shared(draw, builder, (outputs, inputs)), _shared(draw, builder, (outputs,))]
    builder.add(Linear(), [value], shared)


Step = Callable[[st.DrawFn, Builder, int], None]
STEPS: dict[str, tuple[Callable[[Shape], bool], Step]] = {
    "frozen convolution": (_is_map, _frozen_conv),
    "convolution": (_is_map, _conv),
    "depthwise convolution": (_is_map, _depthwise),
    "affine": (lambda shape: True, _affine),
    "shift": (lambda shape: True, _shift),
    "clamp": (lambda shape: True, _clamp),
    "smooth function": (lambda shape: True, _smooth),
    "norm": (_is_map, _norm),
    "pool or resize": (_is_map, _resampled),
    "linear function": (_is_map, _linear_function),
    "add": (lambda shape: True, _add),
    "multiply": (lambda shape: True, _multiply),
    "gate": (_is_map, _gate),
    "vector": (_is_map, _vector),
    "linear layer": (lambda shape: len(shape) == 1, _linear),
}
