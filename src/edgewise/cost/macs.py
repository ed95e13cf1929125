"""Multiply-accumulates of a forward pass: convolutions and linears, as the papers count them."""

from typing import Any

import torch
from torch import Tensor, nn


def macs_forward(model: nn.Module, image: tuple[int, int, int]) -> int:
    """MACs for one image of shape (3, H, W); the model's mode and state are left as they were."""
    total = 0

    def count(layer: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
        nonlocal total
        weight = layer.weight
        assert isinstance(weight, Tensor)
        total += output.numel() * weight[0].numel()

    layers = [m for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    handles = [layer.register_forward_hook(count) for layer in layers]
    modes = {module: module.training for module in model.modules()}
    try:
        model.eval()
        with torch.no_grad():
            # the model's own forward, whose layers are called, whatever stands in its place
            type(model).forward(model, torch.zeros(1, *image))
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes.items():
            module.training = mode
    return total
