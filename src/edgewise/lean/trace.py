"""A model as a graph of calls, through its hooks, without running it.

`torch.fx` follows the tensors through ``forward`` and through forward hooks (Rep-Net's connectors
are hooks).  A module whose ``forward`` cannot be followed (it looks at values or at shapes) stays one
opaque call, and everything around it is followed still.
"""

import operator
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn
from torch.fx import Graph, Node, Tracer

from edgewise.backbones.blocks import SameConv2d
from edgewise.layers.input_program import InputProgram
from edgewise.layers.masked_conv import MaskedConv2d
from edgewise.layers.normalise import Normalise
from edgewise.layers.resampling import Resize, Squeeze
from edgewise.layers.signed_activation import SignedActivation
from edgewise.layers.weight_standardised import StandardisedConv2d

INPLACE = (operator.iadd, operator.imul, operator.isub, operator.itruediv)
LAYERS = (SameConv2d, StandardisedConv2d, MaskedConv2d, Squeeze, Resize, Normalise, InputProgram, SignedActivation)


class Untraceable(Exception):
    """The model's own ``forward`` looks at values; the message says where."""


def trace(model: nn.Module, whole: tuple[type[nn.Module], ...] = ()) -> Graph:
    """The model's calls in order; raises `Untraceable`.  Nodes name modules by their dotted names.

    Modules of the classes ``whole`` stay one call each, as torch's own layers do.
    """
    try:
        graph = _Tracer(whole).trace(model)
    except Exception as error:  # whatever a user's forward raises when its tensors are only placeholders
        raise Untraceable(f"{type(model).__name__}.forward: {error}") from error
    if len([node for node in graph.nodes if node.op == "placeholder"]) != 1:
        raise Untraceable(f"{type(model).__name__}.forward takes more than one tensor")
    graph.eliminate_dead_code(_is_impure)
    place = {node: number for number, node in enumerate(graph.nodes)}
    for node in graph.nodes:
        changed = _overwrites(node, model)
        if changed is not None and any(place[user] > place[node] for user in changed.users):
            raise Untraceable(f"{changed.name} is used again after {node.name} has overwritten it")
    return graph


class _Tracer(Tracer):
    def __init__(self, whole: tuple[type[nn.Module], ...]) -> None:
        super().__init__()
        self.whole = (*LAYERS, *whole)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, self.whole) or super().is_leaf_module(m, module_qualified_name)

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if self.is_leaf_module(m, self.path_of_module(m)):
            return self._opaque(m, args, kwargs)
        before = len(self.graph.nodes)
        try:
            return forward(*args, **kwargs)
        except Exception:  # it looks at values or shapes, in whatever way: then it is followed no further
            for node in reversed(list(self.graph.nodes)[before:]):
                self.graph.erase_node(node)
            return self._opaque(m, args, kwargs)

    def _opaque(self, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """One node for the call, and its hooks around it, which `torch.fx` would leave out."""
        for before in module._forward_pre_hooks.values():
            changed = before(module, args)
            if changed is not None:
                args = changed if isinstance(changed, tuple) else (changed,)
        output: Any = self.create_proxy("call_module", self.path_of_module(module), args, dict(kwargs))
        for after in module._forward_hooks.values():
            changed = after(module, args, output)
            output = output if changed is None else changed
        return output


def _is_impure(node: Node) -> bool:
    return node.op in ("placeholder", "output")


def _overwrites(node: Node, model: nn.Module) -> Node | None:
    """The node whose value this one changes in place, if any."""
    first = node.args[0] if node.args and isinstance(node.args[0], Node) else None
    if first is None:
        return None
    if node.op == "call_module":
        return first if vars(model.get_submodule(str(node.target))).get("inplace") is True else None
    if node.op == "call_method":
        name = str(node.target)
        return first if name.endswith("_") and not name.endswith("__") else None
    return first if node.kwargs.get("inplace") is True or node.target in INPLACE else None
