"""Every op with its plain-torch twin, and cases of it: odd sizes, strides, groups, paddings.

A case also says, by hand, what its backward pass may keep; `Op.keeps` is compared with it.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product

import torch
import torch.nn.functional as F
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
    Signed,
)

Needs = tuple[bool, ...]
LAYOUTS = ("contiguous", "channels_last", "sliced", "transposed")


def twin(op: Op, operands: Sequence[Tensor]) -> Tensor:
    """What ``op`` computes, in stock torch, for maps (N, C, H, W)."""
    x = operands[0]
    match op:
        case Conv(geometry):
            return _convolved(geometry, x, operands[1])
        case FrozenConv(geometry, low, high):
            weight, scale, offset = operands[1:]
            y = _convolved(geometry, x, weight.to(x.dtype)) * _wide(scale, x) + _wide(offset, x)
            return _clamped(y, low, high)
        case Linear():
            return F.linear(x, *operands[1:])
        case Clamp(low, high):
            return _clamped(x, low, high)
        case Signed(function):
            passing = torch.where(x >= 0, x, torch.zeros((), dtype=x.dtype, device=x.device))
            return passing + (function(x) - passing).detach()
        case Affine(low, high):
            mean, scale, shift = (_wide(t, x) for t in operands[1:])
            return _clamped((x - mean) * scale + shift, low, high)
        case Shift():
            return x + _wide(operands[1], x)
        case Add():
            return x + operands[1]
        case Multiply():
            return x * operands[1]
        case AveragePool(pool):
            return F.avg_pool2d(x, pool)
        case GlobalPool():
            return F.adaptive_avg_pool2d(x, 1)
        case BilinearResize(height, width):
            return F.interpolate(x, (height, width), mode="bilinear", align_corners=False)
        case Mapped(function):
            return function(x, *operands[1:])
    raise AssertionError(f"{op} has no twin")


def _convolved(geometry: Geometry, x: Tensor, weight: Tensor) -> Tensor:
    top, bottom, left, right = geometry.padding
    x = F.pad(x, (left, right, top, bottom))
    return F.conv2d(x, weight, None, geometry.stride, 0, geometry.dilation, geometry.groups)


def _wide(vector: Tensor, x: Tensor) -> Tensor:
    return vector.view(-1, 1, 1) if x.ndim == 4 else vector


def _clamped(y: Tensor, low: float, high: float) -> Tensor:
    if (low, high) == (-torch.inf, torch.inf):
        return y
    # Not `torch.clamp`, whose gradient passes at the bounds themselves; these are what networks use.
    return F.relu(y) if (low, high) == (0.0, torch.inf) else F.hardtanh(y, low, high)


@dataclass(frozen=True)
class Case:
    """An op, the shapes of its operands (``batched`` first ones for one image), and what it may keep."""

    name: str
    op: Op
    shapes: tuple[Shape, ...]
    batched: int
    keeps: Callable[[Needs], tuple[tuple[int, ...], bool]]  # operands, and one bit an element?
    trained: tuple[int, ...]  # operands that can have gradients
    bytes_: tuple[int, ...] = ()  # operands of type int8

    def __str__(self) -> str:
        return self.name

    @property
    def result(self) -> Shape:
        return tuple(self.op.shape(self.shapes))

    @property
    def program(self) -> Program:
        count = len(self.shapes)
        line = (Instruction(self.op, tuple(range(count)), count, self.name),)
        return Program(self.batched, count - self.batched, line, (count,), (*self.shapes, self.result))

    def patterns(self) -> list[Needs]:
        """Every pattern of which operands want gradients, at least one."""
        choices = [(False, True) if i in self.trained else (False,) for i in range(len(self.shapes))]
        return [needs for needs in product(*choices) if any(needs)]

    def tensors(self, images: int, dtype: torch.dtype, layout: str = "contiguous", seed: int = 0) -> list[Tensor]:
        """Operands as torch sees them: maps (N, C, H, W)."""
        generator = torch.Generator().manual_seed(seed)
        made = []
        for i, shape in enumerate(self.shapes):
            if i in self.bytes_:
                made.append(torch.randint(-3, 4, shape, generator=generator, dtype=torch.int8))
                continue
            t = torch.randn((images, *shape) if i < self.batched else shape, generator=generator, dtype=torch.float64)
            t = t.permute(0, 3, 1, 2) if t.ndim == 4 and i < self.batched else t
            made.append(laid_out(t.to(dtype), layout))
        return made


def laid_out(t: Tensor, layout: str) -> Tensor:
    """The same numbers at other places in memory."""
    if layout == "channels_last":
        return t.contiguous(memory_format=torch.channels_last) if t.ndim == 4 else t.contiguous()
    if layout == "transposed":
        return t.transpose(0, -1).contiguous().transpose(0, -1)
    if layout == "sliced":
        around = t.new_full((*t.shape[:-1], 2 * t.shape[-1] + 1), torch.nan)
        around[..., 1::2] = t
        return around[..., 1::2]
    return t.contiguous()


def _same(kernel: int, stride: int, *sizes: int) -> tuple[int, int, int, int]:
    """TensorFlow's SAME padding (top, bottom, left, right): the odd row goes below."""
    totals = [max(0, (-(-size // stride) - 1) * stride + kernel - size) for size in sizes]
    (top, bottom), (left, right) = ((total // 2, total - total // 2) for total in totals)
    return top, bottom, left, right


GEOMETRIES: dict[str, tuple[Geometry, Shape, Shape]] = {
    # name: geometry, map, weight
    "pointwise": (Geometry(), (7, 5, 4), (6, 4, 1, 1)),
    "pointwise of one pixel": (Geometry(), (1, 1, 4), (6, 4, 1, 1)),
    "pointwise, stride 2": (Geometry((2, 2)), (7, 5, 4), (6, 4, 1, 1)),
    "pointwise, stride 3, rows left over": (Geometry((3, 3)), (9, 6, 3), (2, 3, 1, 1)),
    "pointwise, groups": (Geometry(groups=2), (7, 5, 4), (6, 2, 1, 1)),
    "pointwise, padded": (Geometry(padding=(1, 1, 1, 1)), (7, 5, 4), (2, 4, 1, 1)),
    "3 x 3": (Geometry(padding=(1, 1, 1, 1)), (7, 5, 4), (3, 4, 3, 3)),
    "3 x 3, no padding": (Geometry(), (13, 9, 2), (3, 2, 3, 3)),
    "3 x 3, stride 2": (Geometry((2, 2), (1, 1, 1, 1)), (13, 9, 2), (3, 2, 3, 3)),
    "3 x 3, stride 2, SAME": (Geometry((2, 2), _same(3, 2, 8, 10)), (8, 10, 2), (3, 2, 3, 3)),
    "3 x 3, dilated": (Geometry(padding=(2, 2, 2, 2), dilation=(2, 2)), (7, 5, 2), (3, 2, 3, 3)),
    "3 x 3, dilated, stride 2": (Geometry((2, 2), (2, 1, 0, 2), (2, 2)), (13, 9, 2), (3, 2, 3, 3)),
    "3 x 3, groups, stride 3": (Geometry((3, 3), (1, 1, 1, 1), groups=2), (13, 9, 4), (6, 2, 3, 3)),
    "1 x 5": (Geometry((1, 2), (0, 0, 2, 2)), (7, 5, 2), (3, 2, 1, 5)),
    "2 x 3, unlike strides": (Geometry((2, 1), (1, 0, 0, 1), (1, 2)), (7, 9, 2), (3, 2, 2, 3)),
    "depthwise 3 x 3": (Geometry(padding=(1, 1, 1, 1), groups=5), (7, 5, 5), (5, 1, 3, 3)),
    "depthwise 3 x 3, stride 2": (Geometry((2, 2), (1, 1, 1, 1), groups=3), (13, 9, 3), (3, 1, 3, 3)),
    "depthwise 3 x 3, stride 2, SAME": (Geometry((2, 2), _same(3, 2, 8, 6), groups=3), (8, 6, 3), (3, 1, 3, 3)),
    "depthwise 5 x 5, stride 2, SAME": (Geometry((2, 2), _same(5, 2, 7, 10), groups=3), (7, 10, 3), (3, 1, 5, 5)),
    "depthwise 7 x 7, larger than the map": (Geometry(padding=(3, 3, 3, 3), groups=3), (4, 3, 3), (3, 1, 7, 7)),
    "depthwise, two filters a channel": (Geometry(padding=(1, 1, 1, 1), groups=3), (7, 5, 3), (6, 1, 3, 3)),
    "depthwise of one pixel": (Geometry(padding=(1, 1, 1, 1), groups=3), (1, 1, 3), (3, 1, 3, 3)),
}  # fmt: skip
BOUNDS = {
    "linear": (-torch.inf, torch.inf),
    "ReLU": (0.0, torch.inf),
    "ReLU6": (0.0, 6.0),
    "hard tanh": (-1.0, 0.5),
    "bounded above": (-torch.inf, 0.25),
}
LINEAR: dict[str, tuple[Callable[..., Tensor], Shape]] = {
    "average pool": (partial(F.avg_pool2d, kernel_size=3, stride=2, padding=1), (7, 5, 3)),
    "average pool, ceil": (
        partial(F.avg_pool2d, kernel_size=2, ceil_mode=True, count_include_pad=False),
        (7, 5, 3),
    ),
    "global average": (partial(F.adaptive_avg_pool2d, output_size=1), (7, 5, 3)),
    "global average of one pixel": (partial(F.adaptive_avg_pool2d, output_size=1), (1, 1, 3)),
    "adaptive average": (partial(F.adaptive_avg_pool2d, output_size=(3, 2)), (7, 5, 3)),
    "mean to a vector": (partial(torch.mean, dim=(2, 3)), (7, 5, 3)),
    "flatten": (partial(torch.flatten, start_dim=1), (2, 3, 4)),
    "flatten one pixel": (partial(torch.flatten, start_dim=1), (1, 1, 4)),
    "bilinear": (partial(F.interpolate, size=(9, 4), mode="bilinear", align_corners=False), (7, 5, 3)),
    "nearest": (partial(F.interpolate, scale_factor=2), (3, 5, 2)),
    "zeros around": (partial(F.pad, pad=(1, 0, 2, 3)), (7, 5, 3)),
    "rows cut off": (lambda x: x[:, :, :3], (7, 5, 3)),
    "channels cut off": (lambda x: x[:, 1:], (7, 5, 3)),
    "the map itself": (lambda x: x, (7, 5, 3)),
}
SMOOTH: dict[str, tuple[Callable[..., Tensor], tuple[Shape, ...]]] = {
    "hard-swish": (F.hardswish, ((7, 5, 3),)),
    "hard-swish of a vector": (F.hardswish, ((5,),)),
    "SiLU": (F.silu, ((7, 5, 3),)),
    "sigmoid": (torch.sigmoid, ((1, 1, 6),)),
    "GELU": (F.gelu, ((7, 5, 3),)),
    "softmax of channels": (partial(torch.softmax, dim=1), ((7, 5, 3),)),
    "max pool": (partial(F.max_pool2d, kernel_size=3, stride=2, padding=1), ((13, 9, 3),)),
    "group norm": (lambda x, weight, bias: F.group_norm(x, 2, weight, bias), ((7, 5, 4), (4,), (4,))),
    "PReLU": (F.prelu, ((7, 5, 3), (3,))),
    "two functions": (lambda x: torch.tanh(x[:, :, ::2]) * 2, ((7, 5, 3),)),
}

SIGNED: dict[str, Callable[[Tensor], Tensor]] = {
    "ReLU": F.relu,
    "ReLU6": F.relu6,
    "hard-swish": F.hardswish,
    "hard-sigmoid": F.hardsigmoid,
    "SiLU": F.silu,
}


def _conv_cases() -> Iterable[Case]:
    for (name, (geometry, x, weight)), bounds in zip(GEOMETRIES.items(), list(BOUNDS) * 5, strict=False):
        yield Case(f"Conv {name}", Conv(geometry), (x, weight), 1, lambda n: ((0,) if n[1] else (), False), (0, 1))
        channels = (weight[0],)
        yield Case(
            f"FrozenConv {name}, {bounds}", FrozenConv(geometry, *BOUNDS[bounds]), (x, weight, channels, channels), 1,
            partial(_frozen, bounds != "linear"), (0, 3),
        )  # fmt: skip
    geometry, x, weight = GEOMETRIES["3 x 3"]
    yield Case(
        "FrozenConv of bytes", FrozenConv(geometry, 0.0, 6.0), (x, weight, (3,), (3,)), 1, partial(_frozen, True),
        (0, 3), bytes_=(1,),
    )  # fmt: skip


def _frozen(clamps: bool, needs: Needs) -> tuple[tuple[int, ...], bool]:
    return (), clamps


def _affine(clamps: bool, needs: Needs) -> tuple[tuple[int, ...], bool]:
    return ((0,) if needs[2] else ()), clamps


def _other_cases() -> Iterable[Case]:
    nothing: Callable[[Needs], tuple[tuple[int, ...], bool]] = lambda n: ((), False)  # noqa: E731
    yield Case("Linear", Linear(), ((5,), (3, 5), (3,)), 1, lambda n: ((0,) if n[1] else (), False), (0, 1, 2))
    for name, bounds in list(BOUNDS.items())[1:]:
        yield Case(f"Clamp {name}", Clamp(*bounds), ((7, 5, 3),), 1, lambda n: ((), True), (0,))
    for name, function in SIGNED.items():
        yield Case(f"Signed {name}", Signed(function), ((7, 5, 3),), 1, lambda n: ((), True), (0,))
    yield Case("Signed ReLU of a vector", Signed(F.relu), ((13,),), 1, lambda n: ((), True), (0,))
    yield Case("Clamp of a vector", Clamp(), ((13,),), 1, lambda n: ((), True), (0,))
    for name, shape in {"Affine": (7, 5, 3), "Affine of a vector": (6,)}.items():
        vectors = [(shape[-1],)] * 3
        for bound, limits in BOUNDS.items():
            keeps = partial(_affine, limits != BOUNDS["linear"])
            yield Case(f"{name}, {bound}", Affine(*limits), (shape, *vectors), 1, keeps, (0, 1, 2, 3))
    yield Case("Shift", Shift(), ((7, 5, 3), (3,)), 1, nothing, (0, 1))
    yield Case("Shift of a vector", Shift(), ((6,), (6,)), 1, nothing, (0, 1))
    yield Case("Add", Add(), ((7, 5, 3), (7, 5, 3)), 2, nothing, (0, 1))
    yield Case("Add of vectors", Add(), ((6,), (6,)), 2, nothing, (0, 1))
    for name, a, b in (
        ("of maps", (7, 5, 3), (7, 5, 3)),
        ("by a gate", (7, 5, 3), (1, 1, 3)),
        ("of a gate", (1, 1, 3), (7, 5, 3)),
        ("by one channel", (7, 5, 3), (7, 5, 1)),
        ("of vectors", (6,), (6,)),
    ):
        yield Case(f"Multiply {name}", Multiply(), (a, b), 2, _other_factor, (0, 1))
    for pool, shape in ((2, (7, 5, 3)), (3, (13, 9, 2)), (1, (7, 5, 3)), (4, (4, 4, 1))):
        yield Case(f"AveragePool {pool}", AveragePool(pool), (shape,), 1, nothing, (0,))
    for shape in ((7, 5, 3), (1, 1, 3)):
        yield Case(f"GlobalPool of {shape}", GlobalPool(), (shape,), 1, nothing, (0,))
    for size in ((13, 9), (3, 2), (7, 5), (1, 1), (3, 11)):
        yield Case(f"BilinearResize to {size}", BilinearResize(*size), ((7, 5, 3),), 1, nothing, (0,))
    for name, (function, shape) in LINEAR.items():
        yield Case(f"Mapped {name}", Mapped(function, linear=True), (shape,), 1, nothing, (0,))
    for name, (function, shapes) in SMOOTH.items():
        trained = tuple(range(len(shapes)))
        yield Case(f"Mapped {name}", Mapped(function), shapes, 1, lambda n: ((0,), False), trained)


def _other_factor(needs: Needs) -> tuple[tuple[int, ...], bool]:
    return tuple(i for i in (0, 1) if needs[1 - i]), False


CASES = (*_conv_cases(), *_other_cases())
