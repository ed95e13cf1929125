"""Every family, and modules of a user's, answer the same as the network they are lowered to; the rest is refused."""

import io
import re
from collections.abc import Callable
from itertools import pairwise
from math import gcd
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from edgewise.backbones import FAMILIES, load
from edgewise.compress import Bend, Conv, Network, Packed, PackedNetwork, Subsample, from_bytes, lowered, to_bytes
from edgewise.compress.ternary import KINDS, put_ternary
from edgewise.core.errors import EdgewiseError, UsageError
from edgewise.core.preprocess import Preprocess
from edgewise.layers.normalise import Normalise

CLASSES = tuple("abcdefg")


def shaken(model: nn.Module) -> nn.Module:
    """With statistics and weights of its norms that are nobody's defaults."""
    torch.manual_seed(0)
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
            norm.running_mean.normal_(0, 0.2)
            norm.running_var.uniform_(0.5, 2)
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.normal_(norm.bias, 0, 0.2)
    return model


def with_ternary_layers(model: nn.Module) -> list[str]:
    """Every layer that can be is ternary, and a third of its groups are empty; their names."""
    torch.manual_seed(1)
    layers = {name: layer for name, layer in model.named_modules() if type(layer) in KINDS}
    for layer in layers.values():
        filters, channels = layer.weight.shape[:2]
        slab = gcd(channels, 16)
        grouped = layer.weight.data.view(filters, channels // slab, -1)
        grouped *= torch.rand(filters, channels // slab, 1) > 1 / 3
        put_ternary(layer, slab)
    return list(layers)


def worst(model: nn.Module, network: Network) -> float:
    """The largest difference of two images' logits, in float64, as a share of the largest logit."""
    size = network.preprocess.size
    images = torch.randn(2, 3, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(7))
    with torch.no_grad():
        expected = model.double().eval()(images)
    return float((PackedNetwork(network).double()(images) - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("ternary", [False, True], ids=["float", "ternary"])
@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_answers_the_same(name: str, ternary: bool) -> None:
    family = FAMILIES[name]
    model = shaken(family.build(classes=7, **family.settings))
    names = with_ternary_layers(model) if ternary else []
    preprocess = Preprocess(min(family.size, 64), family.input.mean, family.input.std)
    network = lowered(model, preprocess, CLASSES)
    packed = [step.name for step in network.steps if isinstance(step.op, Conv) and isinstance(step.op.weight, Packed)]
    assert packed == names
    assert not any(isinstance(step.op, Bend) for step in network.steps)
    assert worst(model, network) < 1e-6
    content = to_bytes(network)
    assert to_bytes(from_bytes(content)) == content


def test_no_family_is_left_out() -> None:
    assert len(FAMILIES) == 14


def test_google_s_padding() -> None:
    model = shaken(FAMILIES["mobilenet_v2"].build(classes=7, width=0.35, padding="tf-same", bn_eps=1e-3))
    network = lowered(model, Preprocess(48), CLASSES)
    assert network.steps[0].op.padding == (0, 1, 0, 1)  # type: ignore[union-attr]
    assert worst(model, network) < 1e-6


def test_resnet20_is_as_few_steps_as_it_has_ideas() -> None:
    network = lowered(FAMILIES["resnet20"].build(classes=7), Preprocess(32), CLASSES)
    kinds = [type(step.op).__name__ for step in network.steps]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {"Conv": 20, "Add": 9, "Subsample": 2, "Pool": 1}
    assert [step.op for step in network.steps if isinstance(step.op, Subsample)] == [
        Subsample(2, 8, 8),
        Subsample(2, 16, 16),
    ]


class Preactivated(nn.Module):
    """Norms before their convolutions, values that two readers share, and a head on a flattened map."""

    def __init__(self) -> None:
        super().__init__()
        self.normalise = Normalise(Preprocess(16))
        self.stem = nn.Conv2d(3, 8, 3, padding="same")
        self.norm1, self.norm2 = nn.BatchNorm2d(8), nn.BatchNorm2d(8)
        self.conv1, self.conv2 = nn.Conv2d(8, 8, 3, 1, 1, bias=False), nn.Conv2d(8, 8, 1, groups=2)
        self.pool, self.drop = nn.AvgPool2d(4), nn.Dropout(0.5)
        self.head = nn.Linear(8 * 4 * 4, 7)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(self.normalise(x))
        y = self.norm1(x)
        y = self.conv2(F.relu(self.norm2(self.conv1(F.relu(y, inplace=True)))))
        return self.head(self.drop(self.pool(x + y)).view(x.size(0), -1))


class Alexander(nn.Module):
    """In AlexNet's manner: linear layers with norms, functions for everything, padding apart from its convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.pad = nn.ZeroPad2d((0, 1, 2, 1))
        self.conv1, self.conv2 = nn.Conv2d(3, 6, 5, stride=2, padding=(0, 1)), nn.Conv2d(6, 8, (3, 1), padding=(1, 0))
        self.fc1, self.norm, self.fc2 = nn.Linear(8 * 2 * 2, 12), nn.BatchNorm1d(12), nn.Linear(12, 7)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(torch.relu(self.conv1(self.pad(x))), 3, 2, padding=1)
        x = F.adaptive_max_pool2d(F.pad(self.conv2(x).clamp(0, 6), (0, 0, 0, 0, 0, 0)), (2, 2))
        x = self.norm(self.fc1(torch.flatten(x, 1))).relu()
        return self.fc2(F.dropout(x, training=self.training))


class Gated(nn.Module):
    """A gate on channels written the other way round, a mean of a whole map, an activation of its own place."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.gate = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 1)
        self.pool = nn.MaxPool2d(2, ceil_mode=True)
        self.head = nn.Linear(8, 7)

    def forward(self, x: Tensor) -> Tensor:
        x = F.hardswish(self.pool(self.conv(x)))
        x = F.hardsigmoid(self.gate(x.mean((2, 3), keepdim=True))) * x
        x = torch.add(x, nn.functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False))
        return self.head(x.mean([-2, -1]))


@pytest.mark.parametrize("ternary", [False, True], ids=["float", "ternary"])
@pytest.mark.parametrize("kind", [Preactivated, Alexander, Gated])
def test_a_user_s_module_answers_the_same(kind: Callable[[], nn.Module], ternary: bool) -> None:
    model = shaken(kind())
    if ternary:
        with_ternary_layers(model)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    network = lowered(model, Preprocess(16), CLASSES)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(module.training for module in model.modules())
    assert worst(model, network) < 1e-6
    content = to_bytes(network)
    assert to_bytes(from_bytes(content)) == content


def test_bytes_and_floats_are_taken() -> None:
    network = lowered(Gated(), Preprocess(16), CLASSES)
    photos = torch.randint(0, 256, (3, 3, 16, 16), dtype=torch.uint8)
    runs = PackedNetwork(network)
    assert torch.equal(runs(photos), runs(Normalise(Preprocess(16))(photos)))
    assert runs(photos).shape == (3, 7)
    assert not list(runs.parameters())


class Saying(nn.Module):
    """A convolution, what ``says`` it does between, and a head."""

    def __init__(self, middle: Callable[[Tensor], Tensor] | nn.Module, channels: int = 4) -> None:
        super().__init__()
        self.conv, self.middle, self.head = nn.Conv2d(3, 4, 3), middle, nn.Linear(channels, 7)
        self.gamma = nn.Parameter(torch.ones(4, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.middle(self.conv(x)).mean((2, 3)))


class WithParameter(Saying):
    def forward(self, x: Tensor) -> Tensor:
        return self.head((self.conv(x) * self.gamma).mean((2, 3)))


class Looking(Saying):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x if x.sum() > 0 else -x)


REFUSED: list[tuple[str, nn.Module, str]] = [
    ("silu", Saying(nn.SiLU()), "middle (SiLU) cannot be packed: it is a SiLU. What can be packed: convolutions"),
    ("group norm", Saying(nn.GroupNorm(2, 4)), "middle (GroupNorm) cannot be packed: it is a GroupNorm."),
    ("dilated", Saying(nn.Conv2d(4, 4, 3, dilation=2)), "middle (Conv2d) cannot be packed: it is dilated by (2, 2)"),
    ("reflect", Saying(nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect")), "it pads with 'reflect': use zeros"),
    ("no statistics", Saying(nn.BatchNorm2d(4, track_running_stats=False)), "it keeps no statistics"),
    ("leaky", Saying(nn.LeakyReLU()), "middle (LeakyReLU) cannot be packed"),
    ("clamp", Saying(nn.Hardtanh()), "it clamps to -1.0..1.0: only 0.. and 0..6 can be packed"),
    ("padded mean", Saying(nn.AvgPool2d(3, 1, 1)), "it counts its padding in the mean: set count_include_pad=False"),
    ("uneven", Saying(nn.AdaptiveAvgPool2d(5)), "it makes (5, 5) of (14, 14), in windows of several sizes"),
    ("ceil", Saying(nn.MaxPool2d(3, 2, ceil_mode=True)), "it gives (2, 4, 7, 7), which is no map of this network"),
    ("cat", Saying(lambda x: torch.cat([x, x], 1), 8), "The step cat of Saying cannot be packed: it is a step that"),
    ("number", Saying(lambda x: x * 2.0), "The step mul of Saying cannot be packed: it adds or multiplies a number"),
    ("subtract", Saying(lambda x: x - x.relu()), "The step sub of Saying cannot be packed"),
    ("map by map", Saying(lambda x: x * x), "it multiplies 4 x 14 x 14 by 4 x 14 x 14, not by a number for each"),
    ("channels' mean", Saying(lambda x: x.mean(1, keepdim=True), 1), "it is a mean over 1: only that of whole maps"),
    ("part", Saying(lambda x: x[:, :2], 2), "it takes a part of a map: only every s-th pixel can be packed"),
    ("late start", Saying(lambda x: x[:, :, 1::2, 1::2]), "it takes a part of a map"),
    ("constant", Saying(lambda x: F.pad(x, (1, 1, 1, 1), value=1.0)), "it pads with something else than zeros"),
    ("padded sum", Saying(lambda x: F.relu(F.pad(x, (1, 1, 1, 1)))), "it reads a padded map: only a convolution can"),
    ("cut off", Saying(lambda x: F.pad(x, (0, 0, 0, 0, -1, 0)), 3), "it pads by (0, 0, 0, 0, -1, 0)"),
    ("both pads", Saying(lambda x: F.pad(x, (1, 0, 0, 0, 1, 0)), 5), "pad either the sides or the channels"),
    ("shuffle", Saying(lambda x: x.view(2, 4, 7, 2, 14).transpose(2, 3)[:, :, 0]), "(2, 4, 7, 2, 14), which is no map"),
    ("parameter", WithParameter(nn.Identity()), "it reads gamma, which is no map: parameters outside of layers"),
    ("looking", Looking(nn.Identity()), "Looking cannot be packed: Looking.forward"),
    ("not logits", nn.Sequential(nn.Conv2d(3, 7, 16)), "for 2 images it gives [2, 7, 1, 1], and it must give logits"),
    ("more classes", nn.Sequential(nn.Flatten(), nn.Linear(768, 8)), "gives [2, 8], and it must give logits (2, 7)"),
    ("too small", Saying(nn.Conv2d(4, 4, 33)), "Saying could not be run on images of 16 x 16 pixels"),
]  # fmt: skip


@pytest.mark.parametrize(("model", "said"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_what_cannot_be_packed_is_named(model: nn.Module, said: str) -> None:
    with pytest.raises(UsageError, match=re.escape(said)):
        lowered(model, Preprocess(16), CLASSES)


def test_a_layer_that_is_not_what_it_seems_is_found() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 16), nn.Flatten(), nn.Linear(4, 7))
    network = lowered(model, Preprocess(16), CLASSES)
    assert worst(model, network) < 1e-6
    model.float()[0].weight.data[0, 0, 0, 0] = torch.nan
    with pytest.raises(EdgewiseError, match="are up to nan from the model's: its weights are not finite"):
        lowered(model, Preprocess(16), CLASSES)


def test_real_weights_answer_real_photos_the_same(shared: Path) -> None:
    """CIFAR-10's published ResNet-20 on its first 300 test photos: the same classes, at the accuracy known for them."""
    backbone = load("resnet20", weights=str(shared / "weights" / "cifar10_resnet20.safetensors"))
    packed = np.load(shared / "images" / "cifar10_test.npz")
    pieces = (packed["data"][a:b] for a, b in pairwise(packed["offsets"][:301]))
    photos = np.stack([np.asarray(Image.open(io.BytesIO(piece.tobytes())).convert("RGB")) for piece in pieces])
    images = torch.from_numpy(photos).permute(0, 3, 1, 2).contiguous()
    network = lowered(backbone.module, backbone.input, tuple("0123456789"))
    answers = PackedNetwork(network)(images)
    with torch.no_grad():
        expected = backbone.module.eval()(Normalise(backbone.input)(images))
    assert torch.allclose(answers, expected, rtol=0, atol=1e-4)
    assert torch.equal(answers.argmax(1), expected.argmax(1))
    assert float((answers.argmax(1) == torch.from_numpy(packed["labels"][:300])).double().mean()) > 0.75
