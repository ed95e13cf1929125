"""ResNet-18 and 50 for photos (He et al., CVPR 2016, Table 1).

Parameter names are torchvision's, so its checkpoints load as they are.  Deviation from the paper,
as in torchvision ("v1.5"): a bottleneck that halves the resolution does so in its 3x3 convolution,
not in its first 1x1.  The CIFAR networks of the paper are in ``resnet_cifar.py``.
"""

from collections.abc import Sequence
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn

from edgewise.backbones.base import Family
from edgewise.backbones.blocks import conv2d, initialise
from edgewise.core.preprocess import Preprocess

STEM, CHANNELS = 64, (64, 128, 256, 512)
FIRST = ("layer1.0", "layer2.0", "layer3.0", "layer4.0")


class BasicBlock(nn.Module):
    """Two 3x3 convolutions; (N, inputs, H, W) to (N, channels, H / stride, W / stride)."""

    expansion: ClassVar[int] = 1

    def __init__(self, inputs: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = conv2d(inputs, channels, 3, stride)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv2 = conv2d(channels, channels, 3)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = _shortcut(inputs, channels, stride)
        self.relu2 = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu1(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        out: Tensor = self.relu2(y + self.downsample(x))
        return out


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions; (N, inputs, H, W) to (N, 4 channels, H / stride, W / stride)."""

    expansion: ClassVar[int] = 4

    def __init__(self, inputs: int, channels: int, stride: int) -> None:
        super().__init__()
        outputs = channels * self.expansion
        self.conv1 = conv2d(inputs, channels, 1)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv2 = conv2d(channels, channels, 3, stride)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu2 = nn.ReLU(inplace=True)
        self.conv3 = conv2d(channels, outputs, 1)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample = _shortcut(inputs, outputs, stride)
        self.relu3 = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu1(self.bn1(self.conv1(x)))
        y = self.relu2(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        out: Tensor = self.relu3(y + self.downsample(x))
        return out


class ResNet(nn.Module):
    """Images (N, 3, H, W) to logits (N, classes); ``depths`` are the blocks of the four layers."""

    def __init__(self, block: type[BasicBlock | Bottleneck], depths: Sequence[int], classes: int = 1000) -> None:
        super().__init__()
        self.conv1 = conv2d(3, STEM, 7, 2)
        self.bn1 = nn.BatchNorm2d(STEM)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        layers, inputs = [], STEM
        for channels, depth in zip(CHANNELS, depths, strict=True):
            outputs = channels * block.expansion
            first = block(inputs, channels, 1 if channels == STEM else 2)
            layers.append(nn.Sequential(first, *(block(outputs, channels, 1) for _ in range(depth - 1))))
            inputs = outputs
        self.layer1, self.layer2, self.layer3, self.layer4 = layers
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(inputs, classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        logits: Tensor = self.fc(torch.flatten(self.avgpool(x), 1))
        return logits


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Module:
    if stride == 1 and inputs == outputs:
        return nn.Identity()
    return nn.Sequential(conv2d(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))


def _family(
    depth: int, block: type[BasicBlock | Bottleneck], depths: Sequence[int], changing: Sequence[str], what: str
) -> Family:
    return Family(
        f"resnet{depth}",
        partial(ResNet, block, depths),
        f"ResNet-{depth} for photos: {what}",
        "He et al., Deep Residual Learning, CVPR 2016",
        Preprocess(224),
        classes=1000,
        head="fc",
        connectors=("maxpool", *changing),
    )


# Rep-Net was published on ResNet-50; the points of ResNet-18, whose first layer changes no shape, follow from its rule.
FAMILIES = (
    _family(18, BasicBlock, (2, 2, 2, 2), (*FIRST[1:], "layer4.1"), "two convolutions a block"),
    _family(50, Bottleneck, (3, 4, 6, 3), (*FIRST, "layer4.2"), "bottlenecks, the usual yardstick"),
)
