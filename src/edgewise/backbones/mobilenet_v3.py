"""MobileNetV3, small and large (Howard et al., ICCV 2019, Tables 1 and 2), any width multiplier.

Parameter names are torchvision's, so its checkpoints load as they are, and so are three choices that
the paper leaves open: every width is rounded, the last 1x1 convolution has six times the channels
of the last block, and the squeeze has a quarter of the expanded ones.  Deviation: none in the
function; padding and the norms' epsilon are options because Google's weights need TensorFlow's.
"""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from edgewise.backbones.base import Family
from edgewise.backbones.blocks import Padding, conv2d, initialise, make_divisible
from edgewise.core.preprocess import Preprocess

Act = type[nn.ReLU] | type[nn.Hardswish]
RE, HS = nn.ReLU, nn.Hardswish

# (kernel, expanded channels, channels, squeeze and excitation, activation, stride)
Row = tuple[int, int, int, bool, Act, int]
LARGE: tuple[Row, ...] = (
    (3, 16, 16, False, RE, 1),
    (3, 64, 24, False, RE, 2), (3, 72, 24, False, RE, 1),
    (5, 72, 40, True, RE, 2), (5, 120, 40, True, RE, 1), (5, 120, 40, True, RE, 1),
    (3, 240, 80, False, HS, 2), (3, 200, 80, False, HS, 1), (3, 184, 80, False, HS, 1), (3, 184, 80, False, HS, 1),
    (3, 480, 112, True, HS, 1), (3, 672, 112, True, HS, 1),
    (5, 672, 160, True, HS, 2), (5, 960, 160, True, HS, 1), (5, 960, 160, True, HS, 1),
)  # fmt: skip
SMALL: tuple[Row, ...] = (
    (3, 16, 16, True, RE, 2),
    (3, 72, 24, False, RE, 2), (3, 88, 24, False, RE, 1),
    (5, 96, 40, True, HS, 2), (5, 240, 40, True, HS, 1), (5, 240, 40, True, HS, 1),
    (5, 120, 48, True, HS, 1), (5, 144, 48, True, HS, 1),
    (5, 288, 96, True, HS, 2), (5, 576, 96, True, HS, 1), (5, 576, 96, True, HS, 1),
)  # fmt: skip
STEM, MIX, SQUEEZE = 16, 6, 4


class ConvNorm(nn.Sequential):
    """A convolution, its batch norm, and what comes ``after`` (an activation, or nothing): ``0``, ``1``, ``2``."""

    def __init__(self, conv: nn.Conv2d, bn_eps: float, *after: nn.Module) -> None:
        super().__init__(conv, nn.BatchNorm2d(conv.out_channels, bn_eps, momentum=0.01), *after)


class SqueezeExcitation(nn.Module):
    """Every channel of (N, channels, H, W) times a number from 0 to 1 that all channels' means decide."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.activation = nn.ReLU(inplace=True)
        self.fc2 = nn.Conv2d(squeezed, channels, 1)
        self.scale_activation = nn.Hardsigmoid()

    def forward(self, x: Tensor) -> Tensor:
        scale: Tensor = self.scale_activation(self.fc2(self.activation(self.fc1(self.avgpool(x)))))
        return x * scale


class InvertedResidual(nn.Module):
    """Expand 1x1, depthwise KxK, perhaps a gate on channels, project 1x1; shortcut where shapes allow.

    Input (N, inputs, H, W), output (N, outputs, H / stride, W / stride).  Where ``hidden`` is
    ``inputs`` the first convolution is left out.
    """

    def __init__(
        self, inputs: int, hidden: int, outputs: int, row: Row, padding: Padding = "torch", bn_eps: float = 1e-3
    ) -> None:
        super().__init__()
        kernel, _, _, gated, act, stride = row
        layers: list[nn.Module] = []
        if hidden != inputs:
            layers.append(ConvNorm(conv2d(inputs, hidden, 1), bn_eps, act(inplace=True)))
        depthwise = conv2d(hidden, hidden, kernel, stride, hidden, padding)
        layers.append(ConvNorm(depthwise, bn_eps, act(inplace=True)))
        if gated:
            layers.append(SqueezeExcitation(hidden, make_divisible(hidden // SQUEEZE)))
        layers.append(ConvNorm(conv2d(hidden, outputs, 1), bn_eps))
        self.block = nn.Sequential(*layers)
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.block(x)
        return x + y if self.shortcut else y


class MobileNetV3(nn.Module):
    """Images (N, 3, H, W) to logits (N, classes).  ``features`` is a chain of blocks.

    ``last`` is the width of the hidden layer before the head, which the multiplier scales as well.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        last: int,
        classes: int = 1000,
        width: float = 1.0,
        padding: Padding = "torch",
        bn_eps: float = 1e-3,
    ) -> None:
        super().__init__()
        channels = make_divisible(STEM * width)
        layers: list[nn.Module] = [ConvNorm(conv2d(3, channels, 3, 2, 1, padding), bn_eps, nn.Hardswish(inplace=True))]
        for row in rows:
            hidden, outputs = (make_divisible(full * width) for full in row[1:3])
            layers.append(InvertedResidual(channels, hidden, outputs, row, padding, bn_eps))
            channels = outputs
        mixed, wide = MIX * channels, make_divisible(last * width)
        layers.append(ConvNorm(conv2d(channels, mixed, 1), bn_eps, nn.Hardswish(inplace=True)))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(
            nn.Linear(mixed, wide), nn.Hardswish(inplace=True), nn.Dropout(0.2), nn.Linear(wide, classes)
        )
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))
        return logits


def _family(size: str, rows: Sequence[Row], last: int, connectors: Sequence[int], description: str) -> Family:
    return Family(
        f"mobilenet_v3_{size}",
        partial(MobileNetV3, rows, last),
        description,
        "Howard et al., Searching for MobileNetV3, ICCV 2019",
        Preprocess(224),
        classes=1000,
        head="classifier.3",
        connectors=tuple(f"features.{i}" for i in connectors),
        settings={"width": 1.0, "padding": "torch", "bn_eps": 1e-3},
        widths=(0.05, 4.0),
    )


# Rep-Net was published on the large one; the small one's points follow from the same rule.
FAMILIES = (
    _family(
        "small", SMALL, 1024, (1, 2, 4, 7, 9, 11), "MobileNetV3-Small, any width: 57 million multiplications at 224 px"
    ),
    _family(
        "large",
        LARGE,
        1280,
        (2, 4, 7, 11, 13, 15),
        "MobileNetV3-Large, any width: 217 million multiplications at 224 px",
    ),
)
