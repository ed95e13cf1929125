"""MobileNetV2 (Sandler et al., CVPR 2018, Table 2), any width multiplier.

Parameter names are torchvision's, so its checkpoints load as they are.  Deviation: none in the
function; padding and the norms' epsilon are options because Google's weights need TensorFlow's.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from edgewise.backbones.base import Family
from edgewise.backbones.blocks import ConvNormAct, InvertedResidual, Padding, initialise, make_divisible
from edgewise.core.preprocess import Preprocess

# (expand, channels, blocks, stride of the first) per stage
STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


class MobileNetV2(nn.Module):
    """Images (N, 3, H, W) to logits (N, classes).  ``features`` is a chain of blocks."""

    def __init__(
        self,
        classes: int = 1000,
        width: float = 1.0,
        padding: Padding = "torch",
        bn_eps: float = 1e-5,
        stages: Sequence[tuple[int, int, int, int]] = STAGES,
        stem: tuple[int, int] = (32, 2),
        last: int = 1280,
    ) -> None:
        super().__init__()
        stem_channels, stem_stride = stem
        channels = make_divisible(stem_channels * width)
        layers: list[nn.Module] = [ConvNormAct(3, channels, 3, stem_stride, 1, padding, bn_eps)]
        for expand, stage_channels, blocks, first_stride in stages:
            outputs = make_divisible(stage_channels * width)
            for block in range(blocks):
                stride = first_stride if block == 0 else 1
                layers.append(InvertedResidual(channels, outputs, 3, stride, expand, padding, bn_eps))
                channels = outputs
        mixed = make_divisible(last * max(1.0, width))
        layers.append(ConvNormAct(channels, mixed, 1, bn_eps=bn_eps))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(mixed, classes))
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classifier(torch.flatten(nn.functional.adaptive_avg_pool2d(self.features(x), 1), 1))
        return logits


FAMILY = Family(
    "mobilenet_v2",
    MobileNetV2,
    "MobileNetV2, any width: inverted residuals, the usual choice",
    "Sandler et al., MobileNetV2, CVPR 2018",
    Preprocess(224),
    classes=1000,
    head="classifier.1",
    connectors=tuple(f"features.{i}" for i in (2, 4, 7, 11, 14, 17)),
    settings={"width": 1.0, "padding": "torch", "bn_eps": 1e-5},
    widths=(0.05, 4.0),
)
