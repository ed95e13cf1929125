"""Building blocks that several families share.

Padding is a property of a convolution here, not a patch applied afterwards: ``"torch"`` pads
``k // 2`` on both sides, ``"tf-same"`` pads as TensorFlow does (an even-sized input of a stride-2
convolution gets nothing before and one row after).  Weights trained with one lose accuracy
under the other, so a weight file says which.
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Padding = Literal["torch", "tf-same"]


def make_divisible(channels: float, divisor: int = 8) -> int:
    """Round ``channels`` to a multiple of ``divisor`` without losing more than 10 % of them."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


class SameConv2d(nn.Conv2d):
    """A convolution with TensorFlow's SAME padding, which depends on the input's size.

    For stride 1 and odd kernels it equals ``nn.Conv2d(padding=k // 2)``; `conv2d` therefore uses
    it only where they differ.  Parameter names are those of ``nn.Conv2d``.
    """

    def forward(self, input: Tensor) -> Tensor:
        top, bottom, left, right = self.same_padding(*input.shape[-2:])
        padded = F.pad(input, (left, right, top, bottom))
        y: Tensor = self._conv_forward(padded, self.weight, self.bias)
        return y

    def same_padding(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Zeros (top, bottom, left, right) for an input of this size."""
        (stride_h, stride_w), (kernel_h, kernel_w) = self.stride, self.kernel_size
        pad_h = max((-(-height // stride_h) - 1) * stride_h + kernel_h - height, 0)
        pad_w = max((-(-width // stride_w) - 1) * stride_w + kernel_w - width, 0)
        return pad_h // 2, pad_h - pad_h // 2, pad_w // 2, pad_w - pad_w // 2


def conv2d(
    inputs: int,
    outputs: int,
    kernel: int,
    stride: int = 1,
    groups: int = 1,
    padding: Padding = "torch",
) -> nn.Conv2d:
    """A bias-free convolution that keeps (stride 1) or divides (stride s) the resolution."""
    if padding == "tf-same" and stride > 1:
        return SameConv2d(inputs, outputs, kernel, stride, 0, groups=groups, bias=False)
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)


class ConvNormAct(nn.Sequential):
    """Convolution, batch norm, ReLU6: children ``0``, ``1``, ``2`` (torchvision's names)."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        padding: Padding = "torch",
        bn_eps: float = 1e-5,
    ) -> None:
        super().__init__(
            conv2d(inputs, outputs, kernel, stride, groups, padding),
            nn.BatchNorm2d(outputs, eps=bn_eps),
            nn.ReLU6(inplace=True),
        )


class ConvBnAct(nn.Sequential):
    """Convolution, batch norm and, unless ``act`` is false, ReLU6: children ``conv``, ``bn``, ``act``.

    The same function as `ConvNormAct` under the names of MIT's networks.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        padding: Padding = "torch",
        bn_eps: float = 1e-5,
        act: bool = True,
    ) -> None:
        layers: dict[str, nn.Module] = {
            "conv": conv2d(inputs, outputs, kernel, stride, groups, padding),
            "bn": nn.BatchNorm2d(outputs, eps=bn_eps),
        }
        if act:
            layers["act"] = nn.ReLU6(inplace=True)
        super().__init__(OrderedDict(layers))


class InvertedResidual(nn.Module):
    """MobileNetV2's block: expand 1x1, depthwise KxK, project 1x1, shortcut where shapes allow.

    Input (N, inputs, H, W), output (N, outputs, H / stride, W / stride).  Without expansion
    (``expand=1``) the first convolution is left out.  Parameter names are torchvision's.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 3,
        stride: int = 1,
        expand: int = 6,
        padding: Padding = "torch",
        bn_eps: float = 1e-5,
    ) -> None:
        super().__init__()
        hidden = inputs * expand
        layers: list[nn.Module] = []
        if expand != 1:
            layers.append(ConvNormAct(inputs, hidden, 1, bn_eps=bn_eps))
        layers += [
            ConvNormAct(hidden, hidden, kernel, stride, hidden, padding, bn_eps),
            conv2d(hidden, outputs, 1),
            nn.BatchNorm2d(outputs, eps=bn_eps),
        ]
        self.conv = nn.Sequential(*layers)
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x)
        return x + y if self.shortcut else y


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Inside, the CPU's random numbers follow ``seed``; afterwards they go on as if nothing had been."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def initialise(module: nn.Module, zero_last: Sequence[nn.BatchNorm2d] = ()) -> None:
    """He initialisation (fan-out) of convolutions, N(0, 0.01) of linears, as torchvision does."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out")
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, nn.Linear):
            nn.init.normal_(part.weight, 0, 0.01)
            nn.init.zeros_(part.bias)
    for norm in zero_last:
        nn.init.zeros_(norm.weight)
