"""Multiply-accumulates of a forward pass: convolutions and linears, as the papers count them."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from edgewise.cost.shapes import on_fewest_images


def macs_forward(model: nn.Module, image: tuple[int, int, int]) -> int:
    """MACs for one image of shape (3, H, W); the model's mode and state are left as they were."""
    modes = {module: module.training for module in model.modules()}
    try:
        model.eval()
        return on_fewest_images(lambda images: _count(model, torch.zeros(images, *image)))
    finally:
        for module, mode in modes.items():
            module.training = mode


@torch.no_grad()
def _count(model: nn.Module, images: Tensor) -> int:
    total = 0

    def count(layer: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
        nonlocal total
        weight = layer.weight
        assert isinstance(weight, Tensor)
        total += math.prod(output.shape[1:]) * weight[0].numel()

    handles = [m.register_forward_hook(count) for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    try:
        # the model's own forward, whose layers are called, whatever stands in its place
        type(model).forward(model, images)
    finally:
        for handle in handles:
            handle.remove()
    return total
