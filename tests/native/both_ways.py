"""What the tests of compiled code and of its plain twin share: the choice of the way, and memory with a fence."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from unittest import mock

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from edgewise.native import fallback, functions, kernels

COMPILED = pytest.param(
    kernels, id="compiled", marks=pytest.mark.skipif(kernels.why_not() is not None, reason=str(kernels.why_not()))
)
ways = pytest.mark.parametrize("way", [COMPILED, pytest.param(fallback, id="plain")])
GUARD = 64


@contextmanager
def only(way: ModuleType, threads: int = 1) -> Iterator[None]:
    """Every call takes this way, on so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with mock.patch.object(functions, "_way", return_value=way):
            yield
    finally:
        torch.set_num_threads(before)


def guarded(shape: tuple[int, ...], dtype: torch.dtype = torch.float32, odd: int = 0) -> tuple[Tensor, Tensor]:
    """A tensor to write into, in the middle of a larger one: (the tensor, what must stay as it is).

    ``odd`` elements more lie before it, so that it need not begin at a round address.
    """
    count = math.prod(shape)
    memory = torch.full((count + 2 * GUARD + odd,), 77, dtype=dtype)
    inner = memory[GUARD + odd : GUARD + odd + count].view(shape)
    return inner, memory


def untouched(memory: Tensor, odd: int = 0) -> bool:
    return bool((memory[: GUARD + odd] == 77).all() and (memory[-GUARD:] == 77).all())


def bits_of(flags: Tensor) -> list[int]:
    """By hand: the first flag in the lowest bit of the first byte."""
    values = flags.flatten().tolist()
    groups = [values[i : i + 8] for i in range(0, len(values), 8)]
    return [sum(2**i for i, flag in enumerate(group) if flag) for group in groups]


def room(x: Tensor) -> tuple[Tensor, Tensor]:
    return guarded(((x.numel() + 7) // 8,), torch.uint8)


BOUNDS = {"relu": (0.0, math.inf), "relu6": (0.0, 6.0), "hardtanh": (-1.5, 2.0), "none": (-math.inf, math.inf)}
ACTIVATIONS = {
    "relu": F.relu,
    "relu6": F.relu6,
    "hardtanh": lambda x: F.hardtanh(x, -1.5, 2.0),
    "none": lambda x: x * 1,
}


def activated(x: Tensor, name: str) -> tuple[Tensor, Tensor]:
    """torch's result, and where its gradient passes; ours passes NaN always, torch's with ReLU only."""
    x = x.detach().requires_grad_()
    y = ACTIVATIONS[name](x)
    y.backward(torch.ones_like(y))
    assert x.grad is not None
    return y.detach(), (x.grad != 0) | x.detach().isnan()
