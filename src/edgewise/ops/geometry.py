"""The arithmetic of convolutions on maps (N, H, W, C): forward, and the two gradients."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from edgewise.native import depthwise_grad_input, depthwise_grad_weight
from edgewise.ops.base import Shape, as_maps, as_rows, rows

# Bytes that MKL packs a product's panels into, see `Geometry._dry`.
PANELS, LARGEST_PANEL = 500_000, 1_600_000
# Pixels from which oneDNN multiplies faster than MKL on two threads (by a fifth to a half; on one it does not).  It
# keeps some 100 KB of compiled code for every shape, so the many small shapes stay with MKL.
MANY_PIXELS = 8192
_met: set[tuple[Any, ...]] = set()


@dataclass(frozen=True)
class Geometry:
    """Stride, zero padding (top, bottom, left, right), dilation and groups of a convolution."""

    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    def shape(self, x: Shape, weight: Shape) -> Shape:
        """(H, W, C) of the result for a map (H, W, C) and a weight (O, I / groups, kh, kw)."""
        top, bottom, left, right = self.padding
        sides = zip((x[0] + top + bottom, x[1] + left + right), weight[2:], self.stride, self.dilation, strict=True)
        height, width = ((size - step * (k - 1) - 1) // stride + 1 for size, k, stride, step in sides)
        return height, width, weight[0]

    def pointwise(self, weight: Shape) -> bool:
        """Is this a matrix product over pixels?"""
        return weight[2:] == (1, 1) and self.stride == (1, 1) and not any(self.padding) and self.groups == 1

    def one_filter_a_channel(self, weight: Shape, x: Shape) -> bool:
        """Is this a depthwise convolution of the kind `edgewise.native` computes?"""
        return (
            self.groups == weight[0] == x[-1]
            and weight[1:] in ((1, 3, 3), (1, 5, 5), (1, 7, 7))
            and self.stride[0] == self.stride[1]
            and self.dilation == (1, 1)
        )

    def apply(self, x: Tensor, weight: Tensor) -> Tensor:
        """The convolution of maps (N, H, W, C)."""
        if x.is_meta:
            return self._dry(x, weight, (len(x), *self.shape(tuple(x.shape[1:]), tuple(weight.shape))), weight.numel())
        if self.pointwise(tuple(weight.shape)) and not _many_pixels(x):
            return _product(x, weight.flatten(1).t())
        maps, padding = self._padded(as_maps(x))
        return as_rows(F.conv2d(maps, _strided(weight), None, self.stride, padding, self.dilation, self.groups))

    def input_gradient(self, grad: Tensor, weight: Tensor, x: Shape) -> Tensor:
        """Gradient of maps of shape ``x`` (H, W, C)."""
        if grad.is_meta:
            return self._dry(grad, weight, (len(grad), *x), weight.numel())
        if self.pointwise(tuple(weight.shape)) and not _many_pixels(grad):
            return _product(grad, weight.flatten(1))
        if self.one_filter_a_channel(tuple(weight.shape), x):
            out = grad.new_empty((grad.shape[0], *x))
            top, _, left, _ = self.padding
            depthwise_grad_input(grad, taps(weight), out, stride=self.stride[0], pad_top=top, pad_left=left)
            return out
        # The transposed convolution, which unlike `convolution_backward` asks for no input to look at.
        (top, bottom, left, right), (height, width, _) = self.padding, x
        before = (top, left) if (top, left) == (bottom, right) else (0, 0)
        wanted = (height, width) if any(before) else (height + top + bottom, width + left + right)
        missing = tuple(
            size - ((out - 1) * stride - 2 * pad + step * (k - 1) + 1)
            for size, out, stride, pad, step, k in zip(
                wanted, grad.shape[1:3], self.stride, before, self.dilation, weight.shape[2:], strict=True
            )
        )
        maps = F.conv_transpose2d(
            as_maps(grad), _strided(weight), None, self.stride, before, missing, self.groups, self.dilation
        )
        if not any(before):
            maps = maps[:, :, top : top + height, left : left + width]
        return as_rows(maps)

    def weight_gradient(self, grad: Tensor, x: Tensor, weight: Tensor) -> Tensor:
        """Gradient of ``weight`` (O, I / groups, kh, kw), summed over the images."""
        size = tuple(weight.shape)
        if grad.is_meta:
            return self._dry(grad, weight, size, 2 * weight.numel())
        if self.pointwise(size):
            return torch.mm(rows(grad).t(), rows(x)).view(size)
        if self.one_filter_a_channel(size, tuple(x.shape)):
            out = grad.new_empty((size[2] * size[3], size[0]))
            top, _, left, _ = self.padding
            depthwise_grad_weight(grad, x, out, stride=self.stride[0], pad_top=top, pad_left=left)
            return out.t().reshape(size)
        maps, padding = self._padded(as_maps(x))
        gradient: Tensor
        _, gradient, _ = torch.ops.aten.convolution_backward(
            as_maps(grad), maps, weight, None, self.stride, padding, self.dilation, False, (0, 0), self.groups,
            (False, True, False),
        )  # fmt: skip
        return gradient

    def _dry(self, x: Tensor, weight: Tensor, result: Shape, reordered: int) -> Tensor:
        """The memory of a convolution on torch's meta device, whose own convolutions forget channels last.

        What the kernel libraries borrow while they work (measured, `benchmarks/kernel_scratch.py`): MKL
        packs panels of a product's factors, oneDNN makes ``reordered`` numbers of its own order of a weight.
        """
        borrowed = 0
        if self.pointwise(tuple(weight.shape)):
            borrowed = PANELS // 4 + min(weight.numel(), LARGEST_PANEL // 4) // 2
        elif not self.one_filter_a_channel(tuple(weight.shape), (x.shape[-1],)):
            borrowed = reordered
            _met.add((self, tuple(x.shape), tuple(weight.shape), result))
        scratch = x.new_empty(borrowed)
        out = x.new_empty(result)
        del scratch
        return out

    def _padded(self, maps: Tensor) -> tuple[Tensor, tuple[int, int]]:
        top, bottom, left, right = self.padding
        if (top, left) == (bottom, right):
            return maps, (top, left)
        return F.pad(maps, (left, right, top, bottom)), (0, 0)


@contextmanager
def kernels_met() -> Iterator[set[tuple[Any, ...]]]:
    """The shapes that convolutions on torch's meta device meet inside, for each of which oneDNN would compile code."""
    _met.clear()
    yield _met


def _many_pixels(maps: Tensor) -> bool:
    """Whether a product over these pixels is oneDNN's."""
    pixels = maps.numel() // max(1, maps.shape[-1])
    return pixels >= MANY_PIXELS and torch.get_num_threads() > 1 and torch.backends.mkl.is_available()


def _product(maps: Tensor, matrix: Tensor) -> Tensor:
    """Maps (N, H, W, C) times ``matrix`` (C, O): one product over all pixels.

    torch sees the pixels as rows by itself, in one call, but not where a side of length 1 has a stride of its
    own: there it would multiply image by image, and round otherwise.
    """
    _, height, width, channels = maps.shape
    if maps.stride() == (height * width * channels, width * channels, channels, 1):
        return torch.matmul(maps, matrix)
    return torch.mm(rows(maps), matrix).view(*maps.shape[:-1], -1)


def taps(weight: Tensor) -> Tensor:
    """A depthwise weight (C, 1, k, k) as `edgewise.native` reads it, (k · k, C)."""
    return weight.flatten(1).t().contiguous()


def _strided(weight: Tensor) -> Tensor:
    """The weight with unmistakable channels-last strides.

    For 1 x 1 and depthwise weights ``contiguous(memory_format=channels_last)`` changes nothing, because
    their strides could mean either layout, and torch then falls back to the other one.
    """
    _, inputs, height, width = weight.shape
    return weight.contiguous(memory_format=torch.channels_last).as_strided(
        weight.shape, (inputs * height * width, 1, inputs * width, inputs)
    )
