"""Convolutions whose weights are mostly zeros, on the processor: ``sparse.c``, and its twin in plain torch.

A weight is packed once: for each filter the places of the numbers that are not 0, and those numbers.  A convolution
then does one multiplication for each of them and pixel, so its time falls with the density; what a layer of this kind
costs besides is the copy of its input into planes with the padding in them.  Each filter's numbers are added in
float32, in the order of their places.
"""

import ctypes
import math
from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from edgewise.native.library import opened

_POINTER, _SIZE, _FLOAT = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float
_FUNCTION = "edgewise_sparse_conv"
_SIGNATURES = {_FUNCTION: (*[_POINTER] * 6, *[_SIZE] * 11, *[_FLOAT] * 2, _SIZE)}
_LARGEST = 2**31  # numbers that a distance of 32 bits spans


@dataclass(frozen=True, eq=False)
class SparseWeight:
    """The numbers of a weight (N, C, K, K) that are not 0.

    Filter f has those numbered ``starts[f]`` to ``starts[f + 1] - 1``: ``values`` (float32) at ``taps`` (int32), places
    in its C · K · K; ``starts`` is int32 (N + 1,).
    """

    shape: tuple[int, int, int, int]
    starts: Tensor
    taps: Tensor
    values: Tensor

    @property
    def density(self) -> float:
        """Share of the weights that are not 0."""
        return len(self.values) / max(1, math.prod(self.shape))

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return self.starts.nbytes + self.taps.nbytes + self.values.nbytes

    def dense(self) -> Tensor:
        """(N, C, K, K) with its zeros."""
        weight = self.values.new_zeros(self.shape).flatten(1)
        filters = torch.repeat_interleave(torch.arange(len(weight)), self.starts.diff().long())
        weight[filters, self.taps.long()] = self.values
        return weight.view(self.shape)


def pack(weight: Tensor) -> SparseWeight:
    """``weight`` (N, C, K, K), square and on the CPU, without its zeros; a copy, in float32."""
    if weight.ndim != 4 or weight.shape[2] != weight.shape[3] or weight.is_meta or not weight.is_cpu:
        raise ValueError(f"weight must be (N, C, K, K) on the CPU, not {tuple(weight.shape)} on {weight.device}.")
    filters, channels, kernel, _ = weight.shape
    flat = weight.detach().float().reshape(filters, -1)
    there = flat != 0
    starts = torch.zeros(filters + 1, dtype=torch.int32)
    starts[1:] = there.sum(1).cumsum(0)
    shape = (filters, channels, kernel, kernel)
    return SparseWeight(shape, starts, there.nonzero()[:, 1].to(torch.int32), flat[there])


@cache
def _opened() -> tuple[ctypes.CDLL | None, str | None]:
    return opened("sparse.c", _SIGNATURES, (_FUNCTION,))


def sparse_why_not() -> str | None:
    """Why sparse convolutions are not compiled here; None where they are."""
    return _opened()[1]


def sparse_conv2d(
    x: Tensor,
    weight: SparseWeight,
    bias: Tensor | None,
    *,
    stride: int,
    padding: tuple[int, int, int, int],
    low: float = -math.inf,
    high: float = math.inf,
) -> Tensor:
    """``clamp(x * weight + bias, low, high)``: x (N, C, H, W) and the result contiguous, float32, on the CPU.

    ``padding``: zeros (top, bottom, left, right), each at least 0.  Without a compiler, plain torch on the dense
    weight: the same numbers up to rounding, and no faster than that.  Raises `ValueError` for what does not fit.
    """
    (filters, channels, kernel, _), (top, bottom, left, right) = weight.shape, padding
    if x.ndim != 4 or x.dtype != torch.float32 or not x.is_cpu or x.shape[1] != channels:
        raise ValueError(f"x must be float32 (N, {channels}, H, W) on the CPU, not {x.dtype} {tuple(x.shape)}.")
    if bias is not None and (bias.shape != (filters,) or bias.dtype != torch.float32 or not bias.is_contiguous()):
        raise ValueError(f"bias must be float32 ({filters},), not {bias.dtype} {tuple(bias.shape)}.")
    if stride < 1 or min(padding) < 0:
        raise ValueError(f"Stride {stride} and padding {padding} must be positive, the padding may be 0.")
    height, width = x.shape[2] + top + bottom, x.shape[3] + left + right
    if min(height, width) < kernel:
        raise ValueError(f"A kernel of {kernel} does not fit into {height} x {width} pixels.")
    sides = ((height - kernel) // stride + 1, (width - kernel) // stride + 1)
    library = _opened()[0]
    if library is None or not x.numel() or channels * (height + stride) * (width + stride) >= _LARGEST:
        return _plain(x, weight, bias, stride, padding, low, high)
    x, out = x.contiguous(), x.new_empty(len(x), filters, *sides)
    done = library.edgewise_sparse_conv(
        x.data_ptr(), weight.starts.data_ptr(), weight.taps.data_ptr(), weight.values.data_ptr(),
        None if bias is None else bias.data_ptr(), out.data_ptr(),
        len(x), channels, x.shape[2], x.shape[3], filters, *sides, kernel, stride, top, left,
        low, high, torch.get_num_threads(),
    )  # fmt: skip
    if not done:
        raise MemoryError
    return out


def _plain(
    x: Tensor,
    weight: SparseWeight,
    bias: Tensor | None,
    stride: int,
    padding: tuple[int, int, int, int],
    low: float,
    high: float,
) -> Tensor:
    """The twin."""
    top, bottom, left, right = padding
    y = F.conv2d(F.pad(x, (left, right, top, bottom)), weight.dense(), bias, stride)
    return y if (low, high) == (-math.inf, math.inf) else y.clamp_(low, high)
