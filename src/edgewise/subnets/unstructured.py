"""Sub-nets whose masks follow no pattern: single weights, wherever they are."""

from dataclasses import dataclass
from math import ceil, prod

from edgewise.core.errors import UsageError
from edgewise.subnets.base import name_of
from edgewise.subnets.masks import Masks, Shapes, Weights, erk, exchange, largest, random_masks, weights_at
from edgewise.subnets.schedule import density_at


@dataclass(frozen=True)
class Unstructured:
    """``density`` of the weights at the end, ``start`` of them at first (random, ERK), both in (0, 1]."""

    density: float
    start: float = 1.0

    @property
    def name(self) -> str:
        return name_of(self.density)

    def check(self, shapes: Shapes) -> None:
        total = sum(prod(shape) for shape in shapes.values())
        empty = [f"{name} ({prod(shape)})" for name, shape in shapes.items() if self.density * prod(shape) < 1]
        if empty or weights_at(self.density, total) < len(shapes):
            raise UsageError(
                f"A density of {self.density:g} leaves less than one weight of {', '.join(empty) or 'some layers'}: "
                f"the layer would die. What keeps one in every layer: "
                f"{ceil(1e4 / min(prod(shape) for shape in shapes.values())) / 1e4:g} and more."
            )

    def first(self, shapes: Shapes, seed: int, *place: int) -> Masks:
        return random_masks(shapes, erk(shapes, self.start), seed, *place)

    def count(self, level: float, total: int) -> int:
        """Weights of ``total`` at ``level``."""
        return weights_at(density_at(self.start, self.density, level), total)

    def pruned(self, weights: Weights, level: float) -> Masks:
        return largest(weights, self.count(level, sum(weight.numel() for weight in weights.values())))

    def exchanged(self, masks: Masks, weights: Weights, gradients: Weights, share: float) -> Masks:
        return {name: exchange(mask, weights[name], gradients[name], share) for name, mask in masks.items()}
