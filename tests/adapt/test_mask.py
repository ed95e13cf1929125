"""Binary masks: where they are, what trains, how they merge, and that the lean pass computes the same."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edgewise.adapt import METHODS, Mask, RepNet, adapt
from edgewise.adapt.mask import MaskedSameConv2d
from edgewise.backbones import load
from edgewise.backbones.blocks import SameConv2d
from edgewise.core.errors import UsageError
from edgewise.cost.kept import KeptBytes
from edgewise.layers.int8_weight import int8_layers
from edgewise.layers.masked_conv import STEPS, MaskedConv2d
from edgewise.layers.weight_standardised import StandardisedConv2d
from edgewise.lean import Lean, make_lean

CLASSES = ("a", "b", "c")
RepNetMask = METHODS["repnet+mask"]


def masked_layers(model):
    return {name: m for name, m in model.network.named_modules() if isinstance(m, MaskedConv2d)}


def scatter(model, seed=0):
    """Scores on both sides of their threshold."""
    random = torch.Generator().manual_seed(seed)
    for layer in masked_layers(model).values():
        low = STEPS[layer.granularity].threshold - 0.005
        layer.mask_scores.data.uniform_(low, low + 0.015, generator=random)
    return model


@pytest.mark.parametrize("kind", [Mask, RepNetMask])
def test_on_proxylessnas_the_masks_are_those_of_the_released_code(kind):
    """Connector blocks 1, 5, 9, 13, 17 and 21, three convolutions each."""
    model = adapt(load("proxylessnas_mobile", weights="none", image_size=64), kind(), CLASSES)
    blocks = [name.split(".")[1] for name in masked_layers(model)]
    assert blocks == [str(block) for block in (1, 5, 9, 13, 17, 21) for _ in range(3)]
    # block 1: 32 channels in, three times as many inside, 5 x 5, 32 out; one score a kernel
    first = [tuple(layer.mask_scores.shape) for layer in masked_layers(model).values()][:3]
    assert first == [(48, 16, 1, 1), (48, 1, 1, 1), (32, 48, 1, 1)]
    assert sum(len(names) for group, names in model.groups.items() if group == "mask") == 18


def test_what_trains_and_how_fast():
    model = adapt(load("pocket"), Mask(mask_lr=3e-4, lr=2e-3), CLASSES)
    assert set(model.trainable()) == {*model.groups["main"], *model.groups["mask"]}
    assert model.groups["side"] == ()
    assert all(name.endswith(".mask_scores") for name in model.groups["mask"])
    assert (model.rates["main"], model.rates["mask"]) == (2e-3, 3e-4)
    together = adapt(load("pocket"), RepNetMask(), CLASSES)
    assert together.rates == {"main": 1e-3, "side": 1e-2, "mask": 1e-4}
    assert set(together.groups["mask"]) == set(model.groups["mask"])
    assert set(together.groups["side"]) == set(adapt(load("pocket"), RepNet(), CLASSES).groups["side"])


@pytest.mark.parametrize("granularity", ["kernel", "weight"])
def test_everywhere_means_every_convolution(granularity):
    backbone = load("mobilenet_v2", weights="none", width=0.35, image_size=64)
    model = adapt(backbone, Mask(where="all", granularity=granularity), CLASSES)
    layers = [m for m in backbone.module.modules() if isinstance(m, nn.Conv2d)]
    assert len(masked_layers(model)) == len(layers) == 52
    assert sum(p.numel() for name, p in model.trainable().items() if name.endswith("mask_scores")) == sum(
        m.weight.numel() if granularity == "weight" else m.weight[..., 0, 0].numel() for m in layers
    )
    assert len(masked_layers(adapt(backbone, Mask(), CLASSES))) == 18


def test_an_adapter_holds_the_scores_and_not_the_weights():
    model = scatter(adapt(load("pocket"), Mask(), CLASSES))
    held = set(model.difference())
    assert held == set(model.trainable())
    assert not any(name.startswith("network.") and ".weight" in name for name in held - set(model.groups["main"]))


@pytest.mark.parametrize("granularity", ["kernel", "weight"])
@pytest.mark.parametrize(("family", "width"), [("pocket", None), ("mobilenet_v1", 0.25)])
def test_a_mask_merges_into_zeros(family, width, granularity):
    """`mobilenet_v1` pads as TensorFlow does, which the masked and the plain layer must both do."""
    backbone = load(family, weights="none", width=width, image_size=32)
    model = scatter(adapt(backbone, Mask(granularity=granularity, where="all"), CLASSES)).eval()
    plain, images = model.merged(), torch.randn(2, 3, 32, 32)
    assert torch.equal(plain(images), model.network(images))
    assert not any(isinstance(m, MaskedConv2d) for m in plain.modules())
    assert set(plain.state_dict()) == set(backbone.module.state_dict())
    kinds = {name: type(m) for name, m in backbone.module.named_modules() if isinstance(m, nn.Conv2d)}
    assert {name: type(m) for name, m in plain.named_modules() if isinstance(m, nn.Conv2d)} == kinds
    assert (SameConv2d in kinds.values()) == (family == "mobilenet_v1")
    for name, layer in masked_layers(model).items():
        assert isinstance(layer, MaskedSameConv2d) == (kinds[name] is SameConv2d)
        zeros = int((plain.get_submodule(name).weight == 0).sum())
        assert zeros == int((~layer.kept()).expand_as(layer.weight).sum()) > 0


def flat(model, images):
    model.zero_grad()
    F.cross_entropy(model(images), torch.arange(len(images)) % 3).backward()
    return torch.cat([p.grad.double().flatten() for p in model.trainable().values()])


@pytest.mark.parametrize("chunk", [0, 1])
@pytest.mark.parametrize("method", [Mask(), Mask(granularity="weight", where="all"), RepNetMask()], ids=repr)
@pytest.mark.parametrize("family", ["mobilenet_v1", "mobilenet_v2", "resnet20"])
def test_lean_computes_the_gradients_of_a_mask_that_has_zeros(family, method, chunk, monkeypatch):
    monkeypatch.setattr("edgewise.lean.planning.ROOM", 0)
    torch.manual_seed(0)
    width = None if family == "resnet20" else 0.35
    model = scatter(adapt(load(family, weights="none", width=width, image_size=64), method, CLASSES))
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.data.uniform_(0.5, 1.5)
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    model.to(memory_format=torch.channels_last)
    images = torch.randn(5, 3, 64, 64)
    exact, plain = flat(copy.deepcopy(model).double(), images.double()), flat(copy.deepcopy(model), images)
    assert make_lean(model, Lean(chunk=chunk)) == ()
    lean = flat(model, images)
    assert vars(model)["forward"].steps(images).uncovered == ()
    noise, error = ((own - exact).norm() / exact.norm() for own in (plain, lean))
    assert error <= max(3 * noise, 1e-3)


def test_lean_keeps_only_the_inputs_of_what_is_masked():
    backbone = load("mobilenet_v2", weights="none", width=0.35, image_size=64)
    images, kept = torch.randn(4, 3, 64, 64), {}
    for where in "connectors", "all":
        model = adapt(backbone, Mask(where=where), CLASSES).to(memory_format=torch.channels_last)
        for lean in False, True:
            if lean:
                make_lean(model, Lean(chunk=0, recompute=False))
            with KeptBytes([images, *model.parameters(), *model.buffers()]) as counter:
                loss = F.cross_entropy(model(images), torch.zeros(4, dtype=torch.long))
            kept[where, lean] = counter.total
            del loss
    assert kept["connectors", True] < kept["connectors", False] / 2
    assert kept["connectors", True] < kept["all", True] < kept["all", False]


def test_beside_weights_in_8_bits_masked_ones_stay_floats():
    model = scatter(adapt(load("pocket"), Mask(), CLASSES)).eval()
    images = torch.randn(4, 3, 32, 32)
    make_lean(model, Lean(frozen_bits=8), [images])
    masks, rounded = masked_layers(model), {name.removeprefix("network.") for name, _ in int8_layers(model)}
    every = {name for name, m in model.network.named_modules() if isinstance(m, nn.Conv2d)}
    assert rounded == every - masks.keys() != set()
    assert all(layer.weight.dtype == torch.float32 for layer in masks.values())
    lean, merged = model(images), model.merged()
    torch.testing.assert_close(merged(images), lean, rtol=1e-4, atol=1e-4)


class Block(nn.Module):
    def __init__(self, inputs, outputs, kind=nn.Conv2d):
        super().__init__()
        self.conv = kind(inputs, outputs, 3, stride=2, padding=1)

    def forward(self, x):
        return F.relu(self.conv(x))


class Network(nn.Module):
    def __init__(self, kind=nn.Conv2d):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.blocks = nn.Sequential(Block(8, 8, kind), Block(8, 16, kind))
        self.head = nn.Linear(16, 4)

    def forward(self, x):
        return self.head(self.blocks(self.stem(x)).mean((2, 3)))


class Twice(nn.Module):
    """A convolution that runs twice belongs to no block."""

    def __init__(self):
        super().__init__()
        self.conv, self.pool, self.head = nn.Conv2d(3, 3, 3, padding=1), nn.AvgPool2d(4), nn.Linear(3, 4)

    def forward(self, x):
        return self.head(self.pool(self.conv(self.conv(x))).mean((2, 3)))


class Flat(nn.Module):
    def __init__(self):
        super().__init__()
        self.pool, self.head = nn.AvgPool2d(4), nn.Linear(3 * 64, 4)

    def forward(self, x):
        return self.head(self.pool(x).flatten(1))


@pytest.mark.parametrize("where", ["connectors", "all"])
@pytest.mark.parametrize("kind", [Mask, RepNetMask])
def test_an_unknown_kind_of_convolution_is_refused_before_anything_changes(kind, where):
    backbone = load(Network(StandardisedConv2d), image_size=32)
    keys = list(backbone.module.state_dict())
    with pytest.raises(UsageError) as refused:
        adapt(backbone, kind(where=where), CLASSES)
    said = str(refused.value)
    assert "are StandardisedConv2d (such as blocks.0.conv)" in said
    assert "it fits Conv2d, SameConv2d" in said
    assert "bias, bn, last and full fit any network" in said
    assert list(backbone.module.state_dict()) == keys
    assert len(masked_layers(adapt(load(Network(), image_size=32), kind(where=where), CLASSES))) == (
        3 if where == "all" else 2
    )


def test_a_network_without_convolutions_is_refused():
    with pytest.raises(UsageError, match="Flat has no convolution .* bias, bn, last and full fit"):
        adapt(load(Flat(), image_size=32), Mask(), CLASSES)


def test_convolutions_outside_of_blocks_are_masked_only_on_demand():
    with pytest.raises(UsageError, match=r"none of the 1 convolutions of Twice .* --set where=all masks them all"):
        adapt(load(Twice(), image_size=32), Mask(), CLASSES)
    assert len(masked_layers(adapt(load(Twice(), image_size=32), Mask(where="all"), CLASSES))) == 1


@pytest.mark.parametrize("settings", [{"granularity": "channel"}, {"where": "head"}, {"mask_lr": -1.0}])
def test_settings_out_of_range(settings):
    (name,) = settings
    for kind in Mask, RepNetMask:
        with pytest.raises(UsageError, match=f"{name} is"):
            kind(**settings)
