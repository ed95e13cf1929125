"""From a photo's bytes to a network's input."""

import torch
from torch import Tensor, nn

from edgewise.core.preprocess import Preprocess


class Normalise(nn.Module):
    """(N, 3, S, S) uint8 to float32 ``(x / 255 - mean) / std``; floats are taken as normalised already.

    A layer, so that a network takes photos a quarter of the size, and can normalise a few at a time.
    """

    def __init__(self, preprocess: Preprocess) -> None:
        super().__init__()
        self.preprocess = preprocess

    def forward(self, images: Tensor) -> Tensor:
        return normalise(images, self.preprocess) if images.dtype == torch.uint8 else images


def normalise(images: Tensor, preprocess: Preprocess) -> Tensor:
    """The same for bytes; the memory format stays."""
    mean, std = (
        torch.tensor(values, dtype=torch.float32, device=images.device).view(3, 1, 1)
        for values in (preprocess.mean, preprocess.std)
    )
    return images.to(torch.float32).div_(255).sub_(mean).div_(std)
