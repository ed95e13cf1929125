"""N:M masks: of every M weights that follow one another along the input channels, N are kept.

Notation is NVIDIA's, kept:group.  The dissertation writes zeros:group, so its Table 12 reads here:

    dissertation   2:4     3:4     7:8     15:16     zeros in every group
    here           2:4     1:4     1:8     1:16      weights kept in every group
    sparsity       50 %    75 %    87.5 %  93.75 %

A group runs along the input channels at one place of the kernel (NHWC order, what Sparse Tensor Cores read), so M
divides the input channels; of a linear layer, along its inputs.  The first convolution stays dense, having three
channels.  All four patterns keep at most 2 of every 4 weights, so the hardware runs all of them at the rate of 2:4, at
most twice that of dense: the table's times between 1.39 and 2.22 times faster cannot come from the pattern alone, and
we do not claim them.

On the way from dense, a share of each layer's groups has the pattern and the others are whole; the share rises along
the cubic schedule from 0 to 1.  A mask is made of three numbers a group:

    groups that get the pattern: those whose magnitudes have the smallest sum               `nm_mask`
    weights kept in them:        the largest in magnitude
    regrown:                     in a share of them, those whose other weights have the     `nm_exchange`
                                 largest sum of gradients, the smallest kept weight gives
                                 place to the one with the largest gradient

The dissertation says of this only that prune-and-regrow is "based on the group-wise summed weight or gradient
magnitude". Its released code takes the first groups in memory for the dense ones and loses regrown masks at the next
switch of sub-nets.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from edgewise.core.errors import UsageError
from edgewise.subnets.base import name_of
from edgewise.subnets.masks import Masks, Shapes, Weights, top

NAMED = 5  # layers that an error lists


@dataclass(frozen=True)
class NM:
    """``kept`` of every ``group`` weights along the input channels; a `base.Pattern`, dense as training begins."""

    kept: int
    group: int

    def __post_init__(self) -> None:
        if not 1 <= self.kept < self.group:
            raise UsageError(
                f"The pattern {self} keeps {self.kept} of {self.group} weights; write kept:group with fewer kept than "
                "there are, such as 2:4 or 1:16."
            )

    def __str__(self) -> str:
        return f"{self.kept}:{self.group}"

    @property
    def density(self) -> float:
        """Share of the weights that are kept."""
        return self.kept / self.group

    @property
    def name(self) -> str:
        return name_of(self.density)

    def check(self, shapes: Shapes) -> None:
        wrong = [f"{name} ({shape[1]})" for name, shape in shapes.items() if shape[1] % self.group]
        if wrong:
            more = f" and {len(wrong) - NAMED} more" if len(wrong) > NAMED else ""
            raise UsageError(
                f"The pattern {self} needs input channels that {self.group} divides, and these layers have others: "
                f"{', '.join(wrong[:NAMED])}{more}. Choose a smaller group, or another network."
            )

    def first(self, shapes: Shapes, seed: int, *place: int) -> Masks:
        return {name: torch.ones(tuple(shape), dtype=torch.bool) for name, shape in shapes.items()}

    def pruned(self, weights: Weights, level: float) -> Masks:
        return {name: nm_mask(weight, self, level) for name, weight in weights.items()}

    def exchanged(self, masks: Masks, weights: Weights, gradients: Weights, share: float) -> Masks:
        return {name: nm_exchange(mask, weights[name], gradients[name], self, share) for name, mask in masks.items()}


TABLE_12 = (NM(2, 4), NM(1, 4), NM(1, 8), NM(1, 16))


def pattern_of(text: str) -> NM:
    """``"1:4"`` as a pattern; raises `UsageError`."""
    kept, _, group = text.partition(":")
    if not (kept.isdecimal() and group.isdecimal()):
        raise UsageError(f"{text!r} is no pattern; write kept:group, such as 2:4, 1:4, 1:8 or 1:16.")
    return NM(int(kept), int(group))


def grouped(weight: Tensor, group: int) -> Tensor:
    """(N, C, …) as (groups, ``group``): along C, filter by filter and place by place of the kernel."""
    return weight.movedim(1, -1).reshape(-1, group)


def ungrouped(rows: Tensor, shape: Sequence[int]) -> Tensor:
    """The inverse of `grouped` for a weight of ``shape``."""
    return rows.reshape(shape[0], *shape[2:], shape[1]).movedim(-1, 1).contiguous()


def groups_with(share: float, shape: Sequence[int], pattern: NM) -> int:
    """How many of a layer's groups have the pattern."""
    return round(share * (prod(shape) // pattern.group))


def nm_count(shape: Sequence[int], pattern: NM, share: float = 1.0) -> int:
    """Weights that a layer of ``shape`` keeps: exactly."""
    return prod(shape) - groups_with(share, shape, pattern) * (pattern.group - pattern.kept)


def nm_mask(weight: Tensor, pattern: NM, share: float = 1.0) -> Tensor:
    """A mask (N, C, …) of ``weight``'s largest magnitudes, ``share`` of the groups having the pattern.

    Of equal magnitudes, the one that lies first along the channels is kept.
    """
    magnitude = grouped(weight.detach().abs(), pattern.group)
    chosen = _patterned(magnitude, groups_with(share, weight.shape, pattern))
    return ungrouped(_largest(magnitude, pattern.kept) | ~chosen[:, None], weight.shape)


def nm_exchange(mask: Tensor, weight: Tensor, gradient: Tensor, pattern: NM, share: float) -> Tensor:
    """``mask`` with one weight exchanged in ``share`` of its groups that have the pattern; it keeps their number.

    ``gradient`` must be dense, of ``weight``'s shape.
    """
    kept = grouped(mask, pattern.group).clone()
    magnitude, slope = (grouped(one.detach().abs(), pattern.group) for one in (weight, gradient))
    patterned = ~kept.all(1)
    promise = slope.masked_fill(kept, 0).sum(1).masked_fill(~patterned, -torch.inf)
    rows = top(promise, int(share * int(patterned.sum()))).nonzero().flatten()
    drop = magnitude.masked_fill(~kept, torch.inf).argmin(1)[rows]
    grow = slope.masked_fill(kept, -torch.inf).argmax(1)[rows]
    kept[rows, drop], kept[rows, grow] = False, True
    return ungrouped(kept, mask.shape)


def has_pattern(masks: Masks, pattern: NM) -> bool:
    """Does every group keep at most ``pattern.kept`` weights?"""
    return all(bool((grouped(mask, pattern.group).sum(1) <= pattern.kept).all()) for mask in masks.values())


def _patterned(magnitude: Tensor, count: int) -> Tensor:
    """Which ``count`` groups get the pattern: the smallest sums; of equal ones those that lie first."""
    return top(-magnitude.sum(1), count)


def _largest(magnitude: Tensor, kept: int) -> Tensor:
    """The ``kept`` largest of each row; of equal ones those that lie first."""
    order = magnitude.sort(dim=1, descending=True, stable=True).indices[:, :kept]
    return torch.zeros_like(magnitude, dtype=torch.bool).scatter_(1, order, True)
