"""Several sub-nets in one network: its weights once, a mask and a set of norms for each."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Literal

import torch
from torch import Tensor, nn

from edgewise.backbones import Backbone
from edgewise.core.errors import unknown
from edgewise.core.surgery import replace
from edgewise.layers.normalise import Normalise
from edgewise.subnets.base import Pattern
from edgewise.subnets.layers import Active, PrivateNorm, Shared, share, unshare
from edgewise.subnets.masks import Masks, Weights, weights_in
from edgewise.subnets.places import Places, places_in

Norms = Literal["private", "shared"]


def places_for(backbone: Backbone, patterns: Sequence[Pattern], dense_head: bool = False) -> Places:
    """The layers that sub-nets of ``patterns`` choose from; raises `UsageError` where one does not fit them."""
    found = places_in(backbone.module, backbone.head, backbone.input.size, dense_head)
    for pattern in patterns:
        pattern.check({name: tuple(layer.weight.shape) for name, layer in found.layers.items()})
    return found


class SubNets(nn.Module):
    """Images (N, 3, S, S), bytes or normalised floats, to logits (N, classes) of the sub-net in use.

    Made in place: ``backbone.module`` itself computes with masks from now on.  ``names`` are in the order of
    ``patterns``; the first is in use, and all of them have all weights, until a training begins.  ``notes``: what stays
    dense.  Raises `UsageError`, before anything is changed, for a network that the patterns do not fit.
    """

    def __init__(
        self, backbone: Backbone, patterns: Sequence[Pattern], norms: Norms = "private", dense_head: bool = False
    ) -> None:
        super().__init__()
        found = places_for(backbone, patterns, dense_head)
        self.backbone, self.patterns, self.notes = backbone, tuple(patterns), found.notes
        self.names = tuple(pattern.name for pattern in patterns)
        self.normalise, self.network = Normalise(backbone.input), backbone.module
        self._active, self._positions = Active(), found.positions
        self.layers: Mapping[str, Shared] = {
            name: share(layer, len(patterns), self._active) for name, layer in found.layers.items()
        }
        self.norms: tuple[str, ...] = tuple(found.norms) if norms == "private" else ()
        for name in self.norms:
            replace(self.network, name, PrivateNorm(found.norms[name], len(patterns), self._active))
        self.requires_grad_().train()

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(self.normalise(images))
        return logits

    @property
    def active(self) -> str:
        """The sub-net in use."""
        return self.names[self._active.index]

    def use(self, name: str | int) -> None:
        """Let the sub-net ``name`` compute from now on; raises `UsageError` for one that there is not."""
        self._active.index = self.number(name)

    def number(self, name: str | int) -> int:
        """Of the sub-net ``name``, in `names`; raises `UsageError` where there is none."""
        if isinstance(name, int):
            return range(len(self.names))[name]
        if name not in self.names:
            raise unknown("sub-net", name, self.names)
        return self.names.index(name)

    def dense_gradients(self, wanted: bool) -> None:
        """Let the next backward passes give gradients of the weights that the sub-net does not have, too."""
        self._active.dense = wanted

    def weights(self) -> Weights:
        """Live weights of the layers with masks, by name."""
        return {name: layer.weight.detach() for name, layer in self.layers.items()}

    def masks(self, name: str | int) -> Masks:
        """Live masks of a sub-net, in the shapes of the weights, by layer."""
        row = self.number(name)
        return {layer: one.masks[row].view(one.weight.shape) for layer, one in self.layers.items()}

    @torch.no_grad()
    def put(self, name: str | int, masks: Masks) -> None:
        """Give a sub-net other ``masks``."""
        for layer, mask in self.masks(name).items():
            mask.copy_(masks[layer])

    def owned(self) -> Masks:
        """The weights that any sub-net has."""
        return {name: layer.masks.any(0).view(layer.weight.shape) for name, layer in self.layers.items()}

    def total(self) -> int:
        """Weights that sub-nets choose from; densities are shares of them."""
        return sum(layer.weight.numel() for layer in self.layers.values())

    def densities(self) -> dict[str, float]:
        """By sub-net, over the layers with masks."""
        return {name: weights_in(self.masks(name)) / self.total() for name in self.names}

    def macs(self, name: str | int) -> int:
        """Multiply-adds of one image in a sub-net, zeros left out (what an engine that skips them would do)."""
        kept = {layer: int(mask.sum()) for layer, mask in self.masks(name).items()}
        modules = {layer: self.network.get_submodule(layer) for layer in self._positions}
        return sum(kept.get(layer, _size(modules[layer])) * often for layer, often in self._positions.items())

    def dense_macs(self) -> int:
        """Of one image with all weights: what is computed while masks only make zeros."""
        return sum(_size(self.network.get_submodule(layer)) * often for layer, often in self._positions.items())

    def plain(self, name: str | int) -> nn.Module:
        """A copy of one sub-net as an ordinary network in eval mode: normalised images to logits, zeros as weights."""
        row, masks = self.number(name), self.masks(name)
        network = deepcopy(self.network)
        for norm in self.norms:
            private = network.get_submodule(norm)
            assert isinstance(private, PrivateNorm)
            replace(network, norm, private.own[row])
        for layer, mask in masks.items():
            shared = network.get_submodule(layer)
            assert isinstance(shared, Shared)
            unshare(shared, mask)
        return network.eval()

    def changing(self) -> dict[str, Tensor]:
        """Every tensor a training step may change."""
        return {**{name: p.data for name, p in self.named_parameters()}, **dict(self.named_buffers())}


def _size(layer: nn.Module) -> int:
    weight = layer.weight
    assert isinstance(weight, Tensor)
    return weight.numel()
