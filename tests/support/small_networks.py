"""Small `Network`s of every kind of step, drawn by a seed, and photos of noise for them."""

import math

import numpy as np
import torch
from numpy.typing import NDArray

from edgewise.compress import (
    Add,
    Bend,
    Conv,
    Curve,
    Multiply,
    Network,
    Op,
    Packed,
    Pool,
    Shape,
    Step,
    Subsample,
    Ternary,
)
from edgewise.compress.shape_rules import result_of
from edgewise.core.preprocess import Preprocess

CURVES: tuple[Curve, ...] = ("none", "relu", "relu6", "hswish", "hsigmoid")
CLASSES = ("ant", 'a "bee"?', "Käfer")


def photos(side: int, count: int = 6, seed: int = 0) -> NDArray[np.uint8]:
    """(count, side, side, 3)."""
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


class Maker:
    """Adds steps to a network; draws from ``rng``."""

    def __init__(self, side: int, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.preprocess = Preprocess(side, (0.5, 0.4, 0.3), (0.2, 0.25, 0.3))
        self.steps: list[Step] = []
        self.shapes: list[Shape] = [(3, side, side)]

    def add(self, op: Op, *operands: int) -> int:
        """The number of the new value."""
        self.shapes.append(result_of(op, [self.shapes[operand] for operand in operands]))
        self.steps.append(Step(op, operands, f"step{len(self.steps) + 1}"))
        return len(self.steps)

    def tensor(self, *shape: int) -> torch.Tensor:
        return torch.from_numpy(self.rng.normal(size=shape)).float()

    def conv(
        self,
        source: int,
        filters: int,
        kernel: tuple[int, int] = (3, 3),
        stride: tuple[int, int] = (1, 1),
        padding: tuple[int, int, int, int] = (1, 1, 1, 1),
        groups: int = 1,
        slab: int | None = None,
        curve: Curve = "relu",
        empty: float = 0.3,
    ) -> int:
        """A convolution; with ``slab`` packed, with a share ``empty`` of its groups left out."""
        channels = self.shapes[source][0] // groups
        weight: Packed | torch.Tensor = self.tensor(filters, channels, *kernel)
        if slab is not None:
            codes = self.rng.integers(-1, 2, (filters, channels // slab, slab, *kernel))
            codes *= self.rng.random((filters, channels // slab, 1, 1, 1)) >= empty
            codes.flat[0] = 1  # never dead
            ternary = Ternary(torch.from_numpy(codes.reshape(filters, channels, *kernel)).to(torch.int8), 0.37)
            weight = Packed(ternary, slab)
        scale = (0.5 + self.tensor(filters).abs()) / math.sqrt(channels * kernel[0] * kernel[1])
        return self.add(Conv(weight, stride, padding, groups, scale, self.tensor(filters) * 0.3, curve), source)

    def finished(self, source: int) -> Network:
        """With a global mean and a linear layer."""
        _, height, width = self.shapes[source]
        pooled = self.add(Pool("mean", (height, width), (1, 1), (0, 0)), source)
        self.conv(pooled, len(CLASSES), (1, 1), padding=(0, 0, 0, 0), curve="none")
        return Network(self.preprocess, CLASSES, tuple(self.steps))


def residual(slab: int = 16, side: int = 12) -> Network:
    """As ResNet-20, with two stages: option A's shortcut, additions, a stride."""
    make = Maker(side)
    x = make.conv(0, 16)
    y = make.conv(make.conv(x, 16, slab=slab), 16, slab=slab, curve="none")
    x = make.add(Add("relu"), y, x)
    y = make.conv(make.conv(x, 32, stride=(2, 2), slab=slab), 32, slab=slab, curve="none")
    return make.finished(make.add(Add("relu"), y, make.add(Subsample(2, 8, 8), x)))


def mobile(side: int = 16) -> Network:
    """As MobileNetV3: 1 x 1, depthwise with TensorFlow's padding, a gate, hswish; a step that bends by itself."""
    make = Maker(side)
    x = make.conv(0, 8, stride=(2, 2), padding=(0, 1, 0, 1), curve="hswish")
    x = make.conv(x, 24, (1, 1), padding=(0, 0, 0, 0), slab=8, curve="relu6")
    x = make.conv(x, 24, (5, 5), (2, 2), (1, 2, 1, 2), groups=24, curve="none")
    x = make.add(Bend("hswish"), x)
    gate = make.add(Pool("mean", make.shapes[x][1:], (1, 1), (0, 0)), x)
    gate = make.conv(gate, 8, (1, 1), padding=(0, 0, 0, 0), curve="relu")
    gate = make.conv(gate, 24, (1, 1), padding=(0, 0, 0, 0), slab=4, curve="hsigmoid")
    x = make.add(Multiply(), x, gate)
    x = make.conv(x, 12, (1, 1), padding=(0, 0, 0, 0), slab=3, curve="none")
    x = make.add(Pool("max", (3, 3), (2, 2), (1, 1)), x)
    return make.finished(make.add(Pool("mean", (2, 2), (1, 1), (1, 1)), x))


def drawn(seed: int) -> Network:
    """Whatever ``seed`` says."""
    make = Maker(int(np.random.default_rng(seed).integers(8, 15)), seed)
    rng, x = make.rng, 0
    for _ in range(rng.integers(2, 6)):
        channels, height, width = make.shapes[x]
        choice = rng.integers(8)
        curve = CURVES[rng.integers(len(CURVES))]
        if choice < 4 or channels == 3:
            kernel = tuple(int(k) for k in rng.integers(1, min(5, height, width) + 1, 2))
            stride = tuple(int(s) for s in rng.integers(1, 4, 2))
            padding = tuple(int(rng.integers(0, kernel[side // 2] + 1)) for side in range(4))
            filters = int(rng.choice([4, 6, 8, 16]))
            slabs = [slab for slab in (1, 2, 3, 4, 8, 16) if channels % slab == 0]
            slab = int(rng.choice(slabs)) if rng.random() < 0.7 else None
            groups = channels if slab is None and rng.random() < 0.4 and channels % 2 == 0 else 1
            filters = 2 * channels if groups > 1 else filters
            x = make.conv(x, filters, kernel, stride, padding, groups, slab, curve, float(rng.random()))  # type: ignore[arg-type]
        elif choice == 4:
            x = make.add(Add(curve), x, make.conv(x, channels, slab=2 if channels % 2 == 0 else 1, curve="none"))
        elif choice == 5:
            x = make.add(Pool(("max", "mean")[rng.integers(2)], (2, 2), (1, 2), (1, 1)), x)  # type: ignore[arg-type]
        elif choice == 6:
            x = make.add(Subsample(int(rng.integers(1, 4)), int(rng.integers(3)), int(rng.integers(3))), x)
        else:
            gate = make.add(Pool("mean", (height, width), (1, 1), (0, 0)), x)
            gate = make.conv(gate, channels, (1, 1), padding=(0, 0, 0, 0), slab=1, curve="hsigmoid")
            x = make.add(Multiply(), x, gate)
    return make.finished(x)
