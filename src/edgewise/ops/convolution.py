"""Convolutions and linear layers, and the frozen convolution fused with its norm and activation."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from edgewise.native import affine_clamp, affine_grad_, depthwise
from edgewise.ops.base import Grads, Keeps, Needs, Saved, Shape, rows
from edgewise.ops.geometry import Geometry, taps


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

    def backward(self, grad: Tensor, saved: Saved) -> Grads:
        x, weight = saved.operands
        assert weight is not None
        to_weight = self.geometry.weight_gradient(grad, x, weight) if x is not None and saved.needs[1] else None
        return (self.geometry.input_gradient(grad, weight, saved.shapes[0]) if saved.needs[0] else None), to_weight


@dataclass(frozen=True)
class FrozenConv:
    """``clamp(x * weight · scale + offset)``: a frozen convolution, its norm's scale, and ReLU or ReLU6.

    Operands: x (batched), weight, scale (O,), offset (O,).  Weight and scale get no gradient; the
    offset may (biases and shifts train for free).  Keeps one bit per element, or nothing without a
    clamp.  The scale is applied together with the clamp, so no second copy of the weights exists; a
    weight of int8 becomes float for the moment of use.
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
        scale, offset, geometry = scale.contiguous(), offset.contiguous(), self.geometry
        weight = _as_float(weight, scale)
        if geometry.one_filter_a_channel(tuple(weight.shape), tuple(x.shape)) and not x.is_meta:
            y = x.new_empty((x.shape[0], *geometry.shape(tuple(x.shape[1:]), tuple(weight.shape))))
            stride, (top, _, left, _) = geometry.stride[0], geometry.padding
            limits = {"low": self.low, "high": self.high}
            filters = taps(weight) * scale
            depthwise(x, filters, offset, y, stride=stride, pad_top=top, pad_left=left, bits=bits, **limits)
            return y
        y = geometry.apply(x, weight)
        affine_clamp(y, torch.zeros_like(scale), scale, offset, y, self.low, self.high, bits)
        return y

    def backward(self, grad: Tensor, saved: Saved) -> Grads:
        _, weight, scale, _ = saved.operands
        assert weight is not None
        assert scale is not None
        grad = grad if saved.owned else grad.clone()
        by = scale.contiguous() if saved.needs[0] else None
        to_offset, _ = affine_grad_(grad, by, bits=saved.bits, sums=saved.needs[3])
        if not saved.needs[0]:
            return None, None, None, to_offset
        return self.geometry.input_gradient(grad, _as_float(weight, scale), saved.shapes[0]), None, None, to_offset


def _as_float(weight: Tensor, scale: Tensor) -> Tensor:
    """The weight in its scale's type, where it is not: asked for nothing, torch still takes a microsecond."""
    return weight if weight.dtype == scale.dtype else weight.to(scale.dtype)


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

    def backward(self, grad: Tensor, saved: Saved) -> Grads:
        x, weight, _ = saved.operands
        assert weight is not None
        return (
            grad @ weight if saved.needs[0] else None,
            rows(grad).t() @ rows(x) if x is not None and saved.needs[1] else None,
            rows(grad).sum(0) if saved.needs[2] else None,
        )
