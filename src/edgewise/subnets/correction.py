"""Gradient correction inside a group (dissertation, Eq. 3.4), layer by layer.

    h = g_previous o mask            the raw gradient of the sub-net before, where the present one has weights
    g <- g - (g . h / ||h||^2) h     where g . h < 0

Deviation: the printed equation projects on g_previous itself.  The update is masked again afterwards, and that brings
the conflict back (measured: 985 of 985); projected on h, which lies inside the mask, it stays away.  The previous
gradient is the raw one, not the corrected: the dissertation does not say.
"""

import torch
from torch import Tensor

NOTHING_LEFT = 1e-20  # of the squared length: what rounding leaves of a gradient that was all conflict


@torch.no_grad()
def corrected(gradient: Tensor, previous: Tensor, mask: Tensor) -> Tensor:
    """``gradient``, which is 0 outside ``mask``, without its part against ``previous``; itself where there is none.

    All three in one shape.  Computed in float64 and given in ``gradient``'s type.
    """
    g, h = gradient.double(), (previous * mask).double()
    product, length = (g * h).sum(), h.square().sum()
    if product >= 0 or length == 0:
        return gradient
    projected = g - product / length * h
    if projected.square().sum() <= NOTHING_LEFT * g.square().sum():
        return torch.zeros_like(gradient)
    return projected.to(gradient.dtype)


@torch.no_grad()
def cosine(gradient: Tensor, previous: Tensor, mask: Tensor) -> float:
    """Between ``gradient`` and ``previous`` over ``mask``; 0 where either is 0 there."""
    g, h = (gradient * mask).double(), (previous * mask).double()
    lengths = float(g.norm() * h.norm())
    return float((g * h).sum()) / lengths if lengths else 0.0
