"""The group lasso with weight penalty clipping, a layer at a time (dissertation, Eq. 2.5 to 2.7).

    penalty  lambda sum_i min(||W_i||, delta)     over the groups W_i of the full-precision weights
    delta    a mean_i ||W_i||                     made anew from the present weights, and a constant to the gradient

So a group whose norm is below delta is pulled to 0 by lambda W_i / ||W_i||, and one at delta or above not at all.  With
a infinite this is the plain group lasso.  The number of weights in a group does not enter (no factor sqrt(|W_i|)).

Sibling code of the same group lets the gradient through delta, which then pulls at every group; the dissertation says
constant, and so it is here.
"""

import math

from torch import Tensor

from edgewise.compress.groups import group_norms


def threshold(norms: Tensor, clip: float) -> Tensor:
    """delta of a layer whose groups have ``norms``: ``clip`` times their mean (Eq. 2.7), without a gradient."""
    return clip * norms.detach().mean()


def penalty(weight: Tensor, slab: int, clip: float = math.inf) -> Tensor:
    """sum_i min(||W_i||, delta) of one layer (Eq. 2.6); lambda is left to the caller."""
    norms = group_norms(weight, slab)
    if math.isinf(clip):
        return norms.sum()
    delta = threshold(norms, clip)
    return norms.where(norms < delta, delta).sum()
