"""Groups of weights that one processing element computes, and how many of them are empty (Section 2.2.3).

A group is ``slab`` input channels of one filter, with their whole kernels: C_g x K_h x K_w weights.  A convolution
(N, C, K, K) has N C / C_g of them, a linear layer (N, C) the same with kernels of one weight.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Zeros:
    """Of one layer, or of several added up: its groups and weights, and how many of them are not empty and not 0."""

    groups: int
    stored: int
    weights: int
    left: int

    @property
    def group_sparsity(self) -> float:
        """The share of groups that hold nothing but zeros; G_s of Eq. 2.8."""
        return 1 - self.stored / self.groups

    @property
    def overall_sparsity(self) -> float:
        """The share of weights that are 0, in empty groups and in others."""
        return 1 - self.left / self.weights

    @property
    def dead(self) -> bool:
        """Is nothing left?"""
        return self.left == 0


def grouped(weight: Tensor, slab: int) -> Tensor:
    """``weight`` (N, C, …) as (N, C / slab, weights of a group); ``slab`` must divide C."""
    return weight.reshape(weight.shape[0], weight.shape[1] // slab, -1)


def group_norms(weight: Tensor, slab: int) -> Tensor:
    """Euclidean norms (N, C / slab), whose gradient at a group of zeros is 0 (the norm itself has none there)."""
    squares = grouped(weight, slab).square().sum(2)
    empty = squares == 0
    return squares.masked_fill(empty, 1).sqrt().masked_fill(empty, 0)


@torch.no_grad()
def zeros_of(weight: Tensor, slab: int) -> Zeros:
    """Counted in ``weight``, or in its ternary codes."""
    kept = grouped(weight, slab) != 0
    return Zeros(kept.shape[0] * kept.shape[1], int(kept.any(2).sum()), kept.numel(), int(kept.sum()))


def together(layers: Iterable[Zeros]) -> Zeros:
    """Of all ``layers``: group sparsity is the share of all groups, as the dissertation counts it."""
    counted = [(one.groups, one.stored, one.weights, one.left) for one in layers]
    return Zeros(*(sum(column) for column in zip(*counted, strict=True)))
