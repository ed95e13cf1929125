"""Modules of the user's: what is followed, what is left as it is, and what is said about it."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgewise.lean import make_lean
from edgewise.lean.trace import Untraceable, trace


class Functional(nn.Module):
    """Functions in place of layers, a shortcut, a gate, and one function nobody knows."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 8, 3, padding=1, groups=4)
        self.head = nn.Linear(8, 4)
        self.scale = nn.Parameter(torch.ones(1, 8, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.scale * F.relu(self.norm(self.conv1(x)))
        y = torch.cumsum(self.conv2(x), 1) * torch.sigmoid(x.mean((2, 3), keepdim=True))
        x = x + y
        return self.head(F.adaptive_avg_pool2d(x, 1).flatten(1))


class Looking(nn.Module):
    """Its forward looks at a value, so it cannot be followed."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3)
        self.act = nn.ReLU6(inplace=True)
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.conv(x))
        if x.sum() < 0:
            x = -x
        return self.head(x.mean((2, 3)))


def gradients(model: nn.Module, images: Tensor) -> list[Tensor]:
    model.zero_grad()
    model(images).square().sum().backward()
    return [p.grad.clone() for p in model.parameters() if p.grad is not None]


@pytest.mark.parametrize("kind", [Functional, Looking])
@pytest.mark.parametrize("frozen", [(), ("conv1", "conv"), ("conv1", "conv2", "norm", "conv")])
def test_same_gradients(kind: type[nn.Module], frozen: tuple[str, ...]) -> None:
    torch.manual_seed(0)
    model, images = kind(), torch.randn(5, 3, 9, 9, requires_grad=True)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not name.startswith(frozen) if frozen else True)
    expected = gradients(model, images)
    to_images = images.grad
    images.grad = None
    make_lean(model)
    found = gradients(model, images)
    assert len(found) == len(expected)
    for mine, theirs in zip(found, expected, strict=True):
        assert torch.allclose(mine, theirs, rtol=1e-4, atol=1e-5)
    assert images.grad is not None
    assert to_images is not None
    assert torch.allclose(images.grad, to_images, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("norm", [{"affine": False}, {"track_running_stats": False}, {"momentum": None}])
def test_norms_of_other_kinds_behind_a_frozen_convolution(norm: dict[str, bool | None], training: bool) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6, **norm), nn.ReLU(), nn.Flatten(), nn.Linear(54, 4))
    model[0].requires_grad_(False)
    model.train(training)
    plain, images = copy.deepcopy(model), torch.randn(4, 3, 5, 5)
    make_lean(model)
    for mine, theirs in zip(gradients(model, images), gradients(plain, images), strict=True):
        assert torch.allclose(mine, theirs, atol=1e-4)
    for name, buffer in plain.named_buffers():
        assert torch.allclose(model.get_buffer(name), buffer, atol=1e-5), name


def test_what_is_not_covered_is_named() -> None:
    model = Functional()
    assert make_lean(model) == ()
    steps = model.forward.steps(torch.randn(2, 3, 9, 9))  # type: ignore[attr-defined]
    assert [name for name in steps.uncovered if "cumsum" in name]
    (said,) = make_lean(Looking())
    assert said.startswith("Looking.forward: ")
    assert "Its layers are lean one by one" in said


def test_a_value_overwritten_and_used_again_is_not_followed() -> None:
    class Overwriting(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            y = x * 2
            z = F.relu(y, inplace=True)
            return z + y

    with pytest.raises(Untraceable, match="used again after"):
        trace(Overwriting())


def test_hooks_of_layers_are_part_of_the_model() -> None:
    model, images = Functional().eval(), torch.randn(2, 3, 9, 9)
    model.conv2.register_forward_hook(lambda layer, args, output: output + args[0])
    model.conv1.register_forward_pre_hook(lambda layer, args: (args[0] * 2,))
    expected = model(images)
    make_lean(model)
    assert torch.allclose(model(images), expected, atol=1e-5)
    for module in model.modules():
        module._forward_hooks.clear()
        module._forward_pre_hooks.clear()
    make_lean(model)
    assert not torch.allclose(model(images), expected, atol=1e-5)


def test_a_step_that_no_shapes_pass_runs_as_it_is_and_says_so() -> None:
    class Fussy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return torch.nn.functional.unfold(self.conv(x).max(0, keepdim=True).values, 2).mean(2)

    model, images = Fussy(), torch.randn(2, 3, 8, 8)
    expected = model(images)
    make_lean(model)
    with pytest.warns(UserWarning, match="It runs as in stock PyTorch"):
        assert torch.equal(model(images), expected)


def test_a_copy_of_a_model_that_cannot_be_followed() -> None:
    model, images = Looking(), torch.randn(2, 3, 9, 9)
    make_lean(model)
    other = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(2)
    assert not torch.allclose(other(images), model(images))
