"""ProxylessNAS-Mobile (Cai, Zhu, Han, ICLR 2019), any width multiplier.

Parameter names are those of the authors' checkpoints (``blocks.k.mobile_inverted_conv.depth_conv
.conv`` and so on), and so are the block indices: the search left slots 3 and 4 empty ("Zero" beside
a shortcut), and they stay in the chain as identities.  With 100 classes the network has exactly the
2,927,612 parameters that MobileTL and TinyTL report.  Deviation: none in the function.
"""

import torch
from torch import Tensor, nn

from edgewise.backbones.base import Family
from edgewise.backbones.blocks import ConvBnAct, Padding, initialise, make_divisible
from edgewise.core.preprocess import Preprocess

# (expand, kernel, channels, stride); None is an empty slot
Row = tuple[int, int, int, int]
TABLE: tuple[Row | None, ...] = (
    (1, 3, 16, 1),
    (3, 5, 32, 2), (3, 3, 32, 1), None, None,
    (3, 7, 40, 2), (3, 3, 40, 1), (3, 5, 40, 1), (3, 5, 40, 1),
    (6, 7, 80, 2), (3, 5, 80, 1), (3, 5, 80, 1), (3, 5, 80, 1),
    (6, 5, 96, 1), (3, 5, 96, 1), (3, 5, 96, 1), (3, 5, 96, 1),
    (6, 7, 192, 2), (6, 7, 192, 1), (3, 7, 192, 1), (3, 7, 192, 1),
    (6, 7, 320, 1),
)  # fmt: skip
STEM, LAST = 32, 1280


class InvertedConv(nn.Module):
    """Expand 1x1, depthwise KxK, project 1x1; without expansion (``expand=1``) the first is left out."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int, expand: int, padding: Padding, bn_eps: float
    ) -> None:
        super().__init__()
        hidden = inputs * expand
        layers: dict[str, nn.Module] = {}
        if expand != 1:
            layers["inverted_bottleneck"] = ConvBnAct(inputs, hidden, 1, bn_eps=bn_eps)
        layers["depth_conv"] = ConvBnAct(hidden, hidden, kernel, stride, hidden, padding, bn_eps)
        layers["point_linear"] = ConvBnAct(hidden, outputs, 1, bn_eps=bn_eps, act=False)
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.children():
            x = layer(x)
        return x


class MobileInvertedBlock(nn.Module):
    """`InvertedConv` with a shortcut where shapes allow."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int, expand: int, padding: Padding, bn_eps: float
    ) -> None:
        super().__init__()
        self.mobile_inverted_conv = InvertedConv(inputs, outputs, kernel, stride, expand, padding, bn_eps)
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.mobile_inverted_conv(x)
        return x + y if self.shortcut else y


class Classifier(nn.Module):
    """Dropout and the linear head, called ``linear``."""

    def __init__(self, inputs: int, classes: int) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.2)
        self.linear = nn.Linear(inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.linear(self.dropout(x))
        return logits


class ProxylessNAS(nn.Module):
    """Images (N, 3, H, W) to logits (N, classes)."""

    def __init__(
        self, classes: int = 1000, width: float = 1.0, padding: Padding = "torch", bn_eps: float = 1e-3
    ) -> None:
        super().__init__()
        channels = make_divisible(STEM * width)
        self.first_conv = ConvBnAct(3, channels, 3, 2, 1, padding, bn_eps)
        blocks: list[nn.Module] = []
        for row in TABLE:
            if row is None:
                blocks.append(nn.Identity())
                continue
            expand, kernel, full, stride = row
            outputs = make_divisible(full * width)
            blocks.append(MobileInvertedBlock(channels, outputs, kernel, stride, expand, padding, bn_eps))
            channels = outputs
        self.blocks = nn.Sequential(*blocks)
        mixed = make_divisible(LAST * max(1.0, width))
        self.feature_mix_layer = ConvBnAct(channels, mixed, 1, bn_eps=bn_eps)
        self.classifier = Classifier(mixed, classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.feature_mix_layer(self.blocks(self.first_conv(x)))
        logits: Tensor = self.classifier(torch.flatten(nn.functional.adaptive_avg_pool2d(x, 1), 1))
        return logits


FAMILY = Family(
    "proxylessnas_mobile",
    ProxylessNAS,
    "ProxylessNAS-Mobile, any width: kernels 3 to 7, found by search",
    "Cai, Zhu, Han, ProxylessNAS, ICLR 2019",
    Preprocess(224),
    classes=1000,
    head="classifier.linear",
    connectors=tuple(f"blocks.{i}" for i in (1, 5, 9, 13, 17, 21)),
    settings={"width": 1.0, "padding": "torch", "bn_eps": 1e-3},
    widths=(0.05, 4.0),
)
