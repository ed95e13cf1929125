"""ResNet-20, 32, 44, 56 for 32 px images (He et al., CVPR 2016, Section 4.2); Wide ResNet-32 of sparse training.

Parameter names are those of akamaster/pytorch_resnet_cifar10.  The shortcut is the paper's
option A, without parameters: every second pixel, and zeros for the channels that are new, half of
them before and half after.  Deviation: none.

``wrn32`` is the network of MEST (Yuan et al., NeurIPS 2021) and of alternating sparse training: ResNet-32, twice as
wide, where a 1x1 convolution and a norm (option B) make the new channels.  It is no WRN-d-k of Zagoruyko and
Komodakis, which normalises before its convolutions.
"""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgewise.backbones.base import Family
from edgewise.backbones.blocks import conv2d, initialise
from edgewise.core.preprocess import Preprocess

Channels = tuple[int, int, int]
CHANNELS: Channels = (16, 32, 64)
WIDE: Channels = (32, 64, 128)
DEPTHS = (20, 32, 44, 56)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions; (N, inputs, H, W) to (N, outputs, H / stride, W / stride), by option A."""

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


class ProjectedBlock(nn.Module):
    """The same with option B: a 1x1 convolution and a norm wherever the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = conv2d(inputs, outputs, 3, stride)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = conv2d(outputs, outputs, 3)
        self.bn2 = nn.BatchNorm2d(outputs)
        same = stride == 1 and inputs == outputs
        projection = () if same else (conv2d(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))
        self.shortcut = nn.Sequential(*projection)

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + self.shortcut(x))


class CifarResNet(nn.Module):
    """Images (N, 3, 32, 32) to logits (N, classes); ``depth`` is 6n + 2, ``channels`` those of the three stages."""

    def __init__(
        self,
        depth: int,
        classes: int = 10,
        channels: Channels = CHANNELS,
        block: type[BasicBlock | ProjectedBlock] = BasicBlock,
    ) -> None:
        super().__init__()
        first, second, third = channels
        self.conv1 = conv2d(3, first, 3)
        self.bn1 = nn.BatchNorm2d(first)
        blocks = (depth - 2) // 6
        self.layer1 = _stage(block, first, first, 1, blocks)
        self.layer2 = _stage(block, first, second, 2, blocks)
        self.layer3 = _stage(block, second, third, 2, blocks)
        self.linear = nn.Linear(third, classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        logits: Tensor = self.linear(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))
        return logits


def _stage(
    block: type[BasicBlock | ProjectedBlock], inputs: int, outputs: int, stride: int, blocks: int
) -> nn.Sequential:
    first = block(inputs, outputs, stride)
    return nn.Sequential(first, *(block(outputs, outputs, 1) for _ in range(blocks - 1)))


def _family(name: str, depth: int, build: Callable[..., nn.Module], title: str, paper: str) -> Family:
    connectors = ("layer2.0", "layer3.0", f"layer3.{(depth - 2) // 6 - 1}")
    description = f"{title} for CIFAR-sized images"
    return Family(name, build, description, paper, Preprocess(32), classes=10, head="linear", connectors=connectors)


HE = "He et al., Deep Residual Learning, CVPR 2016"
FAMILIES = (
    *(_family(f"resnet{depth}", depth, partial(CifarResNet, depth), f"ResNet-{depth}", HE) for depth in DEPTHS),
    _family(
        "wrn32",
        32,
        partial(CifarResNet, 32, channels=WIDE, block=ProjectedBlock),
        "Wide ResNet-32, twice as wide,",
        "Yuan et al., MEST, NeurIPS 2021",
    ),
)
