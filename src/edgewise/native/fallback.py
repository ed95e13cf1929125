"""The same functions in plain torch, for any floating-point type and device.  Arguments have been checked.

Also the reference of the tests: short rather than fast, and with copies of whole maps.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.grad import conv2d_input, conv2d_weight

INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}

Region = tuple[slice, slice, slice]


def clamp_(
    x: Tensor,
    low: float = -math.inf,
    high: float = math.inf,
    bias: Tensor | None = None,
    bits: Tensor | None = None,
) -> None:
    if bias is not None:
        x.add_(bias)
    if bits is not None:
        _pack(_inside(x, low, high), bits)
    if low > -math.inf or high < math.inf:
        x.clamp_(low, high)


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    if not x.numel():
        return x.new_full(x.shape[-1:], math.nan), x.new_full(x.shape[-1:], math.nan)
    variance, mean = torch.var_mean(x.view(-1, x.shape[-1]), 0, correction=0)
    return mean, variance


def affine_clamp(
    x: Tensor,
    mean: Tensor,
    scale: Tensor,
    shift: Tensor,
    out: Tensor,
    low: float = -math.inf,
    high: float = math.inf,
    bits: Tensor | None = None,
) -> None:
    clamp_(torch.sub(x, mean, out=out).mul_(scale), low, high, shift, bits)


def affine_grad_(
    g: Tensor,
    scale: Tensor | None,
    x: Tensor | None = None,
    mean: Tensor | None = None,
    bits: Tensor | None = None,
    sums: bool = True,
) -> tuple[Tensor | None, Tensor | None]:
    if bits is not None:
        mask_(g, bits)
    over, to_shift, to_scale = tuple(range(g.ndim - 1)), None, None
    if sums or x is not None:
        to_shift = g.sum(over) if over else g.clone()
    if x is not None and mean is not None:
        product = (x - mean).mul_(g)
        to_scale = product.sum(over) if over else product
    if scale is not None:
        g.mul_(scale)
    return to_shift, to_scale


def standardise(x: Tensor, eps: float) -> Tensor:
    centred, deviation = _centred(x)
    return centred.div_(deviation + eps)


def standardise_grad(g: Tensor, x: Tensor, eps: float) -> Tensor:
    """With c = x - mean(x) and s its deviation: dc = g / (s + eps) - c · sum(g c) / ((n - 1) s (s + eps)²)."""
    centred, deviation = _centred(x)
    wide = deviation + eps
    along = (g * centred).sum(1, keepdim=True) / ((x.shape[1] - 1) * deviation * wide.square())
    to_centred = g / wide
    to_centred -= centred.mul_(along)
    return to_centred.sub_(to_centred.mean(1, keepdim=True))


def adam_(
    parameter: Tensor,
    gradient: Tensor,
    first: Tensor,
    second: Tensor,
    *,
    rate: float,
    correction: float,
    beta1: float,
    beta2: float,
    eps: float,
) -> None:
    first.lerp_(gradient, 1 - beta1)
    second.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
    parameter.addcdiv_(first, second.sqrt().div_(correction).add_(eps), value=-rate)


def mask_(g: Tensor, bits: Tensor) -> None:
    # As integers, of which -1 has every bit set: `masked_fill_` decides for each element and takes far longer.
    whole = INTEGERS[g.element_size()]
    g.view(whole).bitwise_and_(_unpack(bits, g.numel()).view(g.shape).to(whole).neg_())


def depthwise(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    out: Tensor,
    *,
    stride: int,
    pad_top: int,
    pad_left: int,
    low: float = -math.inf,
    high: float = math.inf,
    bits: Tensor | None = None,
) -> None:
    full, inner, reached = _surrounded(x, weight, out, stride, pad_top, pad_left)
    full[inner] = x
    maps = full[reached].permute(0, 3, 1, 2)
    out.copy_(F.conv2d(maps, _filters(weight), None, stride, 0, 1, x.shape[-1]).permute(0, 2, 3, 1))
    clamp_(out, low, high, bias, bits)


def depthwise_grad_input(
    g: Tensor, weight: Tensor, out: Tensor, *, stride: int, pad_top: int, pad_left: int, bits: Tensor | None = None
) -> None:
    full, inner, reached = _surrounded(out, weight, g, stride, pad_top, pad_left)
    maps = full[reached].permute(0, 3, 1, 2)
    gradient = conv2d_input(list(maps.shape), _filters(weight), g.permute(0, 3, 1, 2), stride, 0, 1, g.shape[-1])
    full[reached] = gradient.permute(0, 2, 3, 1)
    out.copy_(full[inner])
    if bits is not None:
        mask_(out, bits)


def depthwise_grad_weight(g: Tensor, x: Tensor, out: Tensor, *, stride: int, pad_top: int, pad_left: int) -> None:
    full, inner, reached = _surrounded(x, out, g, stride, pad_top, pad_left)
    full[inner] = x
    maps, size = full[reached].permute(0, 3, 1, 2), list(_filters(out).shape)
    gradient = conv2d_weight(maps, size, g.permute(0, 3, 1, 2), stride, 0, 1, g.shape[-1])
    out.copy_(gradient.flatten(1).t())


def _centred(x: Tensor) -> tuple[Tensor, Tensor]:
    """Rows without their mean, and their unbiased standard deviations."""
    centred = x - x.mean(1, keepdim=True)
    # written out: torch's own `std` takes ten times as long
    return centred, centred.square().sum(1, keepdim=True).div_(x.shape[1] - 1).sqrt_()


def _filters(weight: Tensor) -> Tensor:
    """(K · K, C) as torch's (C, 1, K, K)."""
    kernel = math.isqrt(len(weight))
    return weight.t().reshape(-1, 1, kernel, kernel)


def _surrounded(
    x: Tensor, weight: Tensor, out: Tensor, stride: int, top: int, left: int
) -> tuple[Tensor, Region, Region]:
    """Zeros in which x lies padded; the region that is x, and the region that the convolution reaches."""
    (images, height, width, channels), kernel = x.shape, math.isqrt(len(weight))
    reached = [(size - 1) * stride + kernel for size in out.shape[1:3]]
    full = x.new_zeros(images, max(reached[0], top + height), max(reached[1], left + width), channels)
    inner = (slice(None), slice(top, top + height), slice(left, left + width))
    return full, inner, (slice(None), slice(reached[0]), slice(reached[1]))


def _inside(x: Tensor, low: float, high: float) -> Tensor:
    inside = torch.ones_like(x, dtype=torch.bool)
    if low > -math.inf:
        inside &= ~(x <= low)  # written so that NaN is inside
    if high < math.inf:
        inside &= ~(x >= high)
    return inside


def _pack(flags: Tensor, bits: Tensor) -> None:
    """Eight flags of one byte each are one number, and one product moves them side by side to its top."""
    whole = F.pad(flags.flatten(), (0, -flags.numel() % 8))
    bits.copy_((whole.view(torch.int64) * 0x0102040810204080) >> 56 & 0xFF)


def _unpack(bits: Tensor, count: int) -> Tensor:
    """The flags of a byte are looked up, eight at once."""
    every = torch.arange(256).unsqueeze(1) >> torch.arange(8) & 1
    table = every.to(torch.uint8).view(torch.int64).flatten().to(bits.device)
    return table.index_select(0, bits.int()).view(torch.bool)[:count]
