"""A lean model's tensors may change in any way between two passes: what is computed is what they are now."""

import copy
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from edgewise.cost.dry import on_meta
from edgewise.lean import Lean, make_lean


def network() -> nn.Sequential:
    """Frozen but for its last layer; fused norms behind convolutions with a bias and without, and one norm apart."""
    layers = [nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 5, 1, bias=False), nn.BatchNorm2d(5)]
    model = nn.Sequential(*layers, nn.BatchNorm2d(5), nn.Flatten(), nn.Linear(45, 4))
    return numbers(model.requires_grad_(False).eval(), 0)


@torch.no_grad()
def numbers(model: nn.Sequential, seed: int) -> nn.Sequential:
    """Other numbers in the same tensors."""
    random = torch.Generator().manual_seed(seed)
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.is_floating_point():
            tensor.uniform_(0.5, 1.5, generator=random)
    model[-1].requires_grad_(True)
    return model


def loaded(model: nn.Sequential) -> None:
    model.load_state_dict(numbers(copy.deepcopy(model), 1).state_dict())


def in_place(model: nn.Sequential) -> None:
    with torch.no_grad():
        for norm in (model[1], model[4], model[5]):
            norm.running_var.mul_(2)
            norm.running_mean.add_(1)
            norm.weight.mul_(-1)


def behind_autograd(model: nn.Sequential) -> None:
    """Which leaves no trace in a tensor's version."""
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.is_floating_point():
            tensor.data.mul_(2)


def by_stock_training(model: nn.Sequential) -> None:
    """Nor does this: a norm on its own, outside the lean pass, moves its statistics."""
    model[1].train()(torch.randn(4, 6, 3, 3) + 3)
    model[1].eval()


def with_new_buffers(model: nn.Sequential) -> None:
    model.double().float()
    in_place(model)


def with_a_new_norm_weight(model: nn.Sequential) -> None:
    model[4].weight = nn.Parameter(torch.rand(5), requires_grad=False)


def after_a_run_on_shapes(model: nn.Sequential) -> None:
    with on_meta(model):
        assert model(torch.empty(4, 3, 5, 5, device="meta")).is_meta
    in_place(model)


def norms_awake(model: nn.Sequential) -> None:
    for norm in (model[1], model[4], model[5]):
        norm.requires_grad_(True)


def norms_in_training_and_back(model: nn.Sequential) -> None:
    model.train()
    model(torch.randn(4, 3, 5, 5))
    model.eval()


CHANGES: list[Callable[[nn.Sequential], None]] = [
    loaded, in_place, behind_autograd, by_stock_training, with_new_buffers, with_a_new_norm_weight,
    after_a_run_on_shapes, norms_awake, norms_in_training_and_back,
]  # fmt: skip


def answers(model: nn.Sequential) -> list[Tensor]:
    """Outputs with and without gradients, and the gradients."""
    torch.manual_seed(2)
    images = torch.randn(4, 3, 5, 5)
    with torch.no_grad():
        quiet = model(images)
    model.zero_grad()
    outputs = model(images)
    outputs.square().sum().backward()
    return [quiet, outputs.detach(), *(p.grad.clone() for p in model.parameters() if p.grad is not None)]


@pytest.mark.parametrize("bits", [32, 8])
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_what_changed_is_seen(change: Callable[[nn.Sequential], None], bits: int) -> None:
    lean = network()
    make_lean(lean, Lean(chunk=2, frozen_bits=bits))
    copied = copy.deepcopy(lean)
    before = answers(lean)
    for mine, theirs in zip(answers(copied), before, strict=True):
        assert torch.equal(mine, theirs)
    torch.manual_seed(3)
    change(lean)
    plain = network()
    plain.load_state_dict(lean.state_dict())
    for mine, theirs in zip(plain.parameters(), lean.parameters(), strict=True):
        mine.requires_grad_(theirs.requires_grad)
    found, expected = answers(lean), answers(plain)
    assert len(found) == len(expected)
    for mine, theirs in zip(found, expected, strict=True):
        assert torch.allclose(mine, theirs, rtol=1e-4, atol=1e-4 * float(theirs.abs().max()))
    assert torch.allclose(found[0], before[0], rtol=1e-3) == (change is norms_awake)  # the others move what is found
    for mine, theirs in zip(answers(copied), before, strict=True):
        assert torch.equal(mine, theirs)  # the copy has tensors of its own


class Counted(TorchDispatchMode):
    """How often each of torch's functions is called."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: Counter[Any] = Counter()

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        self.calls[function] += 1
        return function(*args, **(kwargs or {}))


def test_a_frozen_norm_s_scale_is_made_once_a_pass() -> None:
    model, images = network(), torch.randn(4, 3, 5, 5)
    make_lean(model, Lean(chunk=2))
    model(images)
    for passes in (1, 2):
        with Counted() as counted:
            for _ in range(passes):
                model(images)
        assert counted.calls[torch.ops.aten.rsqrt.default] == 3 * passes
