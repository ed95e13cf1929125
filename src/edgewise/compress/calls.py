"""The calls of a traced model, one after the other, as steps of a `Network`.

A norm and a curve go into the convolution before them where nobody else reads its result, a curve into an addition, a
padding into the convolution behind it; what changes nothing in eval mode stands for the value it reads.
"""

import operator
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch.nn.functional as F
from torch import nn
from torch.fx import Graph, Node

from edgewise.compress import folding
from edgewise.compress.folding import CLAMPS, CURVES, POOLING_LAYERS, POOLS, PRODUCTS, RESHAPES, SUMS, Unlowerable
from edgewise.compress.network import Add, Bend, Conv, Curve, Multiply, Network, Op, Shape, Step, Subsample
from edgewise.compress.shape_rules import result_of
from edgewise.core.errors import UsageError
from edgewise.core.preprocess import Preprocess
from edgewise.core.surgery import Folds
from edgewise.layers.normalise import Normalise

Sides = tuple[int, int, int, int]
KNOWN = (
    "What can be packed: convolutions, batch norms, linear layers, ReLU, ReLU6, Hardswish, Hardsigmoid, max and mean "
    "pools, additions, gates on channels, flatten, dropout."
)


class Following:
    """Steps so far; ``made`` says which value a node's result is, ``sharing`` which nodes stand for a value."""

    def __init__(
        self, model: nn.Module, seen: Mapping[Node, tuple[int, ...]], preprocess: Preprocess, classes: tuple[str, ...]
    ) -> None:
        self.model, self.seen, self.preprocess, self.classes = model, seen, preprocess, classes
        self.steps: list[Step] = []
        self.shapes: list[Shape] = [(3, preprocess.size, preprocess.size)]
        self.made: dict[Node, int] = {}
        self.sharing: list[list[Node]] = [[]]
        self.padded: dict[Node, tuple[Node, Sides]] = {}

    def network(self, graph: Graph) -> Network:
        for node in graph.nodes:
            if node.op == "placeholder":
                self._is(node, 0)
            elif node.op == "output":
                self._check_logits(node.args[0])
            elif node in self.seen:
                try:
                    self._lower(node)
                except Unlowerable as fault:
                    raise UsageError(f"{self._named(node)} cannot be packed: it {fault}.") from fault
        return Network(self.preprocess, self.classes, tuple(self.steps))

    def _lower(self, node: Node) -> None:
        if node.op == "get_attr":
            return  # whoever reads it is asked
        what: Any = self.model.get_submodule(str(node.target)) if node.op == "call_module" else node.target
        if isinstance(what, Folds):
            what = what.folded()
        if isinstance(what, nn.Module):
            self._layer(node, what)
        else:
            self._call(node, what)
        if node in self.made and not self._agrees(node):
            raise Unlowerable(f"gives {self.seen[node]}, which is no map of this network")

    def _layer(self, node: Node, layer: nn.Module) -> None:
        kind = type(layer)
        if kind in folding.NOTHING or (isinstance(layer, Normalise) and self._source(node) == 0):
            self._is(node, self._source(node))
        elif kind in folding.CONVOLUTIONS:
            assert isinstance(layer, nn.Conv2d)
            source, sides = self.padded.get(node.args[0], (node.args[0], (0, 0, 0, 0)))  # type: ignore[arg-type]
            value = self._value(source)
            self._emit(node, folding.convolution(layer, self.shapes[value], sides), value)
        elif kind in folding.LINEARS:
            assert isinstance(layer, nn.Linear)
            self._emit(node, folding.linear(layer, self.shapes[self._source(node)]), self._source(node))
        elif kind in folding.NORMS:
            assert isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d)
            self._norm(node, layer)
        elif kind in CURVES:
            self._curve(node, CURVES[kind])
        elif isinstance(layer, nn.Hardtanh):
            self._curve(node, folding.clamp(layer.min_val, layer.max_val))
        elif kind in POOLING_LAYERS:
            pool, settings = POOLING_LAYERS[kind]
            source_shape = self.shapes[self._source(node)]
            self._pool(node, pool(source_shape, **{name: vars(layer)[name] for name in settings}))
        elif isinstance(layer, nn.ZeroPad2d):
            self._pad(node, layer.padding)
        elif kind in RESHAPES:
            self._is(node, self._source(node))
        else:
            raise Unlowerable(f"is a {kind.__name__}. {KNOWN} Replace it and train again")

    def _call(self, node: Node, function: Any) -> None:
        rest, kwargs = node.args[1:], {name: value for name, value in node.kwargs.items() if name != "inplace"}
        if function in SUMS:
            self._both(node, Add("none"))
        elif function in PRODUCTS:
            self._both(node, Multiply())
        elif function in CURVES:
            self._curve(node, CURVES[function])
        elif function in CLAMPS:
            limits = dict(zip(("low", "high"), rest, strict=False))
            named = {{"min": "low", "max": "high"}.get(name, name): value for name, value in kwargs.items()}
            self._curve(node, folding.clamp(**{**limits, **named}))  # type: ignore[arg-type]
        elif function in POOLS:
            self._pool(node, POOLS[function](self.shapes[self._source(node)], *rest, **kwargs))
        elif function in RESHAPES or function in folding.NOTHING_CALLED:
            self._is(node, self._source(node))
        elif function is F.pad:
            self._pad(node, *rest, **kwargs)  # type: ignore[arg-type]
        elif function is operator.getitem:
            self._slice(node, rest[0])
        else:
            raise Unlowerable(f"is a step that is not known. {KNOWN} Replace it and train again")

    def _norm(self, node: Node, norm: nn.BatchNorm1d | nn.BatchNorm2d) -> None:
        source = self._source(node)
        op = self.steps[source - 1].op if source else None
        if self.shapes[source][0] != norm.num_features:
            raise Unlowerable("normalises a flattened map number by number: use nn.BatchNorm2d before flattening")
        if isinstance(op, Conv) and op.curve == "none" and self._alone(source):
            self._take_along(node, source, folding.normalised(op, norm))
        else:
            self._emit(node, folding.norm_alone(norm), source)

    def _curve(self, node: Node, curve: Curve) -> None:
        source = self._source(node)
        op = self.steps[source - 1].op if source else None
        if isinstance(op, Conv | Add) and op.curve == "none" and self._alone(source):
            self._take_along(node, source, replace(op, curve=curve))
        else:
            self._emit(node, Bend(curve), source)

    def _both(self, node: Node, op: Add | Multiply) -> None:
        if len(node.args) != 2 or node.kwargs or not all(isinstance(arg, Node) for arg in node.args):
            raise Unlowerable("adds or multiplies a number: let a convolution or a batch norm do it")
        a, b = (self._value(arg) for arg in node.args)
        if isinstance(op, Multiply) and self.shapes[a][1:] == (1, 1):
            a, b = b, a
        self._emit(node, op, a, b)

    def _pool(self, node: Node, pool: Op | None) -> None:
        if pool is None:
            self._is(node, self._source(node))
        else:
            self._emit(node, pool, self._source(node))

    def _pad(self, node: Node, pad: Any, mode: str = "constant", value: float | None = None) -> None:
        if mode != "constant" or value:
            raise Unlowerable("pads with something else than zeros: use zeros")
        left, right, top, bottom, before, after = (*pad, 0, 0, 0, 0)[:6]
        if min(pad) < 0 or len(pad) > 6 or (any(pad[:4]) and any(pad[4:])):
            raise Unlowerable(f"pads by {tuple(pad)}: pad either the sides or the channels, and cut nothing off")
        if any(pad[:4]):  # taken along by the convolution that reads it
            assert isinstance(node.args[0], Node)
            self.padded[node] = (node.args[0], (top, bottom, left, right))
        else:
            self._subsample(node, Subsample(1, before, after))

    def _slice(self, node: Node, index: Any) -> None:
        match index:
            case (slice(), slice(), slice(start=None, stop=None, step=step), slice() as across) if (
                index[:2] == (slice(None), slice(None)) and across == index[2]
            ):
                self._subsample(node, Subsample(step or 1, 0, 0))
            case _:
                raise Unlowerable("takes a part of a map: only every s-th pixel can be packed, x[:, :, ::s, ::s]")

    def _subsample(self, node: Node, op: Subsample) -> None:
        source = self._source(node)
        last = self.steps[source - 1].op if source else None
        if op == Subsample(1, 0, 0):
            self._is(node, source)
        elif op.stride == 1 and isinstance(last, Subsample) and self._alone(source):
            both = replace(last, before=last.before + op.before, after=last.after + op.after)
            self._take_along(node, source, both)
        else:
            self._emit(node, op, source)

    def _emit(self, node: Node, op: Op, *operands: int) -> None:
        try:
            shape = result_of(op, [self.shapes[operand] for operand in operands])
        except ValueError as fault:
            raise Unlowerable(str(fault)) from fault
        name = str(node.target) if node.op == "call_module" else node.name
        self.steps.append(Step(op, operands, name))
        self.shapes.append(shape)
        self.sharing.append([])
        self._is(node, len(self.steps))

    def _take_along(self, node: Node, value: int, op: Op) -> None:
        """The step that made ``value`` does what ``node`` does, too."""
        self.steps[value - 1] = replace(self.steps[value - 1], op=op)
        self.shapes[value] = result_of(op, [self.shapes[operand] for operand in self.steps[value - 1].operands])
        self._is(node, value)

    def _is(self, node: Node, value: int) -> None:
        self.made[node] = value
        self.sharing[value].append(node)

    def _alone(self, value: int) -> bool:
        """Does nobody read ``value`` but the node at hand?"""
        return all(len(node.users) == 1 for node in self.sharing[value])

    def _source(self, node: Node) -> int:
        return self._value(node.args[0])

    def _value(self, arg: Any) -> int:
        if arg in self.padded:
            raise Unlowerable("reads a padded map: only a convolution can, put the padding right before one")
        if not isinstance(arg, Node) or arg not in self.made:
            raise Unlowerable(f"reads {arg}, which is no map: parameters outside of layers cannot be packed")
        return self.made[arg]

    def _agrees(self, node: Node) -> bool:
        """Is what torch gives the value that this network has: as a map, or flattened?"""
        channels, height, width = shape = self.shapes[self.made[node]]
        return self.seen[node] in ((2, *shape), (2, channels * height * width))

    def _check_logits(self, result: Any) -> None:
        if not isinstance(result, Node) or self.seen.get(result) != (2, len(self.classes)):
            gives = list(self.seen[result]) if result in self.seen else type(result).__name__
            raise UsageError(
                f"{type(self.model).__name__} cannot be packed: for 2 images it gives {gives}, and it must give logits "
                f"(2, {len(self.classes)}) for its {len(self.classes)} classes."
            )

    def _named(self, node: Node) -> str:
        if node.op == "call_module":
            return f"{node.target} ({type(self.model.get_submodule(str(node.target))).__name__})"
        return f"The step {node.name} of {type(self.model).__name__}"
