"""Batch statistics and `Affine` together are batch norm in training."""

from collections.abc import Callable

import pytest
import torch
from op_cases import LAYOUTS, laid_out
from torch import Tensor, nn

from edgewise.cost.kept import KeptBytes
from edgewise.ops import Affine, BatchStatistics, Instruction, Plan, Program, run

EPS = 1e-3
Norm = Callable[[Tensor, Tensor, Tensor], Tensor]


def ours(x: Tensor, weight: Tensor, bias: Tensor, chunk: int = 2) -> Tensor:
    channels, height, width = x.shape[1:]
    shape, vector = (height, width, channels), (channels,)
    line = (Instruction(Affine(), (0, 1, 2, 3), 4),)
    program = Program(1, 3, line, (4,), (shape, vector, vector, vector, shape), frozenset({0}))
    mean, variance = BatchStatistics.apply(x)  # type: ignore[no-untyped-call]
    (y,) = run(Plan(program, chunk), [x, mean, weight * (variance + EPS).rsqrt(), bias])
    return y


def stock(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    norm = nn.BatchNorm2d(x.shape[1], eps=EPS).to(x.dtype)
    y: Tensor = torch.func.functional_call(norm, {"weight": weight, "bias": bias}, (x,))
    return y


def operands(dtype: torch.dtype, offset: float = 0.0, layout: str = "contiguous") -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(5, 3, 7, 5, generator=generator) * 1.5 + offset
    vectors = torch.randn(2, 3, generator=generator)
    return [t.to(dtype).requires_grad_() for t in (laid_out(x, layout), *vectors.unbind())]


def everything(norm: Norm, tensors: list[Tensor]) -> list[Tensor]:
    """Result and gradients."""
    y = norm(*tensors)
    grad = torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).to(y)
    return [y, *torch.autograd.grad(y, tensors, grad)]


@pytest.mark.parametrize("chunk", [1, 2, 5])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_is_batch_norm(layout: str, chunk: int) -> None:
    tensors = operands(torch.float64, 0.7, layout)
    found = everything(lambda x, weight, bias: ours(x, weight, bias, chunk), tensors)
    for value, truth in zip(found, everything(stock, operands(torch.float64, 0.7)), strict=True):
        torch.testing.assert_close(value, truth, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("needs", [(True, False, False), (False, True, False), (False, False, True)])
def test_each_gradient_alone(needs: tuple[bool, ...]) -> None:
    both = []
    for norm in (ours, stock):
        tensors = [t.requires_grad_(need) for t, need in zip(operands(torch.float64), needs, strict=True)]
        norm(*tensors).square().mul(torch.arange(5.0).view(5, 1, 1, 1)).sum().backward()
        both.append([t.grad for t in tensors])
    for found, truth in zip(*both, strict=True):
        assert (found is None) == (truth is None)
        if found is not None:
            torch.testing.assert_close(found, truth, rtol=1e-9, atol=1e-9)


def test_gradcheck() -> None:
    x = torch.randn(3, 2, 3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(BatchStatistics.apply, (x,))
    vectors = [torch.randn(2, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    assert torch.autograd.gradcheck(ours, (x, *vectors))


def test_statistics_are_those_of_the_batch() -> None:
    (x, *_) = operands(torch.float64, 3.0)
    mean, variance = BatchStatistics.apply(x)  # type: ignore[no-untyped-call]
    torch.testing.assert_close(mean, x.mean((0, 2, 3)))
    torch.testing.assert_close(variance, x.var((0, 2, 3), correction=0))


@pytest.mark.parametrize("offset", [0.0, 10.0, 1e3])
def test_far_from_zero_no_worse_than_torch(offset: float) -> None:
    """In single precision, against double precision on the same numbers."""
    single = operands(torch.float32, offset)
    truths = everything(stock, [t.detach().double().requires_grad_() for t in single])
    for found, torchs, truth in zip(everything(ours, single), everything(stock, single), truths, strict=True):
        error, allowed = ((t.double() - truth).abs().max() for t in (found, torchs))
        assert error <= 2 * allowed + 1e-6 * truth.abs().max()


def test_the_input_is_kept_once() -> None:
    """By the statistics and by the scale's gradient: one storage; beside it some vectors of 3 numbers."""
    (x, weight, bias) = operands(torch.float32)
    with KeptBytes([weight, bias]) as counter:
        ours(x, weight, bias)
    vectors, rest = divmod(counter.total - x.nbytes, 3 * 4)
    assert rest == 0
    assert 0 < vectors <= 6


def test_a_second_derivative_is_refused() -> None:
    (x, *_) = operands(torch.float64)
    mean, _ = BatchStatistics.apply(x)  # type: ignore[no-untyped-call]
    (gradient,) = torch.autograd.grad(mean.square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="differentiate twice"):
        gradient.sum().backward()
