"""Norms in eval mode, ReLU-like clamps, and the arithmetic between branches."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from edgewise.native import affine_clamp, affine_grad_, clamp_, mask_
from edgewise.ops.base import Grads, Keeps, Needs, Saved, Shape, rows


@dataclass(frozen=True)
class Clamp:
    """ReLU (0 to infinity), ReLU6 (0 to 6), hard-tanh: operand x.  Keeps one bit per element.

    The gradient passes where ``low < x < high``, as in torch.
    """

    low: float = 0.0
    high: float = math.inf

    def shape(self, operands: Sequence[Shape]) -> Shape:
        return operands[0]

    def keeps(self, needs: Needs) -> Keeps:
        return Keeps(bits=needs[0])

    def forward(self, operands: Sequence[Tensor], bits: Tensor | None, inplace: bool) -> Tensor:
        y = operands[0] if inplace else operands[0].clone()
        clamp_(y, self.low, self.high, None, bits)
        return y

    def backward(self, grad: Tensor, saved: Saved) -> Grads:
        assert saved.bits is not None
        grad = grad if saved.owned else grad.clone()
        mask_(grad, saved.bits)
        return (grad,)


@dataclass(frozen=True)
class Signed:
    """``function(x)``, element by element, whose gradient passes where x >= 0 and nowhere else (MobileTL, Table 2).

    ``function`` gives new memory.  Keeps one bit per element, where the true gradient of a smooth function would
    need x.  Not the derivative, and not meant to be.
    """

    function: Callable[[Tensor], Tensor]

    def shape(self, operands: Sequence[Shape]) -> Shape:
        return operands[0]

    def keeps(self, needs: Needs) -> Keeps:
        return Keeps(bits=needs[0])

    def forward(self, operands: Sequence[Tensor], bits: Tensor | None, inplace: bool) -> Tensor:
        x = operands[0]
        y = self.function(x)
        if bits is not None:
            kind = torch.finfo(x.dtype)
            # a bit is 0 at the bound or below, so the bound is the largest number that is not yet 0
            below = -kind.smallest_normal * kind.eps
            clamp_(x if inplace else x.clone(), below, math.inf, None, bits)
        return y

    def backward(self, grad: Tensor, saved: Saved) -> Grads:
        assert saved.bits is not None
        grad = grad if saved.owned else grad.clone()
        mask_(grad, saved.bits)
        return (grad,)


@dataclass(frozen=True)
class Affine:
    """``clamp((x - mean) · scale + shift)`` per channel: operands x (batched), mean, scale, shift (C,).

    A batch norm whose statistics are given (frozen ones, or those of the batch, `ops.statistics`), with
    the ReLU behind it.  Keeps x only where the scale trains, and one bit per element where it clamps.
    The mean is a separate operand because a sum of ``grad · x`` far from zero would lose digits that
    ``grad · (x - mean)`` has.
    """

    low: float = -math.inf
    high: float = math.inf

    def shape(self, operands: Sequence[Shape]) -> Shape:
        return operands[0]

    def keeps(self, needs: Needs) -> Keeps:
        clamps = (self.low, self.high) != (-math.inf, math.inf)
        return Keeps((0,) if needs[2] else (), bits=clamps and any(needs))

    def forward(self, operands: Sequence[Tensor], bits: Tensor | None, inplace: bool) -> Tensor:
        x, *vectors = operands
        mean, scale, shift = (vector.contiguous() for vector in vectors)
        y = x if inplace else torch.empty_like(x)
        affine_clamp(x, mean, scale, shift, y, self.low, self.high, bits)
        return y

    def backward(self, grad: Tensor, saved: Saved) -> Grads:
        x, mean, scale, _ = saved.operands
        assert mean is not None
        assert scale is not None
        to_x, to_mean, to_scale, to_shift = saved.needs
        grad = grad if saved.owned else grad.clone()
        total, slope = affine_grad_(
            grad,
            scale.contiguous() if to_x else None,
            x if to_scale else None,
            mean.contiguous() if to_scale else None,
            saved.bits,
            to_mean or to_shift,
        )
        return (
            grad if to_x else None,
            -(total * scale) if total is not None and to_mean else None,
            slope,
            total if to_shift else None,
        )


@dataclass(frozen=True)
class Shift:
    """``x + shift`` per channel: the bias of a convolution that is not fused.  Keeps nothing."""

    def shape(self, operands: Sequence[Shape]) -> Shape:
        return operands[0]

    def keeps(self, needs: Needs) -> Keeps:
        return Keeps()

    def forward(self, operands: Sequence[Tensor], bits: Tensor | None, inplace: bool) -> Tensor:
        return operands[0].add_(operands[1]) if inplace else operands[0] + operands[1]

    def backward(self, grad: Tensor, saved: Saved) -> Grads:
        return (grad if saved.needs[0] else None), (rows(grad).sum(0) if saved.needs[1] else None)


@dataclass(frozen=True)
class Add:
    """``a + b`` of one shape, both batched: a shortcut, a connector.  Keeps nothing."""

    def shape(self, operands: Sequence[Shape]) -> Shape:
        return operands[0]

    def keeps(self, needs: Needs) -> Keeps:
        return Keeps()

    def forward(self, operands: Sequence[Tensor], bits: Tensor | None, inplace: bool) -> Tensor:
        return operands[0].add_(operands[1]) if inplace else operands[0] + operands[1]

    def backward(self, grad: Tensor, saved: Saved) -> Grads:
        return (grad if saved.needs[0] else None), (grad if saved.needs[1] else None)


@dataclass(frozen=True)
class Multiply:
    """``x · gate``: maps (N, H, W, C) and a gate (N, 1, 1, C), or one shape.  Keeps what the other needs."""

    def shape(self, operands: Sequence[Shape]) -> Shape:
        return tuple(max(pair) for pair in zip(*operands, strict=True))

    def keeps(self, needs: Needs) -> Keeps:
        return Keeps(tuple(i for i in (0, 1) if needs[1 - i]))

    def forward(self, operands: Sequence[Tensor], bits: Tensor | None, inplace: bool) -> Tensor:
        return operands[0] * operands[1]

    def backward(self, grad: Tensor, saved: Saved) -> Grads:
        def to(i: int) -> Tensor | None:
            other = saved.operands[1 - i]
            if other is None or not saved.needs[i]:
                return None
            return (grad * other).sum_to_size(len(grad), *saved.shapes[i])

        return to(0), to(1)
