"""The best assignment of labels to places: scipy's, which gives the same one every time."""

import torch
from torch import Tensor

from edgewise.core.errors import UsageError


def assigned(weights: Tensor) -> Tensor:
    """For each column of ``weights`` (labels, places), labels >= places, a row of its own: the sum is the largest.

    Needs scipy.  Raises `UsageError` where it is missing.
    """
    try:
        from scipy.optimize import linear_sum_assignment
    except ImportError:
        raise UsageError("The optimal mapping needs scipy: pip install 'edgewise[reprogram]'.") from None
    places, labels = linear_sum_assignment(weights.t().double().numpy(), maximize=True)
    return torch.from_numpy(labels)[torch.from_numpy(places).argsort()]
