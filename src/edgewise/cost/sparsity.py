"""What masks leave out of a network, and how much of its arithmetic that really saves.

Three counts of multiply-adds, for one image:

``macs_dense``           all of them, zeros included: what runs when nothing knows of the mask.
``macs_without_zeros``   masked-out kernels (or weights) left out, as Rep-Net's Table 4 counts: a runtime that
                         skips each of them, which plain dense kernels do not.
``macs_plain_runtime``   only what a plain dense runtime can drop by making the layer itself smaller: filters
                         that are zero as a whole, and input channels that no filter reads (in each group).

The last one looks at every layer alone.  What follows for its neighbours is left out: a channel that
nobody reads need not be computed, but the layer that makes it may feed a shortcut as well; and a
filter of zeros gives a constant, not nothing.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from edgewise.core.errors import UsageError
from edgewise.cost.macs import macs_forward
from edgewise.layers.masked_conv import MaskedConv2d


@dataclass(frozen=True)
class Sparsity:
    """Shares from 0 to 1, and multiply-adds of one image.

    ``of_masked``: masked-out kernels (or weights, where each has its own score) of those that have a
    score, what the papers print.  ``of_network``: masked-out weights of all weights of convolutions and linears.
    """

    of_masked: float
    of_network: float
    macs_dense: int
    macs_without_zeros: int
    macs_plain_runtime: int


def sparsity(model: nn.Module, image: tuple[int, int, int]) -> Sparsity:
    """What the masks in ``model`` leave out, for images of shape ``image`` (3, H, W).

    The model comes back as it was.  Raises `UsageError` where nothing is masked.
    """
    layers = [layer for layer in model.modules() if isinstance(layer, MaskedConv2d)]
    if not layers:
        raise UsageError(
            f"{type(model).__name__} has no masked convolution, so nothing is left out. "
            "Adapt it with --method mask or repnet+mask."
        )
    dense, pixels = _counted(model, layers, image)
    kept = {layer: layer.kept().expand_as(layer.weight) for layer in layers}
    scores = sum(layer.mask_scores.numel() for layer in layers)
    zeros = scores - sum(int(layer.kept().sum()) for layer in layers)
    dropped = sum(int((~own).sum()) for own in kept.values())
    weights = sum(m.weight.numel() for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear)))
    return Sparsity(
        of_masked=zeros / scores,
        of_network=dropped / weights,
        macs_dense=dense,
        macs_without_zeros=dense - sum(pixels[layer] * int((~own).sum()) for layer, own in kept.items()),
        macs_plain_runtime=dense
        - sum(pixels[layer] * (own.numel() - _smaller(own, layer.groups)) for layer, own in kept.items()),
    )


def _smaller(kept: Tensor, groups: int) -> int:
    """Weights of a mask (O, I / g, k, k) without its whole zero filters and the input channels that it never reads."""
    kernels = kept.flatten(2).any(2).unflatten(0, (groups, -1))  # (g, O / g, I / g)
    filters, channels = kernels.any(2).sum(1), kernels.any(1).sum(1)
    return int((filters * channels).sum()) * math.prod(kept.shape[2:])


def _counted(
    model: nn.Module, layers: Sequence[MaskedConv2d], image: tuple[int, int, int]
) -> tuple[int, Mapping[MaskedConv2d, int]]:
    """Multiply-adds of one image, and how often it moves each layer's filters: the positions of its result."""
    found: defaultdict[int, Counter[MaskedConv2d]] = defaultdict(Counter)

    def note(layer: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
        assert isinstance(layer, MaskedConv2d)
        found[len(output)][layer] += math.prod(output.shape[2:])

    handles = [layer.register_forward_hook(note) for layer in layers]
    try:
        dense = macs_forward(model, image)
    finally:
        for handle in handles:
            handle.remove()
    # a run on no images may have failed half-way, then there was another on one
    return dense, found[max(found)]
