"""An activation whose backward pass is a sign (Chiang et al., MobileTL, AAAI 2023, Table 2), and what that may cost.

The forward pass is the activation's own; the gradient passes where its input is at least 0:

    y = act(x),    dL/dx = dL/dy * 1[x >= 0]

so one bit an element waits for the backward pass, where ReLU6 takes two by the paper's count and hard-swish
32.  ReLU needs no such layer: its own gradient is this mask, apart from inputs that are exactly 0.
"""

import copy
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

APPROXIMATED = (nn.Hardtanh, nn.Hardswish, nn.SiLU)
"""What is approximated: ReLU6 (a hard-tanh) and hard-swish as in the paper, and SiLU, which hard-swish stands for."""
GATES = (nn.Hardsigmoid, nn.Sigmoid)
"""A squeeze-and-excitation's gate.  The sign is a poor likeness: the true slope of a hard-sigmoid is 1/6, not 1."""
STEEPEST = 1.5
"""The largest slope of hard-swish, at x = 3, where the signed one has 1."""


class SignedActivation(nn.Module):
    """``activation`` with a signed backward pass; the same shape in and out.

    Merging puts the activation itself back (`edgewise.core.surgery.Folds`).
    """

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = _SignedGradient.apply(x, self.function())  # type: ignore[no-untyped-call]
        return y

    def function(self) -> Callable[[Tensor], Tensor]:
        """The activation as a function that never overwrites its input."""
        twin = copy.copy(self.activation)
        if "inplace" in vars(twin):
            vars(twin)["inplace"] = False
        return twin.forward

    def folded(self) -> nn.Module:
        return self.activation


class _SignedGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.save_for_backward(x >= 0)
        return function(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (passes,) = ctx.saved_tensors
        return grad * passes, None


def loss_distance_bound(
    rate: float, lipschitz: float, steps: int, gradient: float, layers: int, elements: int
) -> float:
    """Theorem 1 of MobileTL: how far signed training can take the loss from exact training.

        |F(W~) - F(W)|  <=  rate * M * T * G * (sum_{l=1..L} psi^l + sum_{l=1..L} psi~^l),
        psi = 3/2 * sqrt(N) * G,   psi~ = sqrt(N) * G

    after ``steps`` T from the same weights.  The paper writes the sums as psi (1 - psi^L) / (1 - psi), which has no
    value at psi = 1; the sums themselves do.

    Assumptions, all of them the paper's:

    - plain gradient descent with the constant learning rate ``rate``: no momentum, no Adam;
    - a chain of ``layers`` L hard-swish layers trains and nothing else (no norms, no shortcuts, which add paths);
    - F is Lipschitz in the weights: |F(W) - F(V)| <= ``lipschitz`` M * ||W - V||_2 over the weights that are met;
    - ``gradient`` G bounds the magnitudes of gradients.  The paper does not say which; its proof is in a
      supplement that we could not get.  The bound holds when G is at least the norm of the loss's gradient at
      the last layer's output *and* each layer's own factor without the activation is at most sqrt(N) * G: of its
      output by its input, and of its output by its weights;
    - ``elements`` N bounds the numbers in a layer's output.

    Then layer l's gradient is at most G psi^(L - l + 1) (psi~ for the signed slope, which is at most 1), T steps
    move the weights at most rate * T * G * (sum of these) either way, and the triangle inequality through the
    common start gives the sum.  So it bounds how far *both* trainings move, not how they differ: it grows with
    psi^L and is astronomically loose for real layers; it says something only where psi < 1.

    Raises `OverflowError` where the sums leave the range of floats.
    """
    psi, signed = (slope * math.sqrt(elements) * gradient for slope in (STEEPEST, 1.0))
    paths = math.fsum(math.pow(psi, power) + math.pow(signed, power) for power in range(1, layers + 1))
    return rate * lipschitz * steps * gradient * paths
