"""The small two-convolution block that writes into a backbone: Rep-Net's module, TinyTL's lite residual.

Average pool, K x K convolution (``groups``), norm, ReLU, 1 x 1 convolution, norm, bilinear resize
to the size of the feature it is added to (Rep-Net, Section 3.2; TinyTL, Section 3.3).
"""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgewise.layers.resampling import Resize, Squeeze
from edgewise.layers.weight_standardised import StandardisedConv2d

Norm = Literal["batch", "group"]
NORM_EPS = 1e-3


def norm_layer(channels: int, kind: Norm) -> nn.Module:
    """Batch norm, or group norm with 8 channels a group (the largest divisor below where 8 does not divide)."""
    if kind == "batch":
        return nn.BatchNorm2d(channels, eps=NORM_EPS)
    width = next(w for w in range(8, 0, -1) if channels % w == 0)
    return nn.GroupNorm(channels // width, channels, eps=NORM_EPS)


class SideModule(nn.Module):
    """Feature (N, inputs, H, W) and a target size to (N, outputs, *size).

    ``pool`` is the side of the average pool, ``stride`` that of the first convolution; ``zero``
    starts the last norm's scale at 0, so that the output is exactly 0 until training moves it.
    Without ``trains_last_shift`` the last norm's shift is a buffer, not a parameter: for a feature
    whose own shift trains, which can say all that this one can.
    """

    def __init__(
        self,
        inputs: int,
        middle: int,
        outputs: int,
        kernel: int = 5,
        pool: int = 2,
        groups: int = 2,
        norm: Norm = "batch",
        weight_standard: bool = True,
        zero: bool = True,
        stride: int = 1,
        trains_last_shift: bool = True,
    ) -> None:
        super().__init__()
        conv = StandardisedConv2d if weight_standard else nn.Conv2d
        self.squeeze = Squeeze(pool)
        self.conv1 = conv(inputs, middle, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.norm1 = norm_layer(middle, norm)
        self.conv2 = conv(middle, outputs, 1, bias=False)
        self.norm2 = norm_layer(outputs, norm)
        self.resize = Resize()
        for layer, channels in ((self.conv1, middle), (self.conv2, outputs)):
            nn.init.normal_(layer.weight, 0, math.sqrt(2 / (layer.kernel_size[0] ** 2 * channels)))
        if zero:
            for scale in (p for name, p in self.norm2.named_parameters() if name == "weight"):
                nn.init.zeros_(scale)
        if not trains_last_shift:
            del self.norm2.bias
            self.norm2.register_buffer("bias", torch.zeros(outputs))

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        x = F.relu(self.norm1(self.conv1(self.squeeze(x))), inplace=True)
        resized: Tensor = self.resize(self.norm2(self.conv2(x)), size)
        return resized
