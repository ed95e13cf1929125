"""How sub-nets may lie to each other, and so how their masks change (dissertation, Section 3.3.3).

``nd``  non-disjoint: each is pruned and regrown by itself, whatever the others have.
``cs``  completely subset: only the first is pruned and regrown; every other is pruned by magnitude inside the one
        before.  (The released pruner for it does not run; this is the text's.)
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from edgewise.core.errors import UsageError
from edgewise.subnets.masks import Weights, subset, weights_in
from edgewise.subnets.network import SubNets
from edgewise.subnets.unstructured import Unstructured


@dataclass(frozen=True)
class Update:
    """Of a sub-net's masks: ``level`` to prune to, None once pruning is over; ``share`` of its weights to exchange;
    dense ``gradients`` by layer."""

    level: float | None
    share: float
    gradients: Weights


@dataclass(frozen=True)
class Relation:
    """``start`` gives every sub-net its first masks, drawn from a seed; ``update`` changes those of one of them."""

    title: str
    start: Callable[[SubNets, int], None]
    update: Callable[[SubNets, int, Update], None]


def _start_apart(net: SubNets, seed: int) -> None:
    shapes = {name: tuple(weight.shape) for name, weight in net.weights().items()}
    for number, pattern in enumerate(net.patterns):
        net.put(number, pattern.first(shapes, seed, number))


def _prune_and_regrow(net: SubNets, number: int, update: Update) -> None:
    pattern, weights = net.patterns[number], net.weights()
    masks = net.masks(number) if update.level is None else pattern.pruned(weights, update.level)
    net.put(number, pattern.exchanged(masks, weights, update.gradients, update.share))


def _start_nested(net: SubNets, seed: int) -> None:
    shapes = {name: tuple(weight.shape) for name, weight in net.weights().items()}
    for number in range(len(net.names)):
        net.put(number, _unstructured(net, number).first(shapes, seed, 0))


def _inside(net: SubNets, number: int, update: Update) -> None:
    """The sub-nets behind ``number`` follow it at once, with as many weights as they had."""
    if number == 0:
        _prune_and_regrow(net, 0, update)
    else:
        count = _unstructured(net, number).count(1.0 if update.level is None else update.level, net.total())
        net.put(number, subset(net.weights(), net.masks(number - 1), count))
    for later in range(number + 1, len(net.names)):
        net.put(later, subset(net.weights(), net.masks(later - 1), weights_in(net.masks(later))))


def _unstructured(net: SubNets, number: int) -> Unstructured:
    pattern = net.patterns[number]
    if not isinstance(pattern, Unstructured):
        raise UsageError(f"--relation cs is for sub-nets of single weights, and {pattern.name} has a pattern; use nd.")
    return pattern


RELATIONS: Mapping[str, Relation] = {
    "nd": Relation("non-disjoint", _start_apart, _prune_and_regrow),
    "cs": Relation("completely subset", _start_nested, _inside),
}
