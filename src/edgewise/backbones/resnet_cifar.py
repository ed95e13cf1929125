"""ResNet-20, 32, 44, 56 for 32 px images (He et al., CVPR 2016, Section 4.2).

Parameter names are those of akamaster/pytorch_resnet_cifar10.  The shortcut is the paper's
option A, without parameters: every second pixel, and zeros for the channels that are new, half of
them before and half after.  Deviation: none.
"""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgewise.backbones.base import Family
from edgewise.backbones.blocks import conv2d, initialise
from edgewise.core.preprocess import Preprocess

CHANNELS = (16, 32, 64)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions; (N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = conv2d(inputs, outputs, 3, stride)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = conv2d(outputs, outputs, 3)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.stride, self.new = stride, outputs - inputs

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        before = self.new // 2
        shortcut = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, before, self.new - before))
        return F.relu(y + shortcut)


class CifarResNet(nn.Module):
    """Images (N, 3, 32, 32) to logits (N, classes); ``depth`` is 6n + 2."""

    def __init__(self, depth: int, classes: int = 10) -> None:
        super().__init__()
        self.conv1 = conv2d(3, CHANNELS[0], 3)
        self.bn1 = nn.BatchNorm2d(CHANNELS[0])
        blocks = (depth - 2) // 6
        self.layer1 = _stage(CHANNELS[0], CHANNELS[0], 1, blocks)
        self.layer2 = _stage(CHANNELS[0], CHANNELS[1], 2, blocks)
        self.layer3 = _stage(CHANNELS[1], CHANNELS[2], 2, blocks)
        self.linear = nn.Linear(CHANNELS[2], classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        logits: Tensor = self.linear(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))
        return logits


def _stage(inputs: int, outputs: int, stride: int, blocks: int) -> nn.Sequential:
    first = BasicBlock(inputs, outputs, stride)
    return nn.Sequential(first, *(BasicBlock(outputs, outputs, 1) for _ in range(blocks - 1)))


def _family(depth: int) -> Family:
    return Family(
        f"resnet{depth}",
        partial(CifarResNet, depth),
        f"ResNet-{depth} for CIFAR-sized images",
        "He et al., Deep Residual Learning, CVPR 2016",
        Preprocess(32),
        classes=10,
        head="linear",
        connectors=("layer2.0", "layer3.0", f"layer3.{(depth - 2) // 6 - 1}"),
    )


FAMILIES = tuple(_family(depth) for depth in (20, 32, 44, 56))
