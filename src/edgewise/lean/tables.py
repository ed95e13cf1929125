"""Which op stands for which function, and for which layer without a story of its own."""

import copy
import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.fx import Node

from edgewise.layers.input_program import InputProgram
from edgewise.layers.normalise import Normalise
from edgewise.layers.resampling import Resize, Squeeze
from edgewise.layers.signed_activation import SignedActivation
from edgewise.lean.lowered import Lowered, Shared, Statistics, parameter
from edgewise.ops import (
    Add,
    AveragePool,
    BilinearResize,
    Clamp,
    GlobalPool,
    Linear,
    Mapped,
    Multiply,
    Op,
    Signed,
)


@dataclass(frozen=True)
class _Bound:
    """``function(x, *rest, **keywords)``, comparable."""

    function: Any
    rest: tuple[Any, ...]
    keywords: tuple[tuple[str, Any], ...]

    def __call__(self, x: Tensor) -> Tensor:
        result: Tensor = self.function(x, *self.rest, **dict(self.keywords))
        return result


CLAMPS: dict[Any, tuple[float, float]] = {
    torch.relu: (0.0, math.inf),
    F.relu: (0.0, math.inf),
    torch.relu_: (0.0, math.inf),
    F.relu_: (0.0, math.inf),
    F.relu6: (0.0, 6.0),
}
ADDITIONS = {operator.add, operator.iadd, torch.add}
PRODUCTS = {operator.mul, operator.imul, torch.mul}
LINEAR_FUNCTIONS = {
    F.avg_pool2d,
    F.adaptive_avg_pool2d,
    torch.flatten,
    F.pad,
    F.interpolate,
    torch.mean,
    operator.getitem,
}
SMOOTH_FUNCTIONS = {
    F.hardswish,
    F.hardsigmoid,
    F.sigmoid,
    F.silu,
    F.gelu,
    F.elu,
    F.max_pool2d,
    torch.sigmoid,
    torch.tanh,
}
METHODS: dict[str, Any] = {
    "relu": torch.relu,
    "relu_": torch.relu,
    "add": torch.add,
    "mul": torch.mul,
    "flatten": torch.flatten,
    "mean": torch.mean,
    "sigmoid": torch.sigmoid,
}
LINEAR_LAYERS = (nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.Flatten, nn.Upsample, nn.ZeroPad2d)
SMOOTH_LAYERS = (
    nn.Hardswish,
    nn.Hardsigmoid,
    nn.Sigmoid,
    nn.SiLU,
    nn.GELU,
    nn.ELU,
    nn.LeakyReLU,
    nn.Tanh,
    nn.MaxPool2d,
)


def function_op(function: Any, tensors: Sequence[Node], node: Node, values: Mapping[Node, Any]) -> Op | None:
    """The op of a function of maps; None where it has none."""
    if len(tensors) == 2 and len(node.args) == 2 and not node.kwargs:
        if function in ADDITIONS and values[tensors[0]].shape == values[tensors[1]].shape:
            return Add()
        return Multiply() if function in PRODUCTS else None
    if len(tensors) > 1:
        return None
    if function in CLAMPS:
        return Clamp(*CLAMPS[function])
    if function is F.adaptive_avg_pool2d and node.args[1:] in ((1,), ((1, 1),)):
        return GlobalPool()
    if function not in LINEAR_FUNCTIONS and function not in SMOOTH_FUNCTIONS:
        return None
    rest = tuple(values[a] if isinstance(a, Node) else a for a in node.args[1:])
    if function is operator.getitem and not _keeps_images(rest[0]):
        return None
    keywords = tuple((name, value) for name, value in node.kwargs.items() if name != "inplace")
    return Mapped(_Bound(function, rest, keywords), function in LINEAR_FUNCTIONS)


def layer_ops(node: Node, layer: nn.Module, values: Mapping[Node, Any]) -> list[Lowered | Statistics] | None:
    """Ops of a layer that is neither a convolution nor a batch norm; ``[]`` for no change, None for a call."""
    source = node.args[0]
    assert isinstance(source, Node)
    limits = limits_of(layer)
    if limits is not None:
        return [Lowered(Clamp(*limits), (source,))]
    if isinstance(layer, SignedActivation):
        return [Lowered(Signed(layer.function()), (source,))]
    if isinstance(layer, nn.Identity) or (isinstance(layer, (nn.Dropout, nn.Dropout2d)) and not layer.training):
        return []
    if isinstance(layer, nn.Linear) and layer.bias is not None and values[source].ndim == 2:
        weight, bias = layer.weight, layer.bias
        return [Lowered(Linear(), (source,), (parameter(weight), parameter(bias)))]
    if isinstance(layer, nn.GroupNorm) and layer.affine:
        own = layer
        function = _Grouped(own.num_groups, own.eps)
        return [Lowered(Mapped(function), (source,), (parameter(own.weight), parameter(own.bias)))]
    if isinstance(layer, Resize):
        size = tuple(int(side) for side in values[node].shape[-2:])
        if size == tuple(values[source].shape[-2:]):
            return []
        return [Lowered(BilinearResize(*size), (source,))]
    if isinstance(layer, Squeeze):
        pool = min(layer.pool, *values[source].shape[-2:])
        return [Lowered(AveragePool(pool), (source,))] if pool > 1 else []
    if isinstance(layer, InputProgram):
        program = layer
        pattern = Shared(lambda _: program.pattern(), tuple(layer.program.shape), layer.program.requires_grad)
        # a sum: no gradient reads the images
        return [Lowered(Mapped(torch.add, linear=True), (source,), (pattern,))]
    if isinstance(layer, nn.AdaptiveAvgPool2d) and layer.output_size in (1, (1, 1)):
        return [Lowered(GlobalPool(), (source,))]
    if isinstance(layer, Normalise) and values[source].is_floating_point():
        return []
    if isinstance(layer, (*LINEAR_LAYERS, Normalise)):
        return [Lowered(Mapped(_without_inplace(layer), linear=True), (source,))]
    if isinstance(layer, SMOOTH_LAYERS):
        return [Lowered(Mapped(_without_inplace(layer)), (source,))]
    return None


@dataclass(frozen=True)
class _Grouped:
    groups: int
    eps: float

    def __call__(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return F.group_norm(x, self.groups, weight, bias, self.eps)


def _without_inplace(layer: nn.Module) -> Any:
    """The layer's function, never overwriting its input (`Mapped` knows when it may)."""
    twin = copy.copy(layer)
    if "inplace" in vars(twin):
        vars(twin)["inplace"] = False
    return partial(type(twin).forward, twin)


def limits_of(layer: nn.Module) -> tuple[float, float] | None:
    """The limits between which a layer clamps, if that is what it does."""
    if isinstance(layer, nn.Hardtanh):  # ReLU6 is one
        return layer.min_val, layer.max_val
    return (0.0, math.inf) if isinstance(layer, nn.ReLU) else None


def _keeps_images(index: Any) -> bool:
    """Does this subscript take all images, and slices only?"""
    return isinstance(index, tuple) and index[:1] == (slice(None),) and all(isinstance(i, slice) for i in index)
