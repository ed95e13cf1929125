"""Which channels of a network can only be left out together, found by following its calls.

A space is a set of maps whose channels are the same: what a convolution writes, what norms, curves, pools and
depthwise convolutions make of it, and everything that it is added to.  So the residual stream of a stage is one space,
and the inside of a block another; a channel that a space loses is gone from every layer that writes, normalises or
reads it.

A space is free where all of that is understood.  It stays whole where its channels are the photo's or the logits', and
where something counts or mixes them in another way: ResNet's shortcut of option A, which puts zeros around the channels
(there only the insides of blocks are free), grouped convolutions, flattening a map, a step that is not known.
"""

import operator
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.fx import Graph, GraphModule, Interpreter, Node

from edgewise.backbones.blocks import SameConv2d
from edgewise.core.errors import UsageError
from edgewise.cost.shapes import on_fewest_images
from edgewise.lean.trace import Untraceable, trace

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
PASSING = (
    nn.Identity, nn.Dropout, nn.Dropout2d, nn.ReLU, nn.ReLU6, nn.Hardtanh, nn.Hardswish, nn.Hardsigmoid, nn.SiLU,
    nn.GELU, nn.Sigmoid, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d,
)  # fmt: skip
"""Layers that leave every channel where it is, and know none of the others."""
CALLED = (
    F.relu, F.relu6, F.hardtanh, F.hardswish, F.hardsigmoid, F.silu, F.gelu, F.dropout, F.max_pool2d, F.avg_pool2d,
    F.adaptive_avg_pool2d, F.adaptive_max_pool2d, torch.relu, torch.sigmoid, torch.clamp, "relu", "clamp", "mean",
    "sigmoid",
)  # fmt: skip
FLATTENED = (torch.flatten, "flatten", nn.Flatten)
EACH = 40.0  # multiply-adds that a convolution does while a number is normalised, clamped and stored: about 1 ns
ROLES = ("makers", "depthwise", "norms", "readers")
JOINED = (operator.add, operator.iadd, operator.mul, operator.imul, torch.add, torch.mul)


@dataclass(frozen=True)
class Space:
    """``channels`` that ``makers`` write, ``depthwise`` layers and ``norms`` take one by one, and ``readers`` read."""

    channels: int
    makers: tuple[str, ...]
    depthwise: tuple[str, ...]
    norms: tuple[str, ...]
    readers: tuple[str, ...]


@dataclass(frozen=True)
class Layer:
    """A convolution or linear layer: the free spaces it reads and writes (None: whole); at full width its MACs, and the
    numbers that it gives, for one image.

    A depthwise convolution reads none: its MACs go with what it writes.
    """

    reads: str | None
    writes: str | None
    macs: int
    numbers: int


@dataclass(frozen=True)
class Layout:
    """The free spaces by the name of the layer that first writes each, and all layers with weights by name."""

    spaces: Mapping[str, Space]
    layers: Mapping[str, Layer]

    def macs(self, widths: Mapping[str, int] | None = None) -> float:
        """Multiply-adds of one image with so many channels of each space; at full width where nothing is said."""
        return self._sum(widths, 1, 0)

    def cost(self, widths: Mapping[str, int] | None = None) -> float:
        """The same with `EACH` multiply-adds more for every number that a layer gives: about what time goes with."""
        return self._sum(widths, 1, EACH)

    def _sum(self, widths: Mapping[str, int] | None, each_mac: float, each_number: float) -> float:
        share = {name: (widths or {}).get(name, space.channels) / space.channels for name, space in self.spaces.items()}
        total = 0.0
        for layer in self.layers.values():
            reads, writes = (1.0 if space is None else share[space] for space in (layer.reads, layer.writes))
            total += writes * (each_mac * reads * layer.macs + each_number * layer.numbers)
        return total


@dataclass(eq=False)
class _Found:
    """A space while it is being followed; the last of those it was joined with says what it is."""

    channels: int
    whole: bool = False
    joined: "_Found | None" = None
    roles: dict[str, list[str]] = field(default_factory=lambda: {role: [] for role in ROLES})

    def root(self) -> "_Found":
        return self if self.joined is None else self.joined.root()

    def join(self, other: "_Found") -> None:
        first, second = self.root(), other.root()
        if first is not second:
            second.joined = first
            first.whole |= second.whole or first.channels != second.channels
            for role, names in second.roles.items():
                first.roles[role] += names


def layout_of(network: nn.Module, size: int) -> Layout:
    """The spaces of ``network``, which takes images (N, 3, ``size``, ``size``).  It is run once, and not changed.

    Raises `UsageError` where its calls cannot be followed, and where no space is free.
    """
    modes = [(module, module.training) for module in network.modules()]
    try:
        graph = trace(network.eval())
        shapes = on_fewest_images(lambda images: _shapes(network, graph, torch.zeros(images, 3, size, size)))
    except Untraceable as error:
        raise UsageError(
            f"{type(network).__name__} cannot be sliced: {error}. Write its forward without looking at values."
        ) from error
    finally:
        for module, training in modes:
            module.training = training
    return _Following(network, shapes).layout(graph)


class _Following:
    def __init__(self, network: nn.Module, shapes: Mapping[Node, tuple[int, ...]]) -> None:
        self.network, self.shapes = network, shapes
        self.spaces: dict[Node, _Found] = {}
        self.layers: dict[str, tuple[_Found | None, _Found, int, int]] = {}

    def layout(self, graph: Graph) -> Layout:
        for node in graph.nodes:
            if node.op == "output":
                self._whole(node)
            elif node in self.shapes:
                self._follow(node)
        names: dict[_Found, str] = {}
        for name, (_, written, _, _) in self.layers.items():
            if not written.root().whole:
                names.setdefault(written.root(), name)
        if not names:
            kind = type(self.network).__name__
            raise UsageError(f"No channel of {kind} can be left out: nothing that its convolutions write is free.")
        spaces = {
            name: Space(found.channels, **{role: tuple(own) for role, own in found.roles.items()})
            for found, name in names.items()
        }
        layers = {
            name: Layer(None if reads is None else names.get(reads.root()), names.get(writes.root()), macs, numbers)
            for name, (reads, writes, macs, numbers) in self.layers.items()
        }
        return Layout(spaces, layers)

    def _follow(self, node: Node) -> None:
        given = [self.spaces[one].root() for one in node.all_input_nodes if one in self.spaces]
        shape = self.shapes[node]
        what: Any = self.network.get_submodule(str(node.target)) if node.op == "call_module" else node.target
        kind, name = type(what), str(node.target)
        if node.op == "call_module" and kind in (nn.Conv2d, SameConv2d, nn.Linear) and len(given) == 1:
            self._weighted(node, name, what, given[0])
        elif node.op == "call_module" and kind in NORMS and len(given) == 1:
            given[0].roles["norms"].append(name)
            self.spaces[node] = given[0]
        elif self._passes(node, what, kind, shape, given):
            for other in given[1:]:
                given[0].join(other)
            self.spaces[node] = given[0].root()
        else:
            self._whole(node)
            self.spaces[node] = _Found(shape[1] if len(shape) > 1 else 1, whole=True)

    def _passes(self, node: Node, what: Any, kind: type, shape: tuple[int, ...], given: list[_Found]) -> bool:
        """Are the channels of ``node`` those of everything it reads?"""
        if not given or len(shape) < 2 or any(one.channels != shape[1] for one in given):
            return False
        if node.op == "call_module":
            return kind in PASSING or kind in FLATTENED
        if what is operator.getitem:
            index = node.args[1]
            return isinstance(index, tuple) and index[:2] == (slice(None), slice(None))
        return what in CALLED or what in FLATTENED or what in JOINED

    def _weighted(self, node: Node, name: str, layer: nn.Conv2d | nn.Linear, given: _Found) -> None:
        shape = self.shapes[node]
        numbers = prod(shape[1:])
        macs = numbers * layer.weight[0].numel()
        again = name in self.layers
        if isinstance(layer, nn.Conv2d) and layer.groups > 1:
            alone = layer.groups == layer.in_channels == layer.out_channels
            given.whole |= not alone or again
            given.roles["depthwise"].append(name)
            written = given if alone else _Found(shape[1], whole=True)
            self.layers[name] = (None, written, macs, numbers)
        else:
            written = _Found(shape[1], whole=again)
            given.whole |= again or given.channels != layer.weight.shape[1]
            given.roles["readers"].append(name)
            written.roles["makers"].append(name)
            if again:  # one weight in two places, with the channels of both
                self.layers[name][1].root().whole = True
                if (before := self.layers[name][0]) is not None:
                    before.root().whole = True
            self.layers[name] = (given, written, macs, numbers)
        self.spaces[node] = written

    def _whole(self, node: Node) -> None:
        for one in node.all_input_nodes:
            if one in self.spaces:
                self.spaces[one].root().whole = True


class _Shapes(Interpreter):
    """The network run on some images; what every step gave."""

    def __init__(self, network: nn.Module, graph: Graph) -> None:
        super().__init__(GraphModule(network, graph))
        self.shapes: dict[Node, tuple[int, ...]] = {}

    def run_node(self, n: Node) -> Any:
        value = super().run_node(n)
        if isinstance(value, Tensor):
            self.shapes[n] = tuple(value.shape)
        return value

    def call_module(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        module = self.fetch_attr(target)
        return type(module).forward(module, *args, **kwargs)  # its hooks are nodes of their own


@torch.no_grad()
def _shapes(network: nn.Module, graph: Graph, images: Tensor) -> dict[Node, tuple[int, ...]]:
    run = _Shapes(network, graph)
    run.run(images)
    return run.shapes
