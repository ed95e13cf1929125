"""Shapes of every value in a traced model, found on a batch of no images at all.

A batch of none costs nothing to compute.  (Torch's meta device would serve as well, but its first
operation loads the compiler's libraries, 20 MB that stay.)
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Graph, Node
from torch.fx.node import map_arg

SAME_SHAPE = (
    nn.BatchNorm2d, nn.BatchNorm1d, nn.Dropout, nn.Dropout2d, nn.Identity,
    nn.ReLU, nn.ReLU6, nn.Hardswish, nn.Hardsigmoid, nn.Sigmoid, nn.SiLU,
)  # fmt: skip


class Unshapeable(Exception):
    """A call could not be run on a batch of none; the message names it."""


@torch.no_grad()
def shapes_of(graph: Graph, model: nn.Module, image: Tensor) -> dict[Node, Any]:
    """Empty tensors (0, …) and the plain numbers between them, by node, for images like ``image``."""
    values: dict[Node, Any] = {}
    for node in graph.nodes:
        if node.op == "placeholder":
            values[node] = image.new_empty((0, *image.shape[1:]))
            continue
        args = map_arg(node.args, lambda n: values[n])
        kwargs = map_arg(node.kwargs, lambda n: values[n])
        try:
            values[node] = _call(node, model, args, kwargs)
        except Exception as error:  # whatever a user's step says to an empty tensor
            raise Unshapeable(f"{node.format_node()}: {error}") from error
    return values


def _call(node: Node, model: nn.Module, args: Any, kwargs: Any) -> Any:
    if node.op == "call_module":
        module = model.get_submodule(str(node.target))
        if isinstance(module, SAME_SHAPE):
            return args[0]
        return type(module).forward(module, *args, **kwargs)
    if node.op == "get_attr":
        return attribute(model, str(node.target))
    if node.op == "call_method":
        return getattr(args[0], str(node.target))(*args[1:], **kwargs)
    if node.op == "call_function":
        assert callable(node.target)
        return node.target(*args, **kwargs)
    return args[0]  # output


def attribute(model: nn.Module, name: str) -> Any:
    """The tensor (or what else) that a dotted name leads to."""
    parent, _, last = name.rpartition(".")
    return getattr(model.get_submodule(parent), last)
