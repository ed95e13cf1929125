"""Multiply-adds by declaration: counted by hand, and against those of the modules' own forward pass."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgewise.adapt import METHODS, adapt
from edgewise.backbones import load
from edgewise.cost.macs import macs_forward
from edgewise.lean import Lean, Work, make_lean, work_of

# Of one image of 8 x 8 that passes `network()`: elements of the result times weights of one filter.
STEM = 4 * 4 * 8 * (3 * 3 * 3)  # 3 to 8 channels, stride 2
GROUPED = 4 * 4 * 8 * (4 * 3 * 3)  # 8 to 8 channels in 2 groups
DEPTHWISE = 2 * 2 * 8 * (3 * 3)  # one filter a channel, stride 2
HEAD = 5 * 8
WHOLE = STEM + GROUPED + DEPTHWISE + HEAD


def network() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1, groups=2, bias=False),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=8, bias=False),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 5),
    )


def worked(model: nn.Module, images: Tensor, lean: Lean) -> Work:
    """The arithmetic of one training step that really ran."""
    make_lean(model, lean)
    y = model(images)
    F.cross_entropy(y, torch.zeros(len(images), dtype=torch.long)).backward()
    return work_of(vars(model)["forward"].steps(images).steps, len(images))


@pytest.fixture(autouse=True)
def _cut_whatever_the_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps as small as these would be left whole, and nothing computed again."""
    monkeypatch.setattr("edgewise.lean.planning.ROOM", 0)
    torch.manual_seed(0)


@pytest.mark.parametrize(
    ("trains", "backward"),
    [
        # the image wants no gradient: the first layer that trains computes that of its weight only
        (("0", "2", "4", "7"), STEM + 2 * (GROUPED + DEPTHWISE + HEAD)),
        (("7",), HEAD),  # the weight's gradient alone
        (("4", "7"), DEPTHWISE + 2 * HEAD),
        (("4",), DEPTHWISE + HEAD),  # of the head the input's gradient alone
        (("2",), GROUPED + DEPTHWISE + HEAD),
        (("7.bias",), 0),  # a bias multiplies nothing
    ],
)
def test_by_hand(trains: tuple[str, ...], backward: int) -> None:
    model = network()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith(trains))
    found = worked(model, torch.randn(3, 3, 8, 8), Lean(chunk=0, recompute=False))
    assert (found.forward, found.backward, found.again) == (WHOLE, backward, 0)


def test_an_image_that_wants_a_gradient() -> None:
    model = network().requires_grad_(False)
    images = torch.randn(3, 3, 8, 8, requires_grad=True)
    found = worked(model, images, Lean(chunk=0, recompute=False))
    assert (found.forward, found.backward) == (WHOLE, WHOLE)


class Wide(nn.Module):
    """A narrow input, two wide convolutions that train, a narrow end: cheaper computed again than kept."""

    def __init__(self) -> None:
        super().__init__()
        self.wide, self.deep = nn.Conv2d(3, 32, 1), nn.Conv2d(32, 32, 3, padding=1, groups=32)
        self.narrow, self.head = nn.Conv2d(32, 2, 1), nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = F.hardswish(self.deep(F.hardswish(self.wide(x))))
        return self.head(self.narrow(x).mean((2, 3)))


def test_what_is_computed_again_is_counted_as_again() -> None:
    wide, deep, narrow, head = 36 * 32 * 3, 36 * 32 * 9, 36 * 2 * 32, 2 * 2
    images = torch.randn(4, 3, 6, 6)
    kept = worked(Wide(), images, Lean(chunk=0, recompute=False))
    again = worked(Wide(), images, Lean(chunk=0, recompute=True))
    assert kept.again == 0
    assert again.again == wide + deep, "what the narrow layer reads, and nothing behind it"
    assert kept.forward == again.forward == wide + deep + narrow + head
    assert kept.backward == again.backward == wide + 2 * (deep + narrow + head)
    assert again.calls > kept.calls


def test_a_chunk_at_a_time_is_the_same_work_in_more_calls() -> None:
    model = network()
    whole = worked(model, torch.randn(6, 3, 8, 8), Lean(chunk=0, recompute=False))
    pieces = worked(model, torch.randn(6, 3, 8, 8), Lean(chunk=1, recompute=False))
    assert (pieces.forward, pieces.backward) == (whole.forward, whole.backward)
    assert whole.calls < pieces.calls <= 6 * whole.calls


def test_work_adds_up() -> None:
    assert Work(1, 2, 3, 4) + Work(10, 20, 30, 40) == Work(11, 22, 33, 44)
    assert work_of([], 8) == Work()


@pytest.mark.parametrize("method", sorted(METHODS))
@pytest.mark.parametrize(
    ("family", "size", "bits"), [("pocket", 32, 32), ("mobilenet_v2", 64, 8), ("mobilenet_v3_small", 64, 32)]
)
def test_declared_and_counted_agree(family: str, size: int, bits: int, method: str) -> None:
    """The side network of Rep-Net included; the two ways to count share nothing."""
    backbone = load(family, weights="none", image_size=size, width=None if family == "pocket" else 0.35)
    model = adapt(backbone, METHODS[method](), ["a", "b", "c"]).to(memory_format=torch.channels_last)
    counted = macs_forward(model, (3, size, size))
    found = worked(model, torch.randn(2, 3, size, size), Lean(frozen_bits=bits))
    assert found.forward == counted
    if method == "full":
        assert 1.7 * counted < found.backward < 2 * counted, "two gradients, but none of the images"
    if method == "last":
        assert found.backward == sum(p.numel() for p in model.trainable().values() if p.ndim == 2)
