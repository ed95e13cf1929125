"""Gradients of a loss that can only be evaluated.

A loss is a function of one flat vector of d numbers.  Every evaluation asks the source for a whole batch: B queries.
"""

from collections.abc import Callable

import torch
from torch import Tensor

FlatLoss = Callable[[Tensor], float]


def sphere_gradient(loss: FlatLoss, at: Tensor, directions: int, distance: float, random: torch.Generator) -> Tensor:
    """One-sided averaged estimate on the unit sphere (Tsai et al., BAR, ICML 2020).

    ``g = (d / q) * sum_j (F(W + mu U_j) - F(W)) / mu * U_j`` with q = ``directions`` and mu = ``distance``; q + 1
    evaluations.  Unbiased for a linear loss; its length is about sqrt((d + q) / q) times the gradient's and
    its cosine with it sqrt(q / (d + q)), so d must not be much larger than q.
    """
    here, total = loss(at), torch.zeros_like(at)
    for _ in range(directions):
        drawn = torch.randn(at.shape, generator=random)
        direction = drawn / drawn.norm()
        total += (loss(at + distance * direction) - here) / distance * direction
    return total * (at.numel() / directions)


def spsa_gradient(loss: FlatLoss, at: Tensor, repeats: int, distance: float, random: torch.Generator) -> Tensor:
    """Two-sided simultaneous perturbation (Spall, 1992), averaged over ``repeats``: 2 ``repeats`` evaluations.

    Numbers of the perturbation are uniform in [-1, -0.5] and [0.5, 1] (Oh et al., BlackVIP, CVPR 2023).
    """
    total = torch.zeros_like(at)
    for _ in range(repeats):
        sizes = 0.5 + 0.5 * torch.rand(at.shape, generator=random)
        signs = torch.randint(2, at.shape, generator=random) * 2 - 1
        drawn = sizes * signs
        total += (loss(at + distance * drawn) - loss(at - distance * drawn)) / (2 * distance) / drawn
    return total / repeats
