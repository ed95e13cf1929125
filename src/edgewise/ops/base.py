"""What an op is: one step on a few images, with a backward pass that keeps as little as it can.

Maps are channels last, (N, H, W, C), vectors (N, C).  An op's operands are *batched* (they have the
images' dimension) or *shared* (weights, scales, offsets; the same for every image).  Ops do not mix
images, so a batch may be taken in pieces, forward and backward, with the same result.

An op declares beside its backward pass what that pass needs.  Who calls it (`edgewise.ops.program`)
stores exactly this, or computes it again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

Shape = tuple[int, ...]
Needs = tuple[bool, ...]
Grads = tuple[Tensor | None, ...]


@dataclass(frozen=True)
class Keeps:
    """What a backward pass reads: batched operands, whole, and one bit per element of the result."""

    operands: tuple[int, ...] = ()
    bits: bool = False


@dataclass(frozen=True)
class Saved:
    """What a backward pass is given besides the gradient of the result.

    Of the batched ``operands`` only those are there that `Op.keeps` names; ``shapes`` are those of
    one image; ``needs`` marks the operands whose gradients are wanted; an ``owned`` gradient may be
    overwritten.
    """

    operands: Sequence[Tensor | None]
    shapes: Sequence[Shape]
    bits: Tensor | None
    needs: Needs
    owned: bool


class Op(Protocol):
    """The contract; ``tests/ops`` checks every member against plain torch."""

    def shape(self, operands: Sequence[Shape]) -> Shape:
        """Shape of the result for one image; batched operands come without N, shared ones whole."""

    def keeps(self, needs: Needs) -> Keeps:
        """What `backward` will read when the operands marked in ``needs`` want gradients."""

    def forward(self, operands: Sequence[Tensor], bits: Tensor | None, inplace: bool) -> Tensor:
        """The result; fills ``bits`` where given; may overwrite the first operand if ``inplace``."""

    def backward(self, grad: Tensor, saved: Saved) -> Grads:
        """Gradients of the wanted operands; a shared operand's is this piece's share."""


def rows(x: Tensor) -> Tensor:
    """(N, H, W, C) or (N, C) as (pixels, C), without a copy."""
    return x.reshape(-1, x.shape[-1])


def as_maps(x: Tensor) -> Tensor:
    """(N, H, W, C) seen as torch's (N, C, H, W); others as they are."""
    return x.permute(0, 3, 1, 2) if x.ndim == 4 else x


def as_rows(x: Tensor) -> Tensor:
    """torch's (N, C, H, W) as contiguous (N, H, W, C); others contiguous."""
    return (x.permute(0, 2, 3, 1) if x.ndim == 4 else x).contiguous()
