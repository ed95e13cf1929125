"""A trained classifier as a `Network`: its calls are followed, its norms and biases folded, its dropouts left out.

`edgewise.lean.trace` follows the model, a user's own too, without running it; `edgewise.compress.calls` makes steps of
its calls, and `edgewise.compress.folding` says what each layer and function becomes.  Two images of noise are run
through the model to see the shapes, and through the network afterwards to see that it answers the same.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Graph, GraphModule, Interpreter, Node

from edgewise.compress.calls import Following
from edgewise.compress.executor import PackedNetwork
from edgewise.compress.network import Network
from edgewise.compress.ternary import TernaryConv2d, TernaryLinear
from edgewise.core.errors import EdgewiseError, UsageError
from edgewise.core.preprocess import Preprocess
from edgewise.lean.trace import Untraceable, trace

CLOSE = 1e-2  # of the largest logit; folding moves the last bits, GPUs some before them, a misread layer all of them


def lowered(model: nn.Module, preprocess: Preprocess, classes: tuple[str, ...]) -> Network:
    """What ``model`` (images (N, 3, S, S) to logits (N, classes)) computes in eval mode, with packed ternary layers.

    The model itself is not changed.  Raises `UsageError` naming the first layer or call that cannot be packed, and why.
    """
    modes = [(module, module.training) for module in model.modules()]
    try:
        graph = trace(model.eval(), (TernaryLinear, TernaryConv2d))
        seen = _Seen(model, graph, preprocess.size)
        network = Following(model, seen.shapes, preprocess, classes).network(graph)
    except Untraceable as error:
        raise UsageError(
            f"{type(model).__name__} cannot be packed: {error}. Write its forward without looking at values."
        ) from error
    finally:
        for module, training in modes:
            module.training = training
    _check_same(network, seen)
    return network


class _Seen(Interpreter):
    """The model run on two images of noise, the fewest that tell a batch from a side of 1."""

    def __init__(self, model: nn.Module, graph: Graph, size: int) -> None:
        super().__init__(GraphModule(model, graph))
        like = next((p for p in model.parameters() if p.is_floating_point()), torch.zeros(()))
        noise = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
        self.shapes: dict[Node, tuple[int, ...]] = {}
        self.images = noise.to(like)
        try:
            with torch.no_grad():
                self.logits: Any = self.run(self.images)
        except Exception as error:  # whatever a user's step says
            raise UsageError(
                f"{type(model).__name__} could not be run on images of {size} x {size} pixels ({error})."
            ) from error

    def run_node(self, n: Node) -> Any:
        value = super().run_node(n)
        if isinstance(value, Tensor):
            self.shapes[n] = tuple(value.shape)
        return value

    def call_module(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        module = self.fetch_attr(target)
        return type(module).forward(module, *args, **kwargs)  # its hooks are nodes of their own


def _check_same(network: Network, seen: _Seen) -> None:
    """Refuse what answers otherwise than its model: then a layer was not what it seemed to be."""
    logits = PackedNetwork(network).to(seen.images)(seen.images)
    worst = (logits - seen.logits).abs().max()
    if not worst <= CLOSE * seen.logits.abs().max().clamp(min=1e-6):
        raise EdgewiseError(
            f"The packed network's logits for two images of noise are up to {worst:.3g} from the model's: its weights "
            "are not finite, or a layer of it is not what its class says. Remove hooks and layers of your own kind."
        )
