"""Which layers of a network its sub-nets choose from, and which norms are theirs.

Convolutions of one group and linear layers, but for the first convolution (dissertation, Section 3.4.1) and, where
asked for, the head, which ImageNet's networks keep dense.  Depthwise and grouped convolutions stay dense, as in RigL:
they hold few weights, and each of them matters.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from edgewise.core.errors import UsageError
from edgewise.cost.shapes import on_fewest_images
from edgewise.subnets.layers import KINDS, NORMS

NAMED = 5
Weighted = nn.Conv2d | nn.Linear


@dataclass(frozen=True)
class Places:
    """``layers`` in order of execution and ``norms`` by name; ``positions``: how often an image uses each weight of a
    layer with weights, dense ones too; ``notes`` are sentences about what stays dense."""

    layers: Mapping[str, Weighted]
    norms: Mapping[str, nn.Module]
    positions: Mapping[str, int]
    notes: tuple[str, ...]


def places_in(network: nn.Module, head: str, size: int, dense_head: bool = False) -> Places:
    """Of ``network``, images of ``size`` pixels to logits, by the linear layer ``head``; nothing is changed.

    Raises `UsageError` where no layer is left.
    """
    used = _used(network, size)
    weighted = {name: layer for name, (layer, _) in used.items() if isinstance(layer, nn.Conv2d | nn.Linear)}
    dense = [next((name for name, layer in weighted.items() if isinstance(layer, nn.Conv2d)), None)]
    dense += [head] if dense_head else []
    layers: dict[str, Weighted] = {}
    reasons: dict[str, list[str]] = {}
    for name, layer in weighted.items():
        if name in dense:
            continue
        if type(layer) not in KINDS:
            reasons.setdefault(f"layers of a kind of their own, {type(layer).__name__}", []).append(name)
        elif isinstance(layer, nn.Conv2d) and layer.groups > 1:
            reasons.setdefault("depthwise or grouped convolutions", []).append(name)
        else:
            layers[name] = layer
    if not layers:
        raise UsageError(f"There is nothing to make sparse in {type(network).__name__} besides its first convolution.")
    notes = (f"Dense in every sub-net: {len(names)} {reason} ({_listed(names)})." for reason, names in reasons.items())
    norms = {name: module for name, (module, _) in used.items() if type(module) in NORMS}
    return Places(layers, norms, {name: used[name][1] for name in weighted}, tuple(notes))


def _listed(names: list[str]) -> str:
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")


@torch.no_grad()
def _used(network: nn.Module, size: int) -> dict[str, tuple[nn.Module, int]]:
    """Modules in the order in which they first run, with the places of one image at which they give something."""
    names = {module: name for name, module in network.named_modules()}
    found: dict[str, tuple[nn.Module, int]] = {}
    modes = [(module, module.training) for module in network.modules()]

    def note(module: nn.Module, args: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            before = found[names[module]][1] if names[module] in found else 0
            found[names[module]] = (module, before + prod(output.shape[2:]))

    def run(images: int) -> Tensor:
        found.clear()
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
    return found
