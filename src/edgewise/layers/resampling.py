"""A side network's changes of resolution, as layers without parameters.

They look at their input's size, which a function inside a ``forward`` could not do where the model
is followed symbolically (`edgewise.lean`).
"""

import torch.nn.functional as F
from torch import Tensor, nn


class Squeeze(nn.Module):
    """Average pool of side ``pool``, or of the whole map where that is smaller: (N, C, H, W)."""

    def __init__(self, pool: int) -> None:
        super().__init__()
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        pool = min(self.pool, *x.shape[-2:])
        return F.avg_pool2d(x, pool) if pool > 1 else x


class Resize(nn.Module):
    """Bilinear resize of (N, C, H, W) to ``size`` (H, W); the input itself where it has that size."""

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        if tuple(x.shape[-2:]) == tuple(size):
            return x
        return F.interpolate(x, tuple(size), mode="bilinear", align_corners=False)
