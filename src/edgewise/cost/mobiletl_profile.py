"""A training step as MobileTL's profiler counts it (Chiang et al., AAAI 2023): stored activations, FLOPs.

The profiler was not released; these are rules that give the paper's numbers, as far as they can be given.
They follow the functions that a forward pass calls, and autograd's own knowledge of where a gradient passes.

**Stored activations** (Tables 1 and 2, Figure 1), all that waits for the backward pass, in bits an element:

    convolution, linear            its input, 32, if its weight trains
    batch norm, group norm         its input, 32, if its scale trains
    ReLU 1, ReLU6 2, signed 1      of its input, if a gradient passes
    hard-swish, SiLU and gates 32  of its input, if a gradient passes
    product                        its larger factor, 32, if a gradient passes
    sum, pooling                   nothing

Table 1 gives 0.306, 0.913 and 1.362 MB with ReLU6 at one bit; Figure 1 gives 46.3 % with Table 2's two.
Figure 1's 53.3 % comes out as 53.4.  What a norm with batch statistics and a frozen scale needs is left out, as
is a product's smaller factor (a gate of one pixel).

**FLOPs** (Table 3).  The paper: every operation is one FLOP.  Ours: 2 for a multiply-add, forward and in each of
the two gradients; then an element of the result costs

    batch norm, given statistics   4 forward; backward 2 for its input, 4 for its scale, 1 for its shift
    batch norm, batch statistics   7 forward; backward 11 for its input, 2 for its scale, 1 for its shift
    ReLU, ReLU6                    1 forward, 1 backward
    hard-swish                     4 forward, 9 backward (signed: 1)
    hard-sigmoid                   3 forward, 2 backward
    sum 1 forward; product 1 forward, 1 and 2 backward (of map and gate); bias 1 and 1; pooling 1 and 1 of its input

(Given statistics: Eq. 1 and 2, where the input's gradient is a product with the scale and a division by the
deviation.  Batch statistics: the equations of Ioffe and Szegedy, 2015, x - mean computed once each way, without the
term that is always 0.  Hard-swish: Table 2.)  The loss and the optimizer are left out.
This gives MobileNetV3-Small's 129.7 MB of Figure 4 to the digit.  Of the FLOPs, FT-Last, FT-3BLKs and
Table 1 are met to 0.2 %; FT-Bias, FT-BN and FT-All lie 0.3 to 0.6 % below (26 to 70 million in 8 images, which
no whole number of operations an element explains), Figure 4's backward pass 0.9 %.
`tests/cost/test_mobiletl_profile.py` has every number.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from edgewise.cost.shapes import on_fewest_images
from edgewise.layers.signed_activation import SignedActivation

FLOAT_BITS = 32
WEIGHTED = {"conv2d", "linear"}
NORMS = {"batch_norm": 3, "group_norm": 2}  # the place of their scale among the arguments
# Activations by function: bits of an element that wait for the backward pass, FLOPs forward, FLOPs backward.
ACTIVATIONS = {
    **dict.fromkeys(("relu", "relu_", "leaky_relu"), (1, 1, 1)),
    **dict.fromkeys(("hardswish", "silu"), (FLOAT_BITS, 4, 9)),
    **dict.fromkeys(("hardsigmoid", "sigmoid"), (FLOAT_BITS, 3, 2)),
}
CLAMPS = {"relu6", "hardtanh", "hardtanh_"}
SUMS = {"add", "add_", "__add__", "__radd__", "__iadd__"}
PRODUCTS = {"mul", "mul_", "__mul__", "__rmul__", "__imul__"}
POOLS = {"adaptive_avg_pool2d", "avg_pool2d", "mean"}


@dataclass(frozen=True)
class Profile:
    """Of one training step on a batch: operations, and bytes of activations that wait for the backward pass."""

    forward_flops: int
    backward_flops: int
    stored_bytes: int

    @property
    def flops(self) -> int:
        """What Tables 1 and 3 print."""
        return self.forward_flops + self.backward_flops


def profile(model: nn.Module, batch: tuple[int, int, int, int], inside: bool = False, relu6_bits: int = 2) -> Profile:
    """The profile of training ``model`` on inputs of shape ``batch`` (N, C, H, W).

    What trains is read from ``requires_grad``, which norms take batch statistics from their mode; the model
    comes back as it was.  ``inside`` is for a part of a network whose input wants a gradient too.
    ``relu6_bits`` is 2 in the paper's Table 2, 1 in its Table 1.
    """
    count = on_fewest_images(lambda images: _counted(model, (images, *batch[1:]), inside, relu6_bits))
    images = batch[0]
    return Profile(images * count.forward, images * count.backward, math.ceil(images * count.bits / 8))


def _counted(model: nn.Module, batch: tuple[int, int, int, int], inside: bool, relu6_bits: int) -> "_Count":
    modules = list(model.modules())
    modes = [module.training for module in modules]
    count = _Count(relu6_bits, {id(m.weight) for m in modules if isinstance(m, nn.BatchNorm2d) and m.training})
    signed = [module for module in modules if isinstance(module, SignedActivation)]
    handles = [m.register_forward_pre_hook(count.enter) for m in signed]
    handles += [m.register_forward_hook(count.leave) for m in signed]
    substitutes = [(vars(m), vars(m).pop("forward")) for m in modules if "forward" in vars(m)]
    like = next((p for p in model.parameters() if p.is_floating_point()), torch.zeros(()))
    try:
        model.eval()
        with torch.enable_grad(), count:
            model(torch.zeros(batch, dtype=like.dtype, device=like.device, requires_grad=inside))
    finally:
        for handle in handles:
            handle.remove()
        for own, forward in substitutes:
            own["forward"] = forward
        for module, training in zip(modules, modes, strict=True):
            module.training = training
    return count


class _Count(TorchFunctionMode):
    """Adds up what one image takes, call by call."""

    def __init__(self, relu6_bits: int, batch_statistics: set[int]) -> None:
        super().__init__()
        self.forward = self.backward = self.bits = 0
        self._activations = {**ACTIVATIONS, **dict.fromkeys(CLAMPS, (relu6_bits, 1, 1))}
        self._batch_statistics = batch_statistics  # ids of scales
        self._in_signed = False

    def enter(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        self._in_signed = True

    def leave(self, module: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
        self._in_signed = False
        if args[0].requires_grad:
            self.bits += _elements(args[0])
            self.backward += _elements(args[0])

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs, name = kwargs or {}, func.__name__
        given = [value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)]
        needs = [tensor.requires_grad for tensor in given]
        output = func(*args, **kwargs)
        if not given or not isinstance(output, Tensor):
            return output
        if name in WEIGHTED:
            self._weighted(given, needs, output)
        elif name in NORMS:
            place = NORMS[name]
            own = (*args[place : place + 2], kwargs.get("weight"), kwargs.get("bias"))
            scale, shift = [tensor for tensor in own if isinstance(tensor, Tensor)] or (None, None)
            self._norm(given[0], needs[0], scale, shift)
        elif name in self._activations:
            bits, forward, backward = self._activations[name]
            size = _elements(given[0])
            self.forward += forward * size
            if needs[0] and not self._in_signed:
                self.bits += bits * size
                self.backward += backward * size
        elif name in SUMS and len(given) == 2:
            self.forward += _elements(output)
        elif name in PRODUCTS and len(given) == 2:
            self.forward += _elements(output)
            self.bits += FLOAT_BITS * max(map(_elements, given)) * any(needs)
            for tensor, need in zip(given, needs, strict=True):
                self.backward += need * _elements(output) * (1 if tensor.shape == output.shape else 2)
        elif name in POOLS:
            self.forward += _elements(given[0])
            self.backward += needs[0] * _elements(given[0])
        return output

    def _weighted(self, given: Sequence[Tensor], needs: Sequence[bool], output: Tensor) -> None:
        size, weight = _elements(output), given[1]
        multiplies = 2 * size * math.prod(weight.shape[1:])
        self.forward += multiplies + size * (len(given) > 2)
        self.backward += multiplies * sum(needs[:2]) + size * sum(needs[2:])
        self.bits += FLOAT_BITS * _elements(given[0]) * needs[1]

    def _norm(self, x: Tensor, passes: bool, scale: Tensor | None, shift: Tensor | None) -> None:
        size, of_batch = _elements(x), id(scale) in self._batch_statistics
        scale_trains = scale is not None and scale.requires_grad
        shift_trains = shift is not None and shift.requires_grad
        self.forward += size * (7 if of_batch else 4)
        costs = (11, 2, 1) if of_batch else (2, 4, 1)
        self.backward += size * sum(
            cost for cost, need in zip(costs, (passes, scale_trains, shift_trains), strict=True) if need
        )
        self.bits += FLOAT_BITS * size * scale_trains


def _elements(tensor: Tensor) -> int:
    """Of one image: all but the first dimension."""
    return math.prod(tensor.shape[1:])
