"""MobileNetV1 (Howard et al., 2017, Table 1), any width multiplier.

Parameter names: ``features.0.{0,1}`` the stem's convolution and norm, ``features.k.{0,1,3,4}``
depthwise convolution, norm, pointwise convolution, norm; ``classifier`` a linear layer.  Channels
are ``int(n * width)``, as in Google's code.  Padding and epsilon default to TensorFlow's, with
which all of Google's weights were trained.  Deviation: no dropout (the paper trains without).
"""

import torch
from torch import Tensor, nn

from edgewise.backbones.base import Family
from edgewise.backbones.blocks import ConvNormAct, Padding, conv2d, initialise
from edgewise.core.preprocess import Preprocess

# (channels, stride) of each depthwise-separable block
TABLE = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1))


class SeparableConv(nn.Sequential):
    """Depthwise 3x3, norm, ReLU6, pointwise 1x1, norm, ReLU6: children ``0`` to ``5``."""

    def __init__(self, inputs: int, outputs: int, stride: int, padding: Padding, bn_eps: float) -> None:
        super().__init__(
            conv2d(inputs, inputs, 3, stride, inputs, padding),
            nn.BatchNorm2d(inputs, eps=bn_eps),
            nn.ReLU6(inplace=True),
            conv2d(inputs, outputs, 1),
            nn.BatchNorm2d(outputs, eps=bn_eps),
            nn.ReLU6(inplace=True),
        )


class MobileNetV1(nn.Module):
    """Images (N, 3, H, W) to logits (N, classes).  ``features`` is a chain of blocks."""

    def __init__(
        self, classes: int = 1000, width: float = 1.0, padding: Padding = "tf-same", bn_eps: float = 1e-3
    ) -> None:
        super().__init__()
        channels = int(32 * width)
        layers: list[nn.Module] = [ConvNormAct(3, channels, 3, 2, 1, padding, bn_eps)]
        for full, stride in TABLE:
            outputs = int(full * width)
            layers.append(SeparableConv(channels, outputs, stride, padding, bn_eps))
            channels = outputs
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(channels, classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classifier(torch.flatten(nn.functional.adaptive_avg_pool2d(self.features(x), 1), 1))
        return logits


FAMILY = Family(
    "mobilenet_v1",
    MobileNetV1,
    "MobileNetV1, any width: plain, no shortcuts",
    "Howard et al., MobileNets, arXiv:1704.04861, 2017",
    Preprocess(224, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    classes=1000,
    head="classifier",
    connectors=tuple(f"features.{i}" for i in (2, 4, 6, 12, 13)),
    settings={"width": 1.0, "padding": "tf-same", "bn_eps": 1e-3},
    widths=(0.05, 4.0),
)
