"""Layers and calls of a model as operations of a `Network`: each from its own settings and the shape it is given."""

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgewise.backbones.blocks import SameConv2d
from edgewise.compress.network import Conv, Curve, Packed, Pool, Shape
from edgewise.compress.ternary import TernaryConv2d, TernaryLinear, TernarySameConv2d

CONVOLUTIONS = (nn.Conv2d, SameConv2d, TernaryConv2d, TernarySameConv2d)
LINEARS = (nn.Linear, TernaryLinear)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
NOTHING = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d)
NOTHING_CALLED = {F.dropout, F.dropout1d, F.dropout2d, "contiguous"}
CURVES: dict[Any, Curve] = {
    nn.ReLU: "relu", F.relu: "relu", F.relu_: "relu", torch.relu: "relu", torch.relu_: "relu",
    "relu": "relu", "relu_": "relu",
    nn.ReLU6: "relu6", F.relu6: "relu6",
    nn.Hardswish: "hswish", F.hardswish: "hswish",
    nn.Hardsigmoid: "hsigmoid", F.hardsigmoid: "hsigmoid",
}  # fmt: skip
CLAMPS = {nn.Hardtanh, F.hardtanh, torch.clamp, "clamp", "clamp_"}
RESHAPES = {nn.Flatten, torch.flatten, torch.reshape, torch.squeeze, "flatten", "reshape", "view", "squeeze"}
SUMS = {operator.add, operator.iadd, torch.add, "add", "add_"}
PRODUCTS = {operator.mul, operator.imul, torch.mul, "mul", "mul_"}
MEANS = {torch.mean, "mean"}

Pair = tuple[int, int]


class Unlowerable(Exception):
    """The message says what is the matter with a layer, and what to do, after the layer's name."""


def convolution(layer: nn.Conv2d, given: Shape, before: tuple[int, int, int, int]) -> Conv:
    """``layer`` on a map of the shape ``given``, around which ``before`` (top, bottom, left, right) zeros are put."""
    if layer.padding_mode != "zeros":
        raise Unlowerable(f"pads with {layer.padding_mode!r}: use zeros")
    if _pair(layer.dilation) != (1, 1):
        raise Unlowerable(f"is dilated by {layer.dilation}: use a dilation of 1")
    height, width = given[1] + before[0] + before[1], given[2] + before[2] + before[3]
    top, bottom, left, right = (a + b for a, b in zip(before, _padding(layer, height, width), strict=True))
    weight = _weight(layer, layer.weight.shape, layer.slab if isinstance(layer, TernaryConv2d) else 0)
    return _conv(weight, layer.bias, _pair(layer.stride), (top, bottom, left, right), layer.groups)


def linear(layer: nn.Linear, given: Shape) -> Conv:
    """A convolution whose kernel is the whole map that was flattened: 1 x 1 on a vector."""
    channels, height, width = given
    if layer.in_features != channels * height * width:
        raise Unlowerable(f"takes {layer.in_features} numbers of a map of {channels} x {height} x {width}: flatten it")
    slab = 0
    if isinstance(layer, TernaryLinear):
        whole, rest = divmod(layer.slab, height * width)
        slab = whole if whole and not rest and channels % whole == 0 else 1
    weight = _weight(layer, (layer.out_features, channels, height, width), slab)
    return _conv(weight, layer.bias, (1, 1), (0, 0, 0, 0), 1)


def normalised(conv: Conv, norm: nn.BatchNorm1d | nn.BatchNorm2d) -> Conv:
    """``conv`` with ``norm``, as it is in eval mode, behind it."""
    factor, shift = _affine(norm)
    scale, offset = conv.scale.double() * factor, conv.offset.double() * factor + shift
    return replace(conv, scale=scale.float(), offset=offset.float())


def norm_alone(norm: nn.BatchNorm1d | nn.BatchNorm2d) -> Conv:
    """A norm with no convolution before it: one weight of 1 for each channel."""
    ones = torch.ones(norm.num_features, 1, 1, 1)
    return normalised(_conv(ones, None, (1, 1), (0, 0, 0, 0), norm.num_features), norm)


def clamp(low: float | None = None, high: float | None = None, **_: Any) -> Curve:
    """The curve that clamps so."""
    match low, high:
        case 0, None | math.inf:
            return "relu"
        case 0, 6:
            return "relu6"
    raise Unlowerable(f"clamps to {low}..{high}: only 0.. and 0..6 can be packed, use nn.ReLU or nn.ReLU6")


def max_pool(
    given: Shape, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil_mode: bool = False, return_indices: bool = False,
) -> Pool:  # fmt: skip
    """Arguments as of ``F.max_pool2d``.  Where ``ceil_mode`` changes the shape, the caller sees it."""
    if _pair(dilation) != (1, 1):
        raise Unlowerable(f"is dilated by {dilation}: use a dilation of 1")
    return Pool("max", _pair(kernel_size), _pair(stride or kernel_size), _pair(padding))


def mean_pool(
    given: Shape, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: Any = None,
) -> Pool:  # fmt: skip
    """Arguments as of ``F.avg_pool2d``."""
    if divisor_override is not None:
        raise Unlowerable("divides by a number of its own: leave divisor_override out")
    if count_include_pad and _pair(padding) != (0, 0):
        raise Unlowerable("counts its padding in the mean: set count_include_pad=False")
    return Pool("mean", _pair(kernel_size), _pair(stride or kernel_size), _pair(padding))


def adaptive_max_pool(given: Shape, output_size: Any, return_indices: bool = False) -> Pool | None:
    """Arguments as of ``F.adaptive_max_pool2d``; None where it changes nothing."""
    return _adaptive("max", given, output_size)


def adaptive_mean_pool(given: Shape, output_size: Any) -> Pool | None:
    """Arguments as of ``F.adaptive_avg_pool2d``; None where it changes nothing."""
    return _adaptive("mean", given, output_size)


def mean_of(given: Shape, dim: Any = None, keepdim: bool = False, **_: Any) -> Pool:
    """``x.mean((2, 3))``: of the whole map."""
    if not isinstance(dim, Sequence) or sorted(d % 4 for d in dim) != [2, 3]:
        raise Unlowerable(f"is a mean over {dim}: only that of whole maps can be packed, x.mean((2, 3))")
    return Pool("mean", given[1:], (1, 1), (0, 0))


POOLS: Mapping[Any, Callable[..., Pool | None]] = {
    F.max_pool2d: max_pool,
    F.avg_pool2d: mean_pool,
    F.adaptive_max_pool2d: adaptive_max_pool,
    F.adaptive_avg_pool2d: adaptive_mean_pool,
    **dict.fromkeys(MEANS, mean_of),
}
POOLING_LAYERS: Mapping[type[nn.Module], tuple[Callable[..., Pool | None], tuple[str, ...]]] = {
    nn.MaxPool2d: (max_pool, ("kernel_size", "stride", "padding", "dilation")),
    nn.AvgPool2d: (mean_pool, ("kernel_size", "stride", "padding", "count_include_pad", "divisor_override")),
    nn.AdaptiveMaxPool2d: (adaptive_max_pool, ("output_size",)),
    nn.AdaptiveAvgPool2d: (adaptive_mean_pool, ("output_size",)),
}


def _adaptive(kind: Literal["max", "mean"], given: Shape, output_size: Any) -> Pool | None:
    sides = output_size if isinstance(output_size, Sequence) else (output_size, output_size)
    wanted = tuple(side if wish is None else int(wish) for side, wish in zip(given[1:], sides, strict=True))
    if wanted == given[1:]:
        return None
    if any(side % wish for side, wish in zip(given[1:], wanted, strict=True)):
        raise Unlowerable(f"makes {wanted} of {given[1:]}, in windows of several sizes: choose a size that divides it")
    kernel = (given[1] // wanted[0], given[2] // wanted[1])
    return Pool(kind, kernel, (1, 1) if wanted == (1, 1) else kernel, (0, 0))


def _conv(weight: Packed | Tensor, bias: Tensor | None, stride: Pair, padding: Any, groups: int) -> Conv:
    filters = len(weight.ternary.codes if isinstance(weight, Packed) else weight)
    offset = torch.zeros(filters) if bias is None else bias.detach().float().cpu()
    return Conv(weight, stride, padding, groups, torch.ones(filters), offset, "none")


def _weight(layer: nn.Module, shape: Sequence[int], slab: int) -> Packed | Tensor:
    if isinstance(layer, TernaryConv2d | TernaryLinear):
        made = layer.ternary()
        return Packed(replace(made, codes=made.codes.cpu().reshape(*shape)), slab)
    assert isinstance(layer, nn.Conv2d | nn.Linear)
    return layer.weight.detach().float().cpu().reshape(*shape)


def _padding(layer: nn.Conv2d, height: int, width: int) -> tuple[int, int, int, int]:
    if isinstance(layer, SameConv2d):
        return layer.same_padding(height, width)
    if isinstance(layer.padding, str):  # torch allows "same" only with stride 1
        (up, down), (left, right) = (
            ((k - 1) // 2, k // 2) if layer.padding == "same" else (0, 0) for k in layer.kernel_size
        )
        return up, down, left, right
    vertical, horizontal = _pair(layer.padding)
    return vertical, vertical, horizontal, horizontal


def _affine(norm: nn.BatchNorm1d | nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """``factor`` and ``shift``, float64: the norm in eval mode is ``factor x + shift``."""
    mean, variance = norm.running_mean, norm.running_var
    if mean is None or variance is None:
        raise Unlowerable("keeps no statistics, so every batch is normalised by its own: set track_running_stats")
    factor = (variance.double() + norm.eps).rsqrt()
    if norm.weight is not None:
        factor = norm.weight.double() * factor
    shift = -mean.double() * factor
    if norm.bias is not None:
        shift = norm.bias.double() + shift
    return factor.detach().cpu(), shift.detach().cpu()


def _pair(value: Any) -> Pair:
    first, second = value if isinstance(value, Sequence) else (value, value)
    return int(first), int(second)
