"""Convolutions and linear layers, and the frozen convolution fused with its norm and activation."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from edgewise.native import clamp_, depthwise, depthwise_grad_input, mask_
from edgewise.ops.base import Grads, Keeps, Needs, Shape, as_maps, as_rows, rows


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
        if self.pointwise(tuple(weight.shape)):
            return torch.mm(rows(x), weight.flatten(1).t()).view(*x.shape[:-1], -1)
        if x.is_meta:  # where torch's convolutions forget the order of the dimensions
            return x.new_empty((len(x), *self.shape(tuple(x.shape[1:]), tuple(weight.shape))))
        maps, padding = self._padded(as_maps(x))
        return as_rows(F.conv2d(maps, _strided(weight), None, self.stride, padding, self.dilation, self.groups))

    def input_gradient(self, grad: Tensor, weight: Tensor, x: Shape) -> Tensor:
        """Gradient of maps of shape ``x`` (H, W, C)."""
        if self.pointwise(tuple(weight.shape)):
            return torch.mm(rows(grad), weight.flatten(1)).view(*grad.shape[:-1], -1)
        if grad.is_meta:
            return grad.new_empty((len(grad), *x))
        if self.one_filter_a_channel(tuple(weight.shape), x):
            out = grad.new_empty((len(grad), *x))
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

    def weight_gradient(self, grad: Tensor, x: Tensor, weight: Shape) -> Tensor:
        """Gradient of a weight (O, I / groups, kh, kw), summed over the images."""
        if self.pointwise(weight):
            return torch.mm(rows(grad).t(), rows(x)).view(weight)
        maps, padding = self._padded(as_maps(x))
        # Of the weight only the shape is looked at.
        like = grad.new_zeros(()).expand(weight)
        gradient: Tensor
        _, gradient, _ = torch.ops.aten.convolution_backward(
            as_maps(grad), maps, like, None, self.stride, padding, self.dilation, False, (0, 0), self.groups,
            (False, True, False),
        )  # fmt: skip
        return gradient

    def _padded(self, maps: Tensor) -> tuple[Tensor, tuple[int, int]]:
        top, bottom, left, right = self.padding
        if (top, left) == (bottom, right):
            return maps, (top, left)
        return F.pad(maps, (left, right, top, bottom)), (0, 0)


@dataclass(frozen=True)
class Conv:
    """``x * weight``: operands x (batched), weight (shared).  Keeps x only where the weight trains."""

    geometry: Geometry

    def shape(self, operands: Sequence[Shape]) -> Shape:
        return self.geometry.shape(operands[0], operands[1])

    def keeps(self, needs: Needs) -> Keeps:
        return Keeps((0,) if needs[1] else ())

    def forward(self, operands: Sequence[Tensor], bits: Tensor | None, inplace: bool) -> Tensor:
        x, weight = operands
        return self.geometry.apply(x, weight)

    def backward(
        self,
        grad: Tensor,
        operands: Sequence[Tensor | None],
        shapes: Sequence[Shape],
        bits: Tensor | None,
        needs: Needs,
        inplace: bool,
    ) -> Grads:
        x, weight = operands
        assert weight is not None
        to_weight = self.geometry.weight_gradient(grad, x, shapes[1]) if x is not None and needs[1] else None
        return (self.geometry.input_gradient(grad, weight, shapes[0]) if needs[0] else None), to_weight


@dataclass(frozen=True)
class FrozenConv:
    """``clamp(x * weight · scale + offset)``: a frozen convolution, its norm's scale, and ReLU or ReLU6.

    Operands: x (batched), weight, scale (O,), offset (O,).  Weight and scale get no gradient; the
    offset may (biases and shifts train for free).  Keeps one bit per element, or nothing without a
    clamp.  The scale is multiplied into the weight for the moment of use, so no second copy of the
    network's weights exists; a weight of int8 becomes float in the same way.
    """

    geometry: Geometry
    low: float = -math.inf
    high: float = math.inf

    @property
    def clamps(self) -> bool:
        return (self.low, self.high) != (-math.inf, math.inf)

    def shape(self, operands: Sequence[Shape]) -> Shape:
        return self.geometry.shape(operands[0], operands[1])

    def keeps(self, needs: Needs) -> Keeps:
        return Keeps(bits=self.clamps and any(needs))

    def forward(self, operands: Sequence[Tensor], bits: Tensor | None, inplace: bool) -> Tensor:
        x, weight, scale, offset = operands
        weight, offset, geometry = _scaled(weight, scale), offset.contiguous(), self.geometry
        if geometry.one_filter_a_channel(tuple(weight.shape), tuple(x.shape)) and not x.is_meta:
            y = x.new_empty((len(x), *geometry.shape(tuple(x.shape[1:]), tuple(weight.shape))))
            stride, (top, _, left, _) = geometry.stride[0], geometry.padding
            limits = {"low": self.low, "high": self.high}
            depthwise(x, taps(weight), offset, y, stride=stride, pad_top=top, pad_left=left, bits=bits, **limits)
            return y
        y = geometry.apply(x, weight)
        clamp_(rows(y), self.low, self.high, offset, bits)
        return y

    def backward(
        self,
        grad: Tensor,
        operands: Sequence[Tensor | None],
        shapes: Sequence[Shape],
        bits: Tensor | None,
        needs: Needs,
        inplace: bool,
    ) -> Grads:
        _, weight, scale, _ = operands
        assert weight is not None
        assert scale is not None
        if bits is not None:
            grad = grad if inplace else grad.clone()
            mask_(grad, bits)
        to_x = self.geometry.input_gradient(grad, _scaled(weight, scale), shapes[0]) if needs[0] else None
        return to_x, None, None, (rows(grad).sum(0) if needs[3] else None)


@dataclass(frozen=True)
class Linear:
    """``x @ weight.T + bias``: operands x (batched, (N, C)), weight (O, C), bias (O,)."""

    def shape(self, operands: Sequence[Shape]) -> Shape:
        return (*operands[0][:-1], operands[1][0])

    def keeps(self, needs: Needs) -> Keeps:
        return Keeps((0,) if needs[1] else ())

    def forward(self, operands: Sequence[Tensor], bits: Tensor | None, inplace: bool) -> Tensor:
        x, weight, bias = operands
        return F.linear(x, weight, bias)

    def backward(
        self,
        grad: Tensor,
        operands: Sequence[Tensor | None],
        shapes: Sequence[Shape],
        bits: Tensor | None,
        needs: Needs,
        inplace: bool,
    ) -> Grads:
        x, weight, _ = operands
        assert weight is not None
        return (
            grad @ weight if needs[0] else None,
            rows(grad).t() @ rows(x) if x is not None and needs[1] else None,
            rows(grad).sum(0) if needs[2] else None,
        )


def _scaled(weight: Tensor, scale: Tensor) -> Tensor:
    return weight * scale.view(-1, *(1 for _ in weight.shape[1:]))


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
