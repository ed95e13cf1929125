"""A sub-net of fewer channels as a smaller plain network: real speed wherever plain networks run."""

import copy

import torch
from torch import Tensor, nn

from edgewise.core.errors import EdgewiseError
from edgewise.subnets.channel_spaces import Layout
from edgewise.subnets.channels import Channels

CLOSE = 1e-4  # of the largest logit: sums of other lengths are rounded elsewhere, a wrong channel moves all of it


@torch.no_grad()
def sliced(network: nn.Module, layout: Layout, channels: Channels) -> nn.Module:
    """A copy of ``network`` in which each space has only its ``channels``; names stay, tensors are smaller.

    It answers what ``network`` answers with the masks of `channels.Narrow`, and takes none.  ``network`` is not
    changed.
    """
    small = copy.deepcopy(network)
    for name, layer in layout.layers.items():
        module = small.get_submodule(name)
        if isinstance(module, nn.Conv2d | nn.Linear):
            if layer.writes:
                _take_rows(module, channels[layer.writes])
            if layer.reads:
                _take_columns(module, channels[layer.reads])
    for space_name, space in layout.spaces.items():
        for name in space.norms:
            _take_norm(small.get_submodule(name), channels[space_name])
    return small


@torch.no_grad()
def check_same(small: nn.Module, masked: nn.Module, size: int) -> float:
    """How far the logits of two networks for two images of noise lie apart, over the largest of them; in eval mode.

    Raises `EdgewiseError` above `CLOSE`.
    """
    like = next(masked.parameters())
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0)).to(like)
    modes = [(module, module.training) for one in (small, masked) for module in one.modules()]
    try:
        one, other = small.eval()(images), masked.eval()(images)
    finally:
        for module, training in modes:
            module.training = training
    apart = float((one - other).abs().max() / other.abs().max().clamp(min=1e-6))
    if not apart <= CLOSE:
        raise EdgewiseError(
            f"The sliced network's logits are {apart:.3g} (of the largest) from those of the masked one: its weights "
            "are not finite, or a step of it does something else with channels than it seems to."
        )
    return apart


def _take_rows(module: nn.Conv2d | nn.Linear, kept: Tensor) -> None:
    module.weight = _part(module.weight, kept)
    if module.bias is not None:
        module.bias = _part(module.bias, kept)
    if isinstance(module, nn.Conv2d):
        module.out_channels = len(kept)
        if module.groups > 1:  # depthwise
            module.in_channels = module.groups = len(kept)
    else:
        module.out_features = len(kept)


def _take_columns(module: nn.Conv2d | nn.Linear, kept: Tensor) -> None:
    module.weight = nn.Parameter(module.weight.index_select(1, kept), module.weight.requires_grad)
    if isinstance(module, nn.Conv2d):
        module.in_channels = len(kept)
    else:
        module.in_features = len(kept)


def _take_norm(norm: nn.Module, kept: Tensor) -> None:
    assert isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d), type(norm).__name__
    norm.num_features = len(kept)
    if norm.weight is not None:
        norm.weight, norm.bias = _part(norm.weight, kept), _part(norm.bias, kept)
    if norm.running_mean is not None and norm.running_var is not None:
        norm.running_mean, norm.running_var = norm.running_mean[kept], norm.running_var[kept]


def _part(parameter: Tensor, kept: Tensor) -> nn.Parameter:
    return nn.Parameter(parameter.index_select(0, kept), parameter.requires_grad)
