"""A frozen convolution whose weight is multiplied by a learned binary mask.

Real-valued scores are trained; a score at its threshold or above keeps its part of the weight, one below
makes it zero.  The step has no useful slope, so the backward pass puts another in its place
(straight-through):

    granularity  one score for  shape             threshold  slope in place of the step's
    weight       each weight    as the weight     5e-3       1 (Piggyback: Mallya et al., ECCV 2018)
    kernel       each kernel    (O, I / g, 1, 1)  0          that of sigmoid(120 · score) (Rep-Net's released code)

Scores start at 0.01, so at first every weight is what it was, bit for bit.  Deviation from Rep-Net's
released code: it multiplies scores by 1200 and divides by a temperature of 10, and has an option for
noise that is never on; here it is one factor, 120.  Weights are not standardised first: put onto weights
that were trained without, that changes the network before anything is learned.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

Granularity = Literal["kernel", "weight"]
START = 0.01


@dataclass(frozen=True)
class Step:
    """Where the step from 0 to 1 is, and the factor in the sigmoid whose slope stands for its own; None: slope 1."""

    threshold: float
    sharpness: float | None


STEPS: dict[Granularity, Step] = {"kernel": Step(0.0, 120.0), "weight": Step(5e-3, None)}


def masked(weight: Tensor, scores: Tensor, step: Step) -> Tensor:
    """``weight`` (O, I / g, k, k) where ``scores``, of its shape or (O, I / g, 1, 1), reach the threshold; else 0.

    Keeps nothing for the backward pass but its two arguments, which exist anyway.
    """
    result: Tensor = _Masked.apply(weight, scores, step)  # type: ignore[no-untyped-call]
    return result


class _Masked(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, scores: Tensor, step: Step) -> Tensor:
        ctx.save_for_backward(weight, scores)
        ctx.step = step
        return weight.masked_fill(scores < step.threshold, 0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        (weight, scores), step = ctx.saved_tensors, ctx.step
        to_weight = grad.masked_fill(scores < step.threshold, 0) if ctx.needs_input_grad[0] else None
        if not ctx.needs_input_grad[1]:
            return to_weight, None, None
        to_scores = (grad * weight).sum_to_size(scores.shape)
        if step.sharpness is not None:
            soft = torch.sigmoid(step.sharpness * scores)
            to_scores = to_scores * (step.sharpness * soft * (1 - soft))
        return to_weight, to_scores, None


class MaskedConv2d(nn.Conv2d):
    """``nn.Conv2d`` that convolves with its masked weight.

    Parameters are ``weight`` and ``bias`` as before, and ``mask_scores``.  It is made from a layer that is
    there already, by `put_mask`.
    """

    plain: ClassVar[type[nn.Conv2d]] = nn.Conv2d
    mask_scores: nn.Parameter
    granularity: Granularity

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        y: Tensor = super()._conv_forward(input, masked(weight, self.mask_scores, STEPS[self.granularity]), bias)
        return y

    def masked_weight(self) -> Tensor:
        """The weight that the layer computes with."""
        return masked(self.weight, self.mask_scores, STEPS[self.granularity])

    def kept(self) -> Tensor:
        """Which kernels (O, I / g, 1, 1), or which weights, the mask keeps: booleans of the scores' shape."""
        return self.mask_scores.detach() >= STEPS[self.granularity].threshold

    def folded(self) -> nn.Conv2d:
        """A plain convolution with the masked weight: zeros take no mask."""
        layer = self.plain(
            self.in_channels,
            self.out_channels,
            self.kernel_size,  # type: ignore[arg-type]
            self.stride,  # type: ignore[arg-type]
            self.padding,  # type: ignore[arg-type]
            self.dilation,  # type: ignore[arg-type]
            self.groups,
            self.bias is not None,
            self.padding_mode,
            device="meta",  # its own weight is thrown away at once
        )
        layer.weight = nn.Parameter(self.masked_weight().detach(), requires_grad=False)
        layer.bias = self.bias
        return layer.train(self.training)


def put_mask(layer: nn.Conv2d, kind: type[MaskedConv2d], granularity: Granularity) -> None:
    """Make ``layer``, of the class ``kind.plain``, a ``kind``: where it stands, with its names, weights and hooks."""
    assert type(layer) is kind.plain, f"{type(layer).__name__} is not {kind.plain.__name__}"
    shape = layer.weight.shape if granularity == "weight" else (*layer.weight.shape[:2], 1, 1)
    layer.__class__ = kind
    assert isinstance(layer, MaskedConv2d)
    layer.granularity = granularity
    layer.mask_scores = nn.Parameter(layer.weight.new_full(shape, START, requires_grad=False))
