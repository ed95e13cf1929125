"""The blocks at the end of a network, what runs behind them, and what each of their norms is.

A block counts where it holds at least two convolutions: inverted residuals and residuals do, a stem, a
feature-mix layer and an empty slot (ProxylessNAS's "Zero") do not.  It is *residual* where its main
branch ends in a linear projection: in a norm whose result leaves the block as it is (an inverted
residual's) or is added to the shortcut first (a ResNet's, and the shortcut's own projection).  The
depthwise-separable block of MobileNetV1 ends in a ReLU6 and is not.

All this is found by following the calls of one run on a batch of no images, not by class or name.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from edgewise.adapt.base import Site
from edgewise.backbones.stages import Block
from edgewise.core.errors import UsageError
from edgewise.cost.shapes import on_fewest_images

Role = Literal["exp", "dw", "proj"]
ROLES: tuple[Role, ...] = ("exp", "dw", "proj")
NORMS = {"batch_norm": 3, "group_norm": 2}  # functions, and the place of their scale among the arguments
ADDITIONS = {"add", "add_", "__add__", "__radd__", "__iadd__"}
BEHIND: dict[Role, str] = {
    "exp": "a 1x1 convolution inside a branch",
    "dw": "a spatial convolution inside a branch",
    "proj": "a branch's last convolution",
}
TRANSPARENT = {"dropout", "dropout2d"}  # they may stand between a projection and its addition


@dataclass(frozen=True)
class Tail:
    """The last blocks of a network, in order of execution, and what runs behind them.

    ``after`` names the layers with parameters behind the last block, without the head: the feature-mix
    layer's convolution and norm, a hidden linear layer.  ``norms`` gives the names of the blocks' norms
    their roles: ``exp`` follows a 1x1 convolution, ``dw`` a spatial one (a ResNet's 3x3 too), and ``proj``
    ends a branch.
    """

    blocks: tuple[Block, ...]
    after: tuple[str, ...]
    norms: Mapping[str, Role]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the modules that make up the tail."""
        return (*(block.name for block in self.blocks), *self.after)

    def parameters(self, site: Site) -> tuple[str, ...]:
        """Names of all the tail's parameters."""
        inside = tuple(f"{name}." for name in self.names)
        return tuple(name for name, _ in site.body_parameters() if name.startswith(inside))


def residual_blocks(site: Site, method: str) -> tuple[Block, ...]:
    """All residual blocks of the network.  Raises `UsageError`, in the name of ``method``, where there is none."""
    return _found(site, _followed(site), method)


def last_blocks(site: Site, number: int, method: str, residual: bool = True, needs: Role | None = None) -> Tail:
    """The last ``number`` blocks of the network (of its residual ones, if ``residual``) and what is behind them.

    Raises `UsageError`, in the name of ``method``, for a network with fewer of them or with none, and
    where none of them has a norm of the role that ``method`` ``needs``.
    """
    flow, what, network = _followed(site), _what(residual), type(site.network).__name__
    found = _found(site, flow, method, residual)
    chosen = found[-number:]
    norms = {name: role for block in chosen for name, role in _inside(flow.norms, block).items()}
    faults = []
    if number > len(found):
        faults.append(f"blocks is {number}, and {network} has {len(found)} {what}s; set blocks to at most {len(found)}")
    if needs is not None and needs not in norms.values():
        there = ", ".join(f"{role}-bn" for role in ROLES if role in norms.values())
        faults.append(
            f"norms is {needs}-bn, and the last {len(chosen)} {what}s of {network} have no norm behind {BEHIND[needs]}"
            f"; choose one of {there}, all-bn, all-bn-shift"
        )
    if faults:
        raise UsageError(f"{method}: {'; '.join(faults)}.")
    end = flow.order[chosen[-1].name]
    behind = sorted((place, name) for name, place in flow.order.items() if place > end and name in flow.layers)
    return Tail(chosen, tuple(name for _, name in behind if name != site.head), norms)


def _found(site: Site, flow: "_Flow", method: str, residual: bool = True) -> tuple[Block, ...]:
    found = tuple(
        block
        for block in site.blocks
        if _convolutions(site.network, block) > 1 and (not residual or "proj" in _inside(flow.norms, block).values())
    )
    if not found:
        what = _what(residual)
        other = "blocks, " if residual and any(_convolutions(site.network, b) > 1 for b in site.blocks) else ""
        ends = ", ending in a norm without an activation" if residual else ""
        raise UsageError(
            f"{method} works on the {what}s of a network, and {type(site.network).__name__} has none: no part of it "
            f"that is repeated holds two convolutions or more{ends}. "
            f"Methods that fit: {other}repnet, bias, bn, last, full."
        )
    return found


def _what(residual: bool) -> str:
    return "residual or inverted-residual block" if residual else "block"


def _convolutions(network: nn.Module, block: Block) -> int:
    return sum(isinstance(part, nn.Conv2d) for part in network.get_submodule(block.name).modules())


def _inside(norms: Mapping[str, Role], block: Block) -> dict[str, Role]:
    return {name: role for name, role in norms.items() if name.startswith(f"{block.name}.")}


class _Flow(TorchFunctionMode):
    """Follows convolutions to their norms, and norms to what reads them.

    ``norms`` have their roles by name, ``order`` says when a module was first called (a number), ``layers`` are
    the modules with parameters of their own.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.owners = {id(p): name.rpartition(".")[0] for name, p in network.named_parameters()}
        self.layers = set(self.owners.values())
        self.norms: dict[str, Role] = {}
        self.order: dict[str, int] = {}
        # What a tensor that nothing has read yet came from: a convolution (is it spatial?) or a norm's name.
        self._fresh: dict[int, tuple[Tensor, bool | str]] = {}

    def called(self, name: str, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        self.order.setdefault(name, len(self.order))

    def left(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        """A block's result: the norm that made it ends a branch."""
        if isinstance(output, Tensor) and isinstance(source := self._source(output), str):
            self.norms[source] = "proj"

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs, name = kwargs or {}, func.__name__
        given = [value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)]
        sources = [self._source(tensor) for tensor in given]
        output = func(*args, **kwargs)
        if not isinstance(output, Tensor) or not given or name.startswith("__get"):
            return output
        for tensor in given:
            self._fresh.pop(id(tensor), None)
        if name == "conv2d":
            weight = args[1] if len(args) > 1 else kwargs["weight"]
            self._fresh[id(output)] = output, max(weight.shape[2:]) > 1
        elif name in NORMS:
            scale = args[NORMS[name]] if len(args) > NORMS[name] else kwargs.get("weight")
            owner = self.owners.get(id(scale))
            if owner is not None and isinstance(sources[0], bool):
                self.norms[owner] = "dw" if sources[0] else "exp"
                self._fresh[id(output)] = output, owner
        elif name in TRANSPARENT and sources[0] is not None:
            self._fresh[id(output)] = output, sources[0]
        elif name in ADDITIONS:
            self.norms.update({source: "proj" for source in sources if isinstance(source, str)})
        return output

    def _source(self, tensor: Tensor) -> bool | str | None:
        return self._fresh.get(id(tensor), (tensor, None))[1]


def _followed(site: Site) -> _Flow:
    """The calls of one run in eval mode; afterwards the network's modes and hooks are as they were."""
    network, flow = site.network, _Flow(site.network)
    modes = [(module, module.training) for module in network.modules()]
    handles = [m.register_forward_hook(partial(flow.called, name)) for name, m in network.named_modules() if name]
    # First in line, so that what other hooks do to a block's output is not part of the block.
    handles += [
        network.get_submodule(block.name).register_forward_hook(flow.left, prepend=True) for block in site.blocks
    ]
    like = next(p for p in network.parameters() if p.is_floating_point())
    try:
        network.eval()
        with torch.no_grad(), torch.random.fork_rng(devices=[]), flow:
            on_fewest_images(lambda images: network(like.new_zeros(images, 3, site.size, site.size)))
    finally:
        for handle in handles:
            handle.remove()
        for module, training in modes:
            module.training = training
    return flow
