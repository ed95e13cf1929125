"""The compiled functions: ``kernels.c`` through ctypes.

Arguments must have been checked (`edgewise.native.functions` does): float32 on the CPU, contiguous (or dense
in one order, for `adam_`), of matching sizes.  A wrong one here would read or write beyond a tensor.
"""

import ctypes
import math
from functools import cache

import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from edgewise.native.library import opened

_POINTER, _SIZE, _FLOAT, _DOUBLE = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float, ctypes.c_double
_SIGNATURES = {
    "edgewise_clamp": (*[_POINTER] * 3, *[_SIZE] * 2, *[_FLOAT] * 2, _SIZE),
    "edgewise_moments": (*[_POINTER] * 3, *[_SIZE] * 3),
    "edgewise_affine_clamp": (*[_POINTER] * 6, *[_SIZE] * 2, *[_FLOAT] * 2, _SIZE),
    "edgewise_affine_grad": (*[_POINTER] * 7, *[_SIZE] * 3),
    "edgewise_standardise": (*[_POINTER] * 3, *[_SIZE] * 2, _DOUBLE, _SIZE),
    "edgewise_adam": (*[_POINTER] * 4, _SIZE, *[_DOUBLE] * 5, _SIZE),
    "edgewise_mask": (*[_POINTER] * 2, *[_SIZE] * 2),
    "edgewise_depthwise": (*[_POINTER] * 5, *[_SIZE] * 10, *[_FLOAT] * 2, _SIZE),
    "edgewise_depthwise_grad_input": (*[_POINTER] * 4, *[_SIZE] * 11),
    "edgewise_depthwise_grad_weight": (*[_POINTER] * 3, *[_SIZE] * 11),
}
_MAY_FAIL = ("edgewise_moments", "edgewise_affine_grad")  # they ask for memory, and return 0 if there is none


@cache
def _opened() -> tuple[ctypes.CDLL | None, str | None]:
    return opened("kernels.c", _SIGNATURES, _MAY_FAIL)


def why_not() -> str | None:
    """Why there is no compiled code; None where there is."""
    return _opened()[1]


def _library() -> ctypes.CDLL:
    library = _opened()[0]
    assert library is not None
    return library


def _at(x: Tensor | None) -> int | None:
    return None if x is None else x.data_ptr()


def clamp_(
    x: Tensor,
    low: float = -math.inf,
    high: float = math.inf,
    bias: Tensor | None = None,
    bits: Tensor | None = None,
) -> None:
    rows, channels = (x.numel(), 1) if bias is None else (x.numel() // max(1, len(bias)), len(bias))
    _library().edgewise_clamp(x.data_ptr(), _at(bias), _at(bits), rows, channels, low, high, torch.get_num_threads())


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    channels = x.shape[-1]
    mean, variance = x.new_empty(channels), x.new_empty(channels)
    if not _library().edgewise_moments(
        x.data_ptr(), mean.data_ptr(), variance.data_ptr(),
        x.numel() // max(1, channels), channels, torch.get_num_threads(),
    ):  # fmt: skip
        raise MemoryError
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
    channels = x.shape[-1]
    _library().edgewise_affine_clamp(
        x.data_ptr(), mean.data_ptr(), scale.data_ptr(), shift.data_ptr(), out.data_ptr(), _at(bits),
        x.numel() // max(1, channels), channels, low, high, torch.get_num_threads(),
    )  # fmt: skip


def affine_grad_(
    g: Tensor,
    scale: Tensor | None,
    x: Tensor | None = None,
    mean: Tensor | None = None,
    bits: Tensor | None = None,
    sums: bool = True,
) -> tuple[Tensor | None, Tensor | None]:
    channels = g.shape[-1]
    to_shift = g.new_empty(channels) if sums or x is not None else None
    to_scale = None if x is None else g.new_empty(channels)
    if not _library().edgewise_affine_grad(
        g.data_ptr(), _at(scale), _at(x), _at(mean), _at(bits), _at(to_shift), _at(to_scale),
        g.numel() // max(1, channels), channels, torch.get_num_threads(),
    ):  # fmt: skip
        raise MemoryError
    return to_shift, to_scale


def standardise(x: Tensor, eps: float) -> Tensor:
    return _standardise(x, None, eps)


def standardise_grad(g: Tensor, x: Tensor, eps: float) -> Tensor:
    return _standardise(x, g, eps)


def _standardise(x: Tensor, g: Tensor | None, eps: float) -> Tensor:
    (rows, count), out = x.shape, torch.empty_like(x)
    _library().edgewise_standardise(
        x.data_ptr(), _at(g), out.data_ptr(), rows, count, eps, torch.get_num_threads()
    )  # fmt: skip
    return out


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
    _library().edgewise_adam(
        parameter.data_ptr(), gradient.data_ptr(), first.data_ptr(), second.data_ptr(), parameter.numel(),
        rate, correction, beta1, beta2, eps, torch.get_num_threads(),
    )  # fmt: skip
    increment_version(parameter)  # as torch's own do: a backward pass that still needs the old numbers fails


def mask_(g: Tensor, bits: Tensor) -> None:
    _library().edgewise_mask(g.data_ptr(), bits.data_ptr(), g.numel(), torch.get_num_threads())


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
    (images, height, width, channels), (_, height2, width2, _) = x.shape, out.shape
    kernel = math.isqrt(len(weight))
    _library().edgewise_depthwise(
        x.data_ptr(), weight.data_ptr(), _at(bias), out.data_ptr(), _at(bits),
        images, channels, height, width, height2, width2, kernel, stride, pad_top, pad_left,
        low, high, torch.get_num_threads(),
    )  # fmt: skip


def depthwise_grad_input(
    g: Tensor, weight: Tensor, out: Tensor, *, stride: int, pad_top: int, pad_left: int, bits: Tensor | None = None
) -> None:
    (images, height, width, channels), (_, height2, width2, _) = out.shape, g.shape
    kernel = math.isqrt(len(weight))
    _library().edgewise_depthwise_grad_input(
        g.data_ptr(), weight.data_ptr(), out.data_ptr(), _at(bits),
        images, channels, height, width, height2, width2, kernel, stride, pad_top, pad_left,
        torch.get_num_threads(),
    )  # fmt: skip


def depthwise_grad_weight(g: Tensor, x: Tensor, out: Tensor, *, stride: int, pad_top: int, pad_left: int) -> None:
    (images, height, width, channels), (_, height2, width2, _) = x.shape, g.shape
    kernel = math.isqrt(len(out))
    _library().edgewise_depthwise_grad_weight(
        g.data_ptr(), x.data_ptr(), out.data_ptr(),
        images, channels, height, width, height2, width2, kernel, stride, pad_top, pad_left,
        torch.get_num_threads(),
    )  # fmt: skip
