"""What changes masks while training goes on, and when: prune and regrow, MEST's mutations, or nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from edgewise.core.seeds import derive
from edgewise.subnets.masks import Weights, random_masks, top, weights_at
from edgewise.subnets.network import SubNets
from edgewise.subnets.relations import RELATIONS, Relation, Update
from edgewise.subnets.schedule import Timing, exchanged

MUTATED = 4  # the stream of `edgewise.core.seeds` for what grows at random


class Growth(Protocol):
    """``progress`` is that of the run, 0 to 1; ``own`` counts the steps of one sub-net from 0."""

    def start(self, net: SubNets, seed: int) -> None:
        """Give every sub-net its first masks."""

    def due(self, sub_net: int, own: int) -> int | None:
        """The number of the update that belongs to this step, which then needs dense gradients; else None."""

    def update(self, net: SubNets, sub_net: int, number: int, progress: float, gradients: Weights) -> None:
        """Change the masks of ``sub_net``."""


@dataclass(frozen=True)
class PruneAndRegrow:
    """GraNet's: pruned by global magnitude on a cubic schedule, then weights exchanged layer by layer."""

    timing: Timing
    relation: Relation
    first: float  # shares exchanged as the run begins and as it ends
    last: float

    def start(self, net: SubNets, seed: int) -> None:
        self.relation.start(net, seed)

    def due(self, sub_net: int, own: int) -> int | None:
        return self.timing.update(sub_net, own)

    def update(self, net: SubNets, sub_net: int, number: int, progress: float, gradients: Weights) -> None:
        level = self.timing.level(number) if number <= self.timing.pruning else None
        self.relation.update(net, sub_net, Update(level, exchanged(progress, self.first, self.last), gradients))


SOFT = ((90 / 160, 1.2), (120 / 160, 1.1), (1.0, 1.0))
"""MEST+EM&S: until so much of the run, the sub-net may have so many times its weights; 0.88, 0.89 and 0.90 of 0.90."""


@dataclass(frozen=True)
class Mutation:
    """MEST+EM&S (Yuan et al., 2021): every ``every`` steps pruned to its density in every layer, by magnitude, then
    grown at random to a soft bound above it, which shrinks to nothing in three parts (`SOFT`).

    One sub-net, one density for all layers.  The paper's bounds are for 90 % sparsity; here they are shares of the
    density.  Its learning rate's warm-up is left out, and so is lambda |g| in the importance, 0 in its code.
    """

    density: float
    every: int
    seed: int

    def start(self, net: SubNets, seed: int) -> None:
        shapes = {name: tuple(weight.shape) for name, weight in net.weights().items()}
        net.put(0, random_masks(shapes, _counts(net.weights(), self.density * SOFT[0][1]), seed, 0))

    def due(self, sub_net: int, own: int) -> int | None:
        return own // self.every if own and own % self.every == 0 else None

    def update(self, net: SubNets, sub_net: int, number: int, progress: float, gradients: Weights) -> None:
        bound = next(times for until, times in SOFT if progress < until or until == 1)
        weights, masks = net.weights(), net.masks(0)
        kept, most = _counts(weights, self.density), _counts(weights, self.density * bound)
        grown: dict[str, Tensor] = {}
        for place, (name, weight) in enumerate(weights.items()):
            survivors = top(weight.abs().masked_fill(~masks[name], -1.0), kept[name])
            random = torch.rand(weight.shape, generator=_drawn(self.seed, number, place)).to(weight.device)
            grown[name] = survivors | top(random.masked_fill(survivors, -1.0), most[name] - kept[name])
        net.put(0, grown)


@dataclass(frozen=True)
class Fixed:
    """Masks stay as they are at first: the dense network, or channels that were chosen before."""

    def start(self, net: SubNets, seed: int) -> None:
        RELATIONS["nd"].start(net, seed)

    def due(self, sub_net: int, own: int) -> int | None:
        return None

    def update(self, net: SubNets, sub_net: int, number: int, progress: float, gradients: Weights) -> None:
        raise AssertionError("nothing is ever due")


def _counts(weights: Weights, density: float) -> Mapping[str, int]:
    return {name: max(1, weights_at(min(density, 1.0), weight.numel())) for name, weight in weights.items()}


def _drawn(seed: int, number: int, place: int) -> torch.Generator:
    return torch.Generator().manual_seed(derive(seed, MUTATED, number, place))
