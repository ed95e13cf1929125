"""How far two sets of vectors lie apart: the Wasserstein-1 distance, exactly and in slices."""

import torch
from torch import Tensor

from edgewise.reprogram.mappings.assignment import assigned


def wasserstein(one: Tensor, other: Tensor) -> float:
    """W1 of two sets (N, d) of equal size: the least mean Euclidean distance when each is paired with another.

    Exact, by an optimal assignment; the time grows with N^3, about a second for N = 1,000.  Needs scipy.
    """
    distances = torch.cdist(one.double(), other.double(), compute_mode="donot_use_mm_for_euclid_dist")
    pairs = assigned(-distances)
    return float(distances[pairs, torch.arange(len(other))].mean())


def sliced_wasserstein(one: Tensor, other: Tensor, directions: int = 128, seed: int = 0) -> float:
    """Mean of the W1 of both sets' shadows on random lines; never above `wasserstein`, often far below."""
    random = torch.Generator().manual_seed(seed)
    lines = torch.randn(one.shape[1], directions, generator=random, dtype=torch.double)
    lines = lines / lines.norm(dim=0)
    shadows = [(points.double() @ lines).sort(0).values for points in (one, other)]
    return float((shadows[0] - shadows[1]).abs().mean())
