"""Any torch function of one map: smooth activations, pools, resizing, padding, slicing.

A *linear* function (an average pool, a resize, zero padding) needs nothing of its input for the
backward pass, only the shape: stock torch keeps the whole input of an average pool all the same.
A smooth one (hard-swish, sigmoid, group norm) needs its whole input.  The gradient is torch's own.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from edgewise.ops.base import Grads, Keeps, Needs, Saved, Shape, as_maps, as_rows

Function = Callable[..., Tensor]


@dataclass(frozen=True)
class Mapped:
    """``function(x, *shared)``: operand x (batched) as torch sees it, (N, C, H, W), then shared tensors.

    ``function`` treats every image alike and on its own; ``linear`` promises that it is linear in x and
    the shared tensors together, without products of them: no gradient needs a value.
    """

    function: Function
    linear: bool = False

    def shape(self, operands: Sequence[Shape]) -> Shape:
        with torch.no_grad():
            # a batch of none: all of the shape, none of the work
            result = self.function(as_maps(torch.empty(0, *operands[0])), *(torch.empty(s) for s in operands[1:]))
        return tuple((result.permute(0, 2, 3, 1) if result.ndim == 4 else result).shape[1:])

    def keeps(self, needs: Needs) -> Keeps:
        return Keeps(() if self.linear or not any(needs) else (0,))

    def forward(self, operands: Sequence[Tensor], bits: Tensor | None, inplace: bool) -> Tensor:
        x = operands[0]
        y = as_rows(self.function(as_maps(x), *operands[1:]))
        if y.untyped_storage()._cdata != x.untyped_storage()._cdata:
            return y
        # A view: the next op may overwrite it, and x with it; a part of x would keep all of x.
        return y if inplace and y.numel() == x.numel() else y.clone()

    def backward(self, grad: Tensor, saved: Saved) -> Grads:
        x = saved.operands[0]
        if x is None:
            x = grad.new_zeros(()).expand(len(grad), *saved.shapes[0])
        # x is asked always: torch's group norm of channels-last maps crashes where only its weight is.
        asked = (True, *saved.needs[1:])
        leaves = [
            tensor.detach().requires_grad_(ask) for tensor, ask in zip((x, *saved.operands[1:]), asked, strict=True)
            if tensor is not None
        ]  # fmt: skip
        with torch.enable_grad():
            # a number to differentiate: given a tensor's gradient, torch loads the compiler's libraries
            total = (self.function(as_maps(leaves[0]), *leaves[1:]) * as_maps(grad)).sum()
        wanted = [leaf for leaf, ask in zip(leaves, asked, strict=True) if ask]
        found = iter(torch.autograd.grad(total, wanted))
        grads = tuple(next(found) if ask else None for ask in asked)
        return (grads[0].contiguous() if saved.needs[0] and grads[0] is not None else None), *grads[1:]
