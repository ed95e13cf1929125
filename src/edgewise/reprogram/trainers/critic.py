"""The critic of adversarial training: does a sample belong to its class in the real data, or was it made?"""

import torch.nn.functional as F
from torch import Tensor, nn

from edgewise.core.errors import UsageError
from edgewise.reprogram.space import Space

SMALLEST = 7


class Critic(nn.Module):
    """Logits that images (N, C, H, W) are real samples of their classes.

    ``w . f(x) + e_y . f(x)``, a projection critic (Miyato & Koyama, 2018): features f are strided convolutions of
    ``width`` channels, doubled at each, until a side is at most `SMALLEST`; w is shared, e_y is of the class.
    Raises `UsageError` where samples are no images.
    """

    def __init__(self, images: Space, classes: int, width: int) -> None:
        super().__init__()
        if len(images.shape) != 3 or images.symbols:
            raise UsageError(f"Samples are of shape {images.shape}; the critic reads images (colours, height, width).")
        channels, *sides = images.shape
        layers: list[nn.Module] = []
        while min(sides) > SMALLEST or not layers:
            layers += [nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(0.2)]
            channels, width, sides = width, 2 * width, [side // 2 for side in sides]
        self.features = nn.Sequential(*layers, nn.Flatten())
        numbers = channels * sides[0] * sides[1]
        self.shared = nn.Linear(numbers, 1)
        self.of_class = nn.Embedding(classes, numbers)
        nn.init.zeros_(self.of_class.weight)

    def forward(self, samples: Tensor, classes: Tensor) -> Tensor:
        """Logits (N,)."""
        found = F.dropout(self.features(samples), DROPPED, self.training)
        logits: Tensor = self.shared(found)[:, 0] + (self.of_class(classes) * found).sum(1)
        return logits


DROPPED = 0.3
