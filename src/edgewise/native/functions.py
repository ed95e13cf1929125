"""What the folder offers: arguments are checked here, then compiled code does the work, or plain torch.

float32 on the CPU is compiled; any other type or device, and every machine without a C compiler, takes
the way of `edgewise.native.fallback`, with the same bits and the same results up to rounding.

Maps are channels last and contiguous; only `adam_`, which looks at each number alone, takes other layouts.
``bits`` is a uint8 tensor of (n + 7) // 8 bytes for the n elements of a map in memory order, the first
element in the lowest bit of the first byte; bits beyond the last element are written as 0.  Compiled
code runs on ``torch.get_num_threads()`` threads.  A wrong type, layout or size raises `ValueError`.
"""

import math
from types import ModuleType

import torch
from torch import Tensor

from edgewise.native import fallback, kernels


def why_not() -> str | None:
    """Why nothing is compiled here, for people; None where compiled code is used."""
    return kernels.why_not()


def clamp_(
    x: Tensor,
    low: float = -math.inf,
    high: float = math.inf,
    bias: Tensor | None = None,
    bits: Tensor | None = None,
) -> None:
    """``x = clamp(x + bias, low, high)`` in place, for x (..., C) and bias (C,); NaN stays NaN.

    ``bits`` receives where the gradient passes: a bit is 0 where ``x + bias`` is at a finite bound or
    beyond it.  This is torch's gradient of ReLU, ReLU6 and hard-tanh.  A NaN's gradient passes.
    """
    _check_map("x", x)
    _check_like("bias", bias, x, x.shape[-1:])
    _check_bits(bits, x)
    if not x.is_meta:  # shapes alone have nothing to clamp
        _way(x).clamp_(x, low, high, bias, bits)


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (C,) and biased variance (C,) of x (..., C) over all rows; NaN where there are no rows.

    Accurate wherever the mean lies.  In compiled code more threads change nothing.
    """
    _check_map("x", x)
    if x.is_meta:
        return x.new_empty(x.shape[-1:]), x.new_empty(x.shape[-1:])
    mean, variance = _way(x).moments(x)
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
    """``out = clamp((x - mean) * scale + shift, low, high)``, for x (..., C), the vectors (C,) and out as x.

    ``out`` is x itself or other memory.  `clamp_` says what ``bits`` gets.  Compiled code may round
    once where torch rounds the product too.
    """
    _check_map("x", x)
    vector = x.shape[-1:]
    _check_like("mean", mean, x, vector)
    _check_like("scale", scale, x, vector)
    _check_like("shift", shift, x, vector)
    _check_like("out", out, x, x.shape)
    _check_bits(bits, x)
    if x.is_meta:
        return
    if 0 < abs(out.data_ptr() - x.data_ptr()) < x.nbytes:
        raise ValueError("out must be x itself or lie apart from it, not overlap it in part.")
    _way(x).affine_clamp(x, mean, scale, shift, out, low, high, bits)


def affine_grad_(
    g: Tensor,
    scale: Tensor | None,
    x: Tensor | None = None,
    mean: Tensor | None = None,
    bits: Tensor | None = None,
    sums: bool = True,
) -> tuple[Tensor | None, Tensor | None]:
    """The gradients of `affine_clamp`, from g (..., C), which becomes that for its x: (to shift, to scale), each (C,).

    In one pass: g is set to 0 where the bit is 0, summed up over all rows, summed up times ``x - mean``,
    and multiplied by ``scale`` in place; without ``scale`` it stays as it is.  The sum for the scale is
    None without x and mean, the one for the shift is None if ``sums`` is False and x is not given.
    x is other memory than g.  In compiled code more threads change nothing.
    """
    _check_map("g", g)
    if (x is None) != (mean is None):
        raise ValueError("x and mean must be given together, or neither.")
    vector = g.shape[-1:]
    _check_like("scale", scale, g, vector)
    _check_like("mean", mean, g, vector)
    _check_like("x", x, g, g.shape)
    _check_bits(bits, g)
    if g.is_meta:
        to_shift = g.new_empty(vector) if sums or x is not None else None
        return to_shift, None if x is None else g.new_empty(vector)
    result: tuple[Tensor | None, Tensor | None] = _way(g).affine_grad_(g, scale, x, mean, bits, sums)
    return result


def standardise(x: Tensor, eps: float) -> Tensor:
    """``(x - mean) / (deviation + eps)`` for every row of x (R, n), the deviation unbiased: over n - 1.

    NaN where n is 1.  Compiled code computes in double and rounds once; more threads change nothing.
    """
    _check_rows("x", x)
    if x.is_meta:
        return torch.empty_like(x)
    result: Tensor = _way(x).standardise(x, eps)
    return result


def standardise_grad(g: Tensor, x: Tensor, eps: float) -> Tensor:
    """The gradient of `standardise` for its x (R, n), from g (R, n); NaN in rows whose numbers are all one."""
    _check_rows("x", x)
    _check_like("g", g, x, x.shape)
    if x.is_meta:
        return torch.empty_like(x)
    result: Tensor = _way(x).standardise_grad(g, x, eps)
    return result


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
    """One step of Adam (Kingma & Ba, 2015, Algorithm 1) in place, for four tensors of one shape, any layout:

        first     += (1 - beta1) · (gradient - first)
        second     = beta2 · second + (1 - beta2) · gradient²
        parameter -= rate · first / (sqrt(second) / correction + eps)

    ``rate`` is the learning rate over 1 - beta1^steps, ``correction`` the root of 1 - beta2^steps.  The
    tensors share no memory.  Compiled code takes them where all are contiguous, or all channels last, and
    then needs no memory of its own; more threads change nothing.
    """
    if not parameter.is_floating_point():
        raise ValueError(f"parameter must be floating-point, not {_described(parameter)}.")
    shape = parameter.shape
    _check_like("gradient", gradient, parameter, shape, dense=False)
    _check_like("first", first, parameter, shape, dense=False)
    _check_like("second", second, parameter, shape, dense=False)
    alike = _in_one_order(parameter, gradient, first, second)
    if alike and parameter.is_meta:
        return
    way = _way(parameter) if alike else fallback
    way.adam_(parameter, gradient, first, second, rate=rate, correction=correction, beta1=beta1, beta2=beta2, eps=eps)


def mask_(g: Tensor, bits: Tensor) -> None:
    """``g = 0`` in place where the bit is 0."""
    _check_map("g", g)
    _check_bits(bits, g)
    if not g.is_meta:
        _way(g).mask_(g, bits)


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
    """``out = clamp(x * weight + bias, low, high)``, one filter a channel; `clamp_` says what ``bits`` gets.

    x (N, H, W, C), weight (K · K, C), bias (C,), out (N, H2, W2, C) of other memory than x.  Zeros
    surround x: ``pad_top`` rows and ``pad_left`` columns before it, and as many after it as out asks for.
    """
    _check_depthwise(x, weight, out, stride, pad_top, pad_left)
    _check_like("bias", bias, x, x.shape[-1:])
    _check_bits(bits, out)
    _way(x).depthwise(
        x, weight, bias, out, stride=stride, pad_top=pad_top, pad_left=pad_left, low=low, high=high, bits=bits
    )


def depthwise_grad_input(
    g: Tensor, weight: Tensor, out: Tensor, *, stride: int, pad_top: int, pad_left: int, bits: Tensor | None = None
) -> None:
    """The gradient of `depthwise` for its input: from g (N, H2, W2, C) into out (N, H, W, C).

    With ``bits`` (of the clamp that made the input) `mask_` is applied to the result.
    """
    _check_depthwise(out, weight, g, stride, pad_top, pad_left)
    _check_bits(bits, out)
    _way(g).depthwise_grad_input(g, weight, out, stride=stride, pad_top=pad_top, pad_left=pad_left, bits=bits)


def depthwise_grad_weight(g: Tensor, x: Tensor, out: Tensor, *, stride: int, pad_top: int, pad_left: int) -> None:
    """The gradient of `depthwise` for its weight: from g (N, H2, W2, C) and x (N, H, W, C) into out (K · K, C).

    ``out`` is overwritten.  In compiled code each channel is summed up by one thread, so more threads change nothing.
    """
    _check_depthwise(x, out, g, stride, pad_top, pad_left)
    if not x.is_meta:
        _way(x).depthwise_grad_weight(g, x, out, stride=stride, pad_top=pad_top, pad_left=pad_left)


def _way(x: Tensor) -> ModuleType:
    compiled = x.dtype == torch.float32 and x.is_cpu and kernels.why_not() is None
    return kernels if compiled else fallback


def _check_map(name: str, x: Tensor) -> None:
    if not x.is_floating_point() or not x.is_contiguous() or x.ndim == 0:
        raise ValueError(f"{name} must be a contiguous floating-point map, not {_described(x)}.")


def _in_one_order(*tensors: Tensor) -> bool:
    """Do all numbers lie one after another, and in all tensors in the same order?"""
    return all(tensor.is_contiguous() for tensor in tensors) or all(
        tensor.is_contiguous(memory_format=torch.channels_last) for tensor in tensors
    )


def _check_rows(name: str, x: Tensor) -> None:
    _check_map(name, x)
    if x.ndim != 2:
        raise ValueError(f"{name} must have two dimensions, rows and the numbers of a row, not {_described(x)}.")


def _check_like(name: str, value: Tensor | None, x: Tensor, shape: torch.Size, dense: bool = True) -> None:
    if value is None:
        return
    fits = value.dtype == x.dtype and value.device == x.device and value.shape == shape
    if not fits or (dense and not value.is_contiguous()):
        kind = f"contiguous {x.dtype}" if dense else f"{x.dtype}"
        raise ValueError(f"{name} must be {kind} of shape {tuple(shape)} on {x.device}, not {_described(value)}.")


def _check_bits(bits: Tensor | None, x: Tensor) -> None:
    if bits is None:
        return
    size = (x.numel() + 7) // 8
    if bits.dtype != torch.uint8 or bits.device != x.device or bits.numel() != size or not bits.is_contiguous():
        raise ValueError(
            f"bits must be {size} contiguous bytes for a map of shape {tuple(x.shape)}, not {_described(bits)}."
        )


def _check_depthwise(x: Tensor, weight: Tensor, out: Tensor, stride: int, pad_top: int, pad_left: int) -> None:
    _check_map("the input", x)
    if x.ndim != 4 or out.ndim != 4:
        raise ValueError(f"Maps have four dimensions (N, H, W, C), not {tuple(x.shape)} and {tuple(out.shape)}.")
    kernel = math.isqrt(weight.numel() // max(1, x.shape[-1]))
    if kernel % 2 == 0:
        raise ValueError(f"The filter is square and odd, so weight {tuple(weight.shape)} cannot be (K · K, C).")
    _check_like("weight", weight, x, torch.Size((kernel * kernel, x.shape[-1])))
    _check_like("the output", out, x, torch.Size((len(x), *out.shape[1:3], x.shape[-1])))
    if stride < 1 or pad_top < 0 or pad_left < 0:
        raise ValueError(f"Stride {stride} and padding {pad_top}, {pad_left} must be positive, the padding may be 0.")


def _described(x: Tensor) -> str:
    layout = "contiguous" if x.is_contiguous() else "not contiguous"
    return f"{x.dtype} of shape {tuple(x.shape)} on {x.device}, {layout}"
