"""Which weights a sub-net has: pure functions from tensors to masks, exact to one weight.

A mask is a tensor of booleans in its weight's shape; `Masks` and `Weights` are by layer.  Ties are decided by place:
the layer that comes first, then the weight that lies first; so the same numbers always give the same masks.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import inf, prod

import torch
from torch import Tensor

from edgewise.core.seeds import derive

Masks = Mapping[str, Tensor]
Weights = Mapping[str, Tensor]
Shapes = Mapping[str, Sequence[int]]

DRAWN = 3  # the stream of `edgewise.core.seeds` for random masks


def weights_at(density: float, total: int) -> int:
    """How many of ``total`` weights a sub-net of ``density`` has."""
    return round(density * total)


def erk(shapes: Shapes, density: float) -> dict[str, int]:
    """Weights of each layer under ERK (Evci et al., RigL, 2020, after Mocanu et al.), `weights_at` in all.

    The density of a layer goes with the sum of its dimensions over their product, (n_out + n_in + k_h + k_w) /
    (n_out n_in k_h k_w), by one factor for all layers; a layer that this would fill to more than all of it is dense,
    and the factor is found again for the others.
    """
    sizes = {name: prod(shape) for name, shape in shapes.items()}
    total = weights_at(density, sum(sizes.values()))
    dense: set[str] = set()
    while True:
        free = [name for name in shapes if name not in dense]
        if not free:
            return dict(sizes)
        factor = (total - sum(sizes[name] for name in dense)) / sum(sum(shapes[name]) for name in free)
        fullest = max(free, key=lambda name: sum(shapes[name]) / sizes[name])
        if factor * sum(shapes[fullest]) <= sizes[fullest]:
            break
        dense.add(fullest)
    wanted = {name: float(sizes[name]) if name in dense else factor * sum(shapes[name]) for name in shapes}
    return _whole(wanted, sizes, total)


def uniform(shapes: Shapes, density: float) -> dict[str, int]:
    """Weights of each layer at one density for all, rounded by layer."""
    return {name: weights_at(density, prod(shape)) for name, shape in shapes.items()}


def random_masks(shapes: Shapes, counts: Mapping[str, int], seed: int, *place: int) -> dict[str, Tensor]:
    """Masks of exactly ``counts`` weights, drawn from ``seed`` at ``place``."""
    drawn = {}
    for number, (name, shape) in enumerate(shapes.items()):
        random = torch.Generator().manual_seed(derive(seed, DRAWN, *place, number))
        size = prod(shape)
        mask = torch.zeros(size, dtype=torch.bool)
        mask[torch.randperm(size, generator=random)[: counts[name]]] = True
        drawn[name] = mask.view(*shape)
    return drawn


def top(scores: Tensor, count: int) -> Tensor:
    """A mask of exactly ``count`` of the largest ``scores``; of equal ones those that lie first."""
    flat = scores.reshape(-1)
    if count <= 0:
        return torch.zeros_like(scores, dtype=torch.bool)
    if count >= flat.numel():
        return torch.ones_like(scores, dtype=torch.bool)
    edge = flat.kthvalue(flat.numel() - count + 1).values
    above, level = flat > edge, flat == edge
    chosen = above | (level & (level.cumsum(0) <= count - above.sum()))
    return chosen.view(scores.shape)


def top_of_all(scores: Mapping[str, Tensor], count: int) -> dict[str, Tensor]:
    """Masks of exactly ``count`` of the largest scores of all layers together; every layer keeps its largest.

    GraNet's global threshold can empty a layer, which kills the network for good; one weight a layer is our floor.
    ``count`` must be at least the number of layers.
    """
    assert count >= len(scores), f"{count} weights for {len(scores)} layers"
    flat = torch.cat([one.reshape(-1).to(torch.float32, copy=True) for one in scores.values()])
    starts = [0]
    for one in scores.values():
        starts.append(starts[-1] + one.numel())
    for start, end in pairwise(starts):
        flat[start + int(flat[start:end].argmax())] = inf
    chosen = top(flat, count)
    parts = zip(scores.items(), pairwise(starts), strict=True)
    return {name: chosen[start:end].view(one.shape) for (name, one), (start, end) in parts}


def largest(weights: Weights, count: int) -> dict[str, Tensor]:
    """Global magnitude pruning: the ``count`` weights of all layers that are largest in magnitude.

    Weights that the sub-net does not have are ranked too: other sub-nets train them, so by magnitude alone they can
    come back.  (AST's released code does the same; it is why non-disjoint masks overlap as much as they do.)
    """
    return top_of_all({name: weight.detach().abs() for name, weight in weights.items()}, count)


def subset(weights: Weights, outer: Masks, count: int) -> dict[str, Tensor]:
    """The same inside ``outer``: at most ``count`` weights, all of them ``outer``'s (the relation cs)."""
    inside = {name: weight.detach().abs().masked_fill(~outer[name], -inf) for name, weight in weights.items()}
    return top_of_all(inside, min(count, weights_in(outer)))


def exchange(mask: Tensor, weight: Tensor, gradient: Tensor, share: float) -> Tensor:
    """One layer's mask with ``share`` of its weights exchanged; it keeps their number (Eq. 3.1 and 3.2, corrected).

    The smallest in magnitude go; as many of those outside the survivors come that have the largest ``gradient``,
    which must be dense.  A weight that has just gone may come back.  (As printed, Eq. 3.2 adds "s + r" of the
    gradients, which exceeds the budget, and excludes the dropped weights by name but the survivors by sense.)
    """
    active = int(mask.sum())
    moved = int(share * active)
    survivors = top(weight.detach().abs().masked_fill(~mask, -inf), active - moved)
    return survivors | top(gradient.abs().masked_fill(survivors, -inf), moved)


def weights_in(masks: Masks) -> int:
    """How many weights ``masks`` keep, in all."""
    return int(sum(mask.sum() for mask in masks.values()))


def non_overlap(one: Tensor, other: Tensor) -> float:
    """The share of places at which two masks differ: ones in their XOR (Figure 14)."""
    return float((one ^ other).float().mean())


def is_nested(inner: Masks, outer: Masks) -> bool:
    """Does ``outer`` have every weight of ``inner``?"""
    return all(not bool((mask & ~outer[name]).any()) for name, mask in inner.items())


def _whole(wanted: Mapping[str, float], sizes: Mapping[str, int], total: int) -> dict[str, int]:
    """``wanted`` rounded so that the sum is ``total``: down, and up where most is cut off."""
    counts = {name: min(int(number), sizes[name]) for name, number in wanted.items()}
    cut_off = sorted((name for name in wanted if counts[name] < sizes[name]), key=lambda n: counts[n] - wanted[n])
    for name in cut_off[: total - sum(counts.values())]:
        counts[name] += 1
    return counts
