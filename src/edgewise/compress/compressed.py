"""A network under compression: what it computes with, what it is penalised for, and how empty it is by now."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isinf

import torch
from torch import Tensor, nn

from edgewise.backbones import Backbone
from edgewise.compress.arms import Compression
from edgewise.compress.groups import Zeros, group_norms, grouped, together, zeros_of
from edgewise.compress.layers import Place, places_in
from edgewise.compress.penalty import penalty, threshold
from edgewise.compress.ternary import Ternary, TernaryConv2d, TernaryLinear, codes_of, put_ternary
from edgewise.layers.normalise import Normalise

PRUNED = 1e-2
"""A group of the arm ``prune`` counts as empty below this share of its layer's mean norm.  A penalty that training
follows by gradient never reaches 0 exactly, and the dissertation does not say where it cuts; a ternary layer needs no
such number, since its threshold sets whole groups to 0."""


@dataclass(frozen=True)
class Layer:
    """One compressed layer as it is now; ``alpha`` is None in full precision, ``delta`` where nothing is clipped."""

    zeros: Zeros
    alpha: float | None
    delta: float | None


class Compressed(nn.Module):
    """Images (N, 3, S, S), bytes or normalised floats, to logits (N, classes); all of it trains.

    ``places`` are the layers of ``network`` that are compressed, by name.  Made in place: ``backbone.module`` itself
    computes with ternary weights from now on.  ``notes``: what stays in full precision.
    """

    def __init__(self, backbone: Backbone, settings: Compression) -> None:
        super().__init__()
        found = places_in(backbone.module, backbone.head, backbone.input.size, settings)
        self.backbone, self.settings, self.notes = backbone, settings, found.notes
        self.places: Mapping[str, Place] = found.places
        self.normalise, self.network = Normalise(backbone.input), backbone.module
        if settings.kind.ternary:
            for place in self.places.values():
                put_ternary(place.layer, place.slab)
        self.requires_grad_().train()

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(self.normalise(images))
        return logits

    def penalty(self) -> Tensor:
        """lambda times the groups' penalty, of all layers (Eq. 2.5 or 2.6); 0 for an arm without."""
        settings = self.settings
        terms = [penalty(one.layer.weight, one.slab, settings.ceiling) for one in self.places.values() if one.penalised]
        return settings.weight * torch.stack(terms).sum() if terms else torch.zeros(())

    @torch.no_grad()
    def look(self) -> dict[str, Layer]:
        """How every compressed layer is now, by name."""
        return {name: self._layer(place) for name, place in self.places.items()}

    def ternary(self, name: str) -> Ternary:
        """What a compressed layer of a ternary arm computes with now."""
        layer = self.places[name].layer
        assert isinstance(layer, TernaryConv2d | TernaryLinear)
        return layer.ternary()

    @torch.no_grad()
    def norms(self) -> dict[str, list[float]]:
        """The norm of every group of every compressed layer, filter by filter."""
        return {name: group_norms(one.layer.weight, one.slab).flatten().tolist() for name, one in self.places.items()}

    @torch.no_grad()
    def settle(self) -> None:
        """The end of training: groups of the arm ``prune`` that count as empty become zeros."""
        if not self.settings.kind.ternary:
            for place in self.places.values():
                place.layer.weight.copy_(_pruned(place))

    def changing(self) -> dict[str, Tensor]:
        """Every tensor a training step may change."""
        return {**{name: p.data for name, p in self.named_parameters()}, **dict(self.named_buffers())}

    def sizes(self) -> dict[str, int]:
        """``trainable_params`` and ``total_params``."""
        total = sum(p.numel() for p in self.parameters())
        return {"trainable_params": total, "total_params": total}

    def _layer(self, place: Place) -> Layer:
        weight, ternary = place.layer.weight.detach(), self.settings.kind.ternary
        codes = codes_of(weight) if ternary else _pruned(place)
        clip = self.settings.ceiling
        delta = None if isinf(clip) or not place.penalised else float(threshold(group_norms(weight, place.slab), clip))
        alpha = float(weight.abs()[codes != 0].mean()) if ternary and codes.any() else 0.0
        return Layer(zeros_of(codes, place.slab), alpha if ternary else None, delta)


def in_all(layers: Mapping[str, Layer]) -> Zeros | None:
    """All layers together; None where there is none."""
    return together(layer.zeros for layer in layers.values()) if layers else None


def _pruned(place: Place) -> Tensor:
    """The weight without the groups that count as empty."""
    weight = place.layer.weight.detach()
    norms = group_norms(weight, place.slab)
    kept = norms >= PRUNED * norms.mean()
    return (grouped(weight, place.slab) * kept[..., None]).reshape(weight.shape)
