"""A network as a list of steps that any runtime can follow: what a packed file holds and what the C program runs.

Value 0 is the image, value i the result of step i; the last one is the logits.  A step names its operands by number, so
residual connections need nothing of their own.  Maps are (C, H, W) of one image; a vector is (C, 1, 1), and a linear
layer a convolution of 1 x 1 on it.  Batch norms are gone: a convolution multiplies by ``scale`` and adds ``offset``,
a number each for every output channel.
"""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from edgewise.compress.ternary import Ternary
from edgewise.core.preprocess import Preprocess

Curve = Literal["none", "relu", "relu6", "hswish", "hsigmoid"]
Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Packed:
    """Ternary weights (N, C / groups, K, K) of which groups of ``slab`` input channels may be absent (all zeros)."""

    ternary: Ternary
    slab: int


@dataclass(frozen=True)
class Conv:
    """``curve(scale convolution(x, weight) + offset)``.

    ``weight``: packed (its alpha comes before ``scale``), or float32 (N, C / groups, K, K); ``padding`` (top, bottom,
    left, right), zeros; ``scale`` and ``offset`` (N,) float32.
    """

    weight: Packed | Tensor
    stride: tuple[int, int]
    padding: tuple[int, int, int, int]
    groups: int
    scale: Tensor
    offset: Tensor
    curve: Curve


@dataclass(frozen=True)
class Add:
    """``curve(a + b)`` of two values of one shape."""

    curve: Curve


@dataclass(frozen=True)
class Multiply:
    """``a b``, where b is (C, 1, 1): the gate of a squeeze-excite block."""


@dataclass(frozen=True)
class Pool:
    """The largest or the mean of each window; the mean counts no padding.  A window of the whole map: global."""

    kind: Literal["max", "mean"]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]


@dataclass(frozen=True)
class Subsample:
    """Every ``stride``-th pixel, and channels of zeros, ``before`` and ``after``: ResNet's shortcut of option A."""

    stride: int
    before: int
    after: int


@dataclass(frozen=True)
class Bend:
    """``curve(x)`` where no convolution or addition could take it along."""

    curve: Curve


Op = Conv | Add | Multiply | Pool | Subsample | Bend


@dataclass(frozen=True)
class Step:
    """``op`` on the values numbered ``operands``; ``name`` is where it stands in the model it came from."""

    op: Op
    operands: tuple[int, ...]
    name: str


@dataclass(frozen=True)
class Network:
    """Bytes of a photo (RGB, ``preprocess.size`` squared) to logits, one for each of ``classes``."""

    preprocess: Preprocess
    classes: tuple[str, ...]
    steps: tuple[Step, ...]
