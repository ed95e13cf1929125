"""Pools and resizes: linear functions of a map, which keep nothing.

Stock torch keeps the whole input of an average pool, of which its backward pass reads the size.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from edgewise.ops.base import Grads, Keeps, Needs, Saved, Shape, as_maps, as_rows


@dataclass(frozen=True)
class AveragePool:
    """Mean over squares of side ``pool``, without padding: (N, H, W, C) to (N, H // pool, W // pool, C)."""

    pool: int

    def shape(self, operands: Sequence[Shape]) -> Shape:
        height, width, channels = operands[0]
        return height // self.pool, width // self.pool, channels

    def keeps(self, needs: Needs) -> Keeps:
        return Keeps()

    def forward(self, operands: Sequence[Tensor], bits: Tensor | None, inplace: bool) -> Tensor:
        return as_rows(F.avg_pool2d(as_maps(operands[0]), self.pool))

    def backward(self, grad: Tensor, saved: Saved) -> Grads:
        images, height, width, channels = grad.shape
        whole = grad.new_zeros((images, *saved.shapes[0]))
        inside = whole[:, : height * self.pool, : width * self.pool]
        squares = inside.unflatten(2, (width, self.pool)).unflatten(1, (height, self.pool))
        squares.copy_((grad / self.pool**2).view(images, height, 1, width, 1, channels).expand_as(squares))
        return (whole,)


@dataclass(frozen=True)
class GlobalPool:
    """Mean over the whole map: (N, H, W, C) to (N, 1, 1, C)."""

    def shape(self, operands: Sequence[Shape]) -> Shape:
        return 1, 1, operands[0][-1]

    def keeps(self, needs: Needs) -> Keeps:
        return Keeps()

    def forward(self, operands: Sequence[Tensor], bits: Tensor | None, inplace: bool) -> Tensor:
        return operands[0].mean((1, 2), keepdim=True)

    def backward(self, grad: Tensor, saved: Saved) -> Grads:
        height, width, _ = saved.shapes[0]
        return ((grad / (height * width)).expand(len(grad), *saved.shapes[0]).contiguous(),)


@dataclass(frozen=True)
class BilinearResize:
    """Bilinear resize to (height, width), corners not aligned: (N, H, W, C) to (N, height, width, C)."""

    height: int
    width: int

    def shape(self, operands: Sequence[Shape]) -> Shape:
        return self.height, self.width, operands[0][-1]

    def keeps(self, needs: Needs) -> Keeps:
        return Keeps()

    def forward(self, operands: Sequence[Tensor], bits: Tensor | None, inplace: bool) -> Tensor:
        size = (self.height, self.width)
        return as_rows(F.interpolate(as_maps(operands[0]), size, mode="bilinear", align_corners=False))

    def backward(self, grad: Tensor, saved: Saved) -> Grads:
        height, width, channels = saved.shapes[0]
        size, before = [self.height, self.width], [len(grad), channels, height, width]
        return (as_rows(torch.ops.aten.upsample_bilinear2d_backward(as_maps(grad), size, before, False)),)
