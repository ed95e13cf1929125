"""Which layers of a network are compressed, and what keeps the others from it.

Convolutions of the plain kind with one group, but for the first; with ternary ends the first one and the head, too.
Depthwise and grouped convolutions, layers of a class of their own, and linear layers inside stay as they are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from math import gcd
from typing import Any

import torch
from torch import Tensor, nn

from edgewise.compress.arms import Compression
from edgewise.compress.ternary import KINDS
from edgewise.core.errors import UsageError
from edgewise.cost.shapes import on_fewest_images

Weighted = nn.Conv2d | nn.Linear
NAMED = 5


@dataclass(frozen=True)
class Place:
    """A layer to compress: ``slab`` input channels of a filter are a group; an end of the network is not penalised."""

    layer: Weighted
    slab: int
    penalised: bool


@dataclass(frozen=True)
class Places:
    """In order of execution, by name; ``notes`` are sentences about what stays in full precision."""

    places: Mapping[str, Place]
    notes: tuple[str, ...]


def places_in(network: nn.Module, head: str, size: int, settings: Compression) -> Places:
    """The layers of ``network`` (images of ``size`` pixels to logits, by the linear layer ``head``) to compress.

    Raises `UsageError`, before anything is changed, where ``pe`` does not divide the channels of one of them, and
    where none is left.
    """
    if not settings.kind.compresses:
        return Places({}, ())
    used = _used(network, size)
    first = next((name for name, layer in used.items() if isinstance(layer, nn.Conv2d)), None)
    inner: dict[str, Weighted] = {}
    reasons: dict[str, list[str]] = {}
    for name, layer in used.items():
        if name not in (first, head) and isinstance(layer, nn.Conv2d | nn.Linear):
            if reason := _in_the_way(layer):
                reasons.setdefault(reason, []).append(name)
            else:
                inner[name] = layer
    if not inner:
        there = "".join(f" {len(names)} {reason} ({_listed(names)})." for reason, names in reasons.items())
        raise UsageError(
            f"There is nothing to compress in {type(network).__name__}: besides the first convolution it has none "
            f"of the plain kind.{there}"
        )
    _check_divides(settings.pe, inner)
    found = {name: Place(layer, settings.pe, settings.kind.penalised) for name, layer in inner.items()}
    if settings.first_last == "ternary":
        ends = [name for name in (first, head) if name is not None and type(used[name]) in KINDS]
        found |= {name: Place(used[name], _fitting(settings.pe, used[name]), False) for name in ends}  # type: ignore[arg-type]
        found = {name: found[name] for name in used if name in found}
    notes = (f"In full precision: {len(names)} {reason} ({_listed(names)})." for reason, names in reasons.items())
    return Places(found, tuple(notes))


def channels(layer: Weighted) -> int:
    """Input channels of one filter: C of the weight (N, C, …)."""
    return int(layer.weight.shape[1])


def _in_the_way(layer: Weighted) -> str | None:
    if isinstance(layer, nn.Linear):
        return "linear layers before the head"
    if layer.groups > 1:
        return "depthwise or grouped convolutions"
    return None if type(layer) in KINDS else f"layers of a kind of their own, {type(layer).__name__}"


def _check_divides(pe: int, layers: Mapping[str, Weighted]) -> None:
    wrong = [f"{name} ({channels(layer)})" for name, layer in layers.items() if channels(layer) % pe]
    if wrong:
        common = reduce(gcd, map(channels, layers.values()))
        fitting = [str(number) for number in range(1, common + 1) if common % number == 0]
        raise UsageError(
            f"--pe is {pe}, which does not divide the input channels of {len(wrong)} of {len(layers)} layers: "
            f"{_listed(wrong)}. What fits all of them: {', '.join(fitting)}."
        )


def _fitting(pe: int, layer: Weighted) -> int:
    return pe if channels(layer) % pe == 0 else channels(layer)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")


@torch.no_grad()
def _used(network: nn.Module, size: int) -> dict[str, nn.Module]:
    """Modules by name, in the order in which they first run."""
    names = {module: name for name, module in network.named_modules()}
    order: dict[str, nn.Module] = {}
    modes = [(module, module.training) for module in network.modules()]

    def note(module: nn.Module, args: Any, output: Any) -> None:
        order.setdefault(names[module], module)

    def run(images: int) -> Tensor:
        order.clear()
        logits: Tensor = network.eval()(torch.zeros(images, 3, size, size))
        return logits

    handles = [module.register_forward_hook(note) for module in names]
    try:
        on_fewest_images(run)
    finally:
        for handle in handles:
            handle.remove()
        for module, training in modes:
            module.training = training
    return order
