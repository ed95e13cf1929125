"""Which op stands for which layer or function, given what trains now.

A table by module type and by function.  What is not in it stays an eager call and is named in the
plan's notes.  Frozen convolutions take their batch norm and their clamp along (`FrozenConv`).
"""

import copy
import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.fx import Node

from edgewise.backbones.blocks import SameConv2d
from edgewise.layers.normalise import Normalise
from edgewise.layers.resampling import Resize, Squeeze
from edgewise.layers.weight_standardised import StandardisedConv2d, standardised
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
    Linear,
    Mapped,
    Multiply,
    Op,
    Shift,
)

Results = Mapping[str, Tensor]
Source = Callable[[Results], Tensor]


@dataclass(frozen=True)
class Shared:
    """A shared operand: how to make it at every step (a parameter, or something small from parameters).

    It is given the batch statistics taken so far in this step, by name.  ``trains`` says whether it
    wants a gradient; where it is made from ``statistics``, it also does if those do.
    """

    make: Source
    shape: tuple[int, ...]
    trains: bool = False
    statistics: str | None = None


@dataclass(frozen=True)
class Lowered:
    """An op with the nodes its batched operands come from, and its shared operands after them."""

    op: Op
    batched: tuple[Node, ...]
    shared: tuple[Shared, ...] = ()


@dataclass(frozen=True)
class Statistics:
    """A batch norm in training: batch statistics of ``source``, called ``name``, then a `Lowered`."""

    name: str
    source: Node
    norm: nn.BatchNorm2d


class Lowering:
    """The table applied to one model in its present state, for the shapes in ``values``."""

    def __init__(self, model: nn.Module, values: Mapping[Node, Any]) -> None:
        self.model, self.values = model, values
        self.consumed: dict[Node, Node] = {}

    def lower(self, node: Node) -> list[Lowered | Statistics] | None:
        """Ops for the node, each reading the one before it; ``[]`` for no change; None for a call as it is."""
        if node.op == "call_module":
            return self._module(node, self._layer(node))
        if node.op == "call_function":
            return self._function(node, node.target)
        if node.op == "call_method":
            return self._function(node, METHODS.get(str(node.target)))
        return None

    def end_of(self, node: Node) -> Node:
        """The node whose value the lowered ops of ``node`` compute (later ones may have been taken along)."""
        return self.consumed.get(node, node)

    def _layer(self, node: Node) -> nn.Module:
        return self.model.get_submodule(str(node.target))

    def _module(self, node: Node, layer: nn.Module) -> list[Lowered | Statistics] | None:
        if not node.args or not all(self._is_map(arg) for arg in node.args if isinstance(arg, Node)):
            return None
        if isinstance(layer, nn.Conv2d):
            return self._convolution(node, layer)
        if isinstance(layer, nn.BatchNorm2d):
            return self._batch_norm(node, layer)
        return _simple(node, layer, self.values)

    def _function(self, node: Node, function: Any) -> list[Lowered | Statistics] | None:
        tensors = [arg for arg in node.args if isinstance(arg, Node) and isinstance(self.values[arg], Tensor)]
        result = self.values[node]
        if not tensors or not isinstance(result, Tensor) or not all(self._is_map(t) for t in (*tensors, node)):
            return None
        if len(result) != len(self.values[tensors[0]]):
            return None
        first = tensors[0]
        if function in ADDITIONS and len(tensors) == 2 and len(node.args) == 2 and not node.kwargs:
            same = self.values[tensors[0]].shape == self.values[tensors[1]].shape
            return [Lowered(Add(), (tensors[0], tensors[1]))] if same else None
        if function in PRODUCTS and len(tensors) == 2 and not node.kwargs:
            return [Lowered(Multiply(), (tensors[0], tensors[1]))]
        if len(tensors) > 1 or node.args[0] is not first:
            return None
        if function in CLAMPS:
            return [Lowered(Clamp(*CLAMPS[function]), (first,))]
        if function is F.adaptive_avg_pool2d and node.args[1:] in ((1,), ((1, 1),)):
            return [Lowered(GlobalPool(), (first,))]
        rest = [self.values[a] if isinstance(a, Node) else a for a in node.args[1:]]
        keywords = {k: v for k, v in node.kwargs.items() if k != "inplace"}
        if function in LINEAR_FUNCTIONS or function in SMOOTH_FUNCTIONS:
            linear = function in LINEAR_FUNCTIONS
            if function is operator.getitem and not _keeps_images(rest[0]):
                return None
            return [Lowered(Mapped(_Bound(function, tuple(rest), tuple(keywords.items())), linear), (first,))]
        return None

    def _convolution(self, node: Node, layer: nn.Conv2d) -> list[Lowered | Statistics] | None:
        if layer.padding_mode != "zeros" or isinstance(layer.padding, str):
            return None
        if type(layer) not in (nn.Conv2d, SameConv2d, StandardisedConv2d):
            return None
        source = node.args[0]
        assert isinstance(source, Node)
        geometry = _geometry(layer, self.values[source].shape)
        weight, bias = layer.weight, layer.bias
        norm = self._follower(node, nn.BatchNorm2d)
        frozen_norm = norm if norm is None or not self._layer(norm).training else None
        plain = not weight.requires_grad and not isinstance(layer, StandardisedConv2d)
        if plain and (frozen_norm is None or not self._norm_of(frozen_norm).weight.requires_grad):
            last = frozen_norm or node
            clamp = self._clamp_after(last)
            if clamp is not None:
                last, limits = clamp
            self.consumed[node] = last
            own = None if frozen_norm is None else self._norm_of(frozen_norm)
            op = FrozenConv(geometry, *(limits if clamp is not None else ()))
            return [
                Lowered(
                    op,
                    (source,),
                    (
                        _parameter(weight),
                        Shared(_scale_of(layer, own), (layer.out_channels,)),
                        Shared(_offset_of(layer, own), (layer.out_channels,), _shift_trains(layer, own)),
                    ),
                )
            ]
        made = (lambda _: standardised(weight)) if isinstance(layer, StandardisedConv2d) else (lambda _: weight)
        ops: list[Lowered | Statistics] = [
            Lowered(Conv(geometry), (source,), (Shared(made, tuple(weight.shape), weight.requires_grad),))
        ]
        if bias is not None:
            ops.append(Lowered(Shift(), (node,), (_parameter(bias),)))
        return ops

    def _batch_norm(self, node: Node, norm: nn.BatchNorm2d) -> list[Lowered | Statistics] | None:
        source = node.args[0]
        if norm.weight is None or (not norm.training and norm.running_mean is None):
            return None
        assert isinstance(source, Node)
        weight, shift, eps, channels = norm.weight, norm.bias, norm.eps, (norm.num_features,)
        if norm.training:
            name = str(node.target)
            return [
                Statistics(name, source, norm),
                Lowered(
                    Affine(),
                    (source,),
                    (
                        Shared(lambda r: r[f"{name}.mean"], channels, False, name),
                        Shared(
                            lambda r: weight * (r[f"{name}.variance"] + eps).rsqrt(),
                            channels,
                            weight.requires_grad,
                            name,
                        ),
                        _parameter(shift),
                    ),
                ),
            ]
        mean, variance = norm.running_mean, norm.running_var
        assert mean is not None
        assert variance is not None
        shared = (
            _parameter(mean),
            Shared(lambda _: weight * (variance + eps).rsqrt(), channels, weight.requires_grad),
            _parameter(shift),
        )
        return [Lowered(Affine(), (source,), shared)]

    def _follower(self, node: Node, kind: type[nn.Module]) -> Node | None:
        """The one node that reads ``node``, if it is a layer of this kind."""
        if len(node.users) != 1:
            return None
        user = next(iter(node.users))
        return user if user.op == "call_module" and isinstance(self._layer(user), kind) else None

    def _norm_of(self, node: Node) -> nn.BatchNorm2d:
        layer = self._layer(node)
        assert isinstance(layer, nn.BatchNorm2d)
        return layer

    def _clamp_after(self, node: Node) -> tuple[Node, tuple[float, float]] | None:
        if len(node.users) != 1:
            return None
        user = next(iter(node.users))
        if user.op == "call_module":
            limits = _limits(self._layer(user))
        elif user.op == "call_function":
            limits = CLAMPS.get(user.target)
        else:
            limits = CLAMPS.get(METHODS.get(str(user.target)))
        return None if limits is None else (user, limits)

    def _is_map(self, arg: Any) -> bool:
        value = self.values.get(arg)
        return not isinstance(value, Tensor) or value.ndim in (2, 4)


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


def _parameter(tensor: Tensor) -> Shared:
    return Shared(lambda _: tensor, tuple(tensor.shape), tensor.requires_grad)


def _simple(node: Node, layer: nn.Module, values: Mapping[Node, Any]) -> list[Lowered | Statistics] | None:
    source = node.args[0]
    assert isinstance(source, Node)
    limits = _limits(layer)
    if limits is not None:
        return [Lowered(Clamp(*limits), (source,))]
    if isinstance(layer, nn.Identity) or (isinstance(layer, (nn.Dropout, nn.Dropout2d)) and not layer.training):
        return []
    if isinstance(layer, nn.Linear) and layer.bias is not None and values[source].ndim == 2:
        weight, bias = layer.weight, layer.bias
        return [Lowered(Linear(), (source,), (_parameter(weight), _parameter(bias)))]
    if isinstance(layer, nn.GroupNorm) and layer.affine:
        own = layer
        function = _Grouped(own.num_groups, own.eps)
        return [Lowered(Mapped(function), (source,), (_parameter(own.weight), _parameter(own.bias)))]
    if isinstance(layer, Resize):
        size = tuple(int(side) for side in values[node].shape[-2:])
        if size == tuple(values[source].shape[-2:]):
            return []
        return [Lowered(BilinearResize(*size), (source,))]
    if isinstance(layer, Squeeze):
        pool = min(layer.pool, *values[source].shape[-2:])
        return [Lowered(AveragePool(pool), (source,))] if pool > 1 else []
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


def _limits(layer: nn.Module) -> tuple[float, float] | None:
    if isinstance(layer, nn.Hardtanh):  # ReLU6 is one
        return layer.min_val, layer.max_val
    return (0.0, math.inf) if isinstance(layer, nn.ReLU) else None


def _keeps_images(index: Any) -> bool:
    """Does this subscript take all images, and slices only?"""
    return isinstance(index, tuple) and index[:1] == (slice(None),) and all(isinstance(i, slice) for i in index)


def _geometry(layer: nn.Conv2d, x: torch.Size) -> Geometry:
    vertical, horizontal = (int(p) for p in layer.padding)
    padding = (vertical, vertical, horizontal, horizontal)
    if isinstance(layer, SameConv2d):
        padding = layer.same_padding(x[-2], x[-1])
    return Geometry(tuple(layer.stride), padding, tuple(layer.dilation), layer.groups)  # type: ignore[arg-type]


def _scale_of(layer: nn.Conv2d, norm: nn.BatchNorm2d | None) -> Source:
    if norm is None:
        return lambda _: layer.weight.new_ones(layer.out_channels)
    variance, weight, eps = norm.running_var, norm.weight, norm.eps
    assert variance is not None
    return lambda _: weight * (variance + eps).rsqrt()


def _shift_trains(layer: nn.Conv2d, norm: nn.BatchNorm2d | None) -> bool:
    """Does the bias train, or the norm's shift?"""
    return any(b is not None and b.requires_grad for b in (layer.bias, None if norm is None else norm.bias))


def _offset_of(layer: nn.Conv2d, norm: nn.BatchNorm2d | None) -> Source:
    bias = layer.bias
    if norm is None:
        return lambda _: layer.weight.new_zeros(layer.out_channels) if bias is None else bias
    scale, mean, shift = _scale_of(layer, norm), norm.running_mean, norm.bias
    assert mean is not None
    return lambda r: shift + ((-mean if bias is None else bias - mean) * scale(r))
