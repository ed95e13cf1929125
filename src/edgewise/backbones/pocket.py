"""Pocket: our own small network for 32-64 px images, the default that ships with its weights.

A MobileNetV2 whose stem keeps the resolution, so that the six points where features change shape
fit into 32 px (16, 16, 8, 8, 4, 4).  It is trained on CIFAR-10 by ``recipes/pretrain_pocket.py``;
the record beside the weights states its test accuracy.
"""

from pathlib import Path

from edgewise.backbones.base import Family
from edgewise.backbones.blocks import Padding
from edgewise.backbones.mobilenet_v2 import MobileNetV2
from edgewise.core.preprocess import Preprocess

STAGES = ((1, 16, 1, 2), (4, 24, 2, 1), (6, 40, 3, 2), (6, 64, 3, 1), (6, 80, 2, 2), (6, 112, 1, 1))


def pocket(classes: int = 10, padding: Padding = "torch", bn_eps: float = 1e-5) -> MobileNetV2:
    """Build Pocket for images (N, 3, 32..64, 32..64)."""
    return MobileNetV2(classes, 1.0, padding, bn_eps, stages=STAGES, stem=(24, 1), last=256)


FAMILY = Family(
    "pocket",
    pocket,
    "Pocket, our own small MobileNetV2 for 32-64 px, pretrained on CIFAR-10",
    "recipes/pretrain_pocket.py; architecture after Sandler et al., MobileNetV2, CVPR 2018",
    Preprocess(32, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)),
    classes=10,
    head="classifier.1",
    connectors=tuple(f"features.{i}" for i in (1, 2, 4, 7, 10, 12)),
    settings={"padding": "torch", "bn_eps": 1e-5},
    weights=Path(__file__).with_name("pocket_cifar10.safetensors"),
)
