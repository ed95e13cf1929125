"""Lite residual modules: shapes as published, the sum written out by hand, and MobileTL's patches."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edgewise.adapt import METHODS, LastLayer, TinyTL, adapt
from edgewise.adapt.lite import LitePatches, LiteResiduals
from edgewise.backbones import load
from edgewise.backbones.stages import blocks_of
from edgewise.core.errors import UsageError
from edgewise.cost.kept import KeptBytes
from edgewise.cost.published import published
from edgewise.layers.side_module import SideModule
from edgewise.layers.weight_standardised import StandardisedConv2d
from edgewise.lean import kept_bytes, make_lean

TEN = tuple("0123456789")
SMALL = 48


def lite_by_hand(module, x, size, stride):
    """TinyTL, Section 3.3, in torch's functions: what ``module`` computes, from its tensors alone."""

    def standardised(weight):
        flat = weight.flatten(1)
        centred = flat - flat.mean(1, keepdim=True)
        return (centred / (flat.std(1, keepdim=True) + 1e-5)).view_as(weight)

    def normed(x, norm):
        n, c, h, w = x.shape
        groups = x.reshape(n, c // 8, 8 * h * w)
        centred = groups - groups.mean(2, keepdim=True)
        scaled = (centred / (centred.square().mean(2, keepdim=True) + 1e-3).sqrt()).view(n, c, h, w)
        return scaled * norm.weight.view(-1, 1, 1) + norm.bias.view(-1, 1, 1)

    kernel = module.conv1.weight.shape[-1]
    x = F.avg_pool2d(x, min(2, *x.shape[-2:]))
    x = F.conv2d(x, standardised(module.conv1.weight), stride=stride, padding=kernel // 2, groups=2)
    x = F.conv2d(normed(x, module.norm1).relu(), standardised(module.conv2.weight))
    return F.interpolate(normed(x, module.norm2), size, mode="bilinear", align_corners=False)


class InvertedWithLite(nn.Module):
    """MobileNetV2's block as the paper draws it: the lite residual joins the main branch, then the shortcut does."""

    def __init__(self, block, lite, stride):
        super().__init__()
        self.block, self.lite, self.stride = block, lite, stride

    def forward(self, x):
        y = self.block.conv(x)
        y = y + lite_by_hand(self.lite, x, y.shape[-2:], self.stride)
        return x + y if self.block.shortcut else y


class ResidualWithLite(nn.Module):
    """A ResNet's block with the lite residual behind its last ReLU."""

    def __init__(self, block, lite, stride):
        super().__init__()
        self.block, self.lite, self.stride = block, lite, stride

    def forward(self, x):
        y = self.block(x)
        return y + lite_by_hand(self.lite, x, y.shape[-2:], self.stride)


def lively(model):
    """Nothing at 0 or 1 any more, and no dropout: every path of the network matters."""
    random = torch.Generator().manual_seed(7)
    for part in model.modules():
        if isinstance(part, (nn.BatchNorm2d, nn.GroupNorm)):
            part.weight.data.uniform_(0.5, 1.5, generator=random)
            part.bias.data.normal_(0, 0.3, generator=random)
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.2, generator=random)
            part.running_var.uniform_(0.5, 1.5, generator=random)
        if isinstance(part, nn.Dropout):
            part.p = 0.0
    return model


def photos(count=4, size=SMALL):
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(1))


def gradients(model, images):
    F.cross_entropy(model(images), torch.arange(len(images)) % 3).backward()
    return {id(p): p.grad.clone() for p in model.parameters() if p.requires_grad}


@pytest.mark.parametrize(
    ("family", "names", "strides", "twin"),
    [
        ("mobilenet_v2", ("features.15", "features.16", "features.17"), (1, 1, 1), InvertedWithLite),
        ("mobilenet_v2", ("features.13", "features.14"), (1, 2), InvertedWithLite),
        ("resnet20", ("layer3.0", "layer3.1", "layer3.2"), (2, 1, 1), ResidualWithLite),
    ],
    ids=["inverted residuals", "with a stride", "residuals"],
)
def test_the_sum_by_hand(family, names, strides, twin):
    """Outputs and every gradient in float64; beside an inverted residual, added inside the block or to its output."""
    backbone = load(family, weights="none", image_size=SMALL)
    network = lively(backbone.module).double().eval()
    blocks = [block for block in blocks_of(network, SMALL) if block.name in names]
    lite = lively(LiteResiduals(blocks)).double()
    assert [module.conv1.stride for module in lite.beside] == [(stride, stride) for stride in strides]
    by_hand = copy.deepcopy(network, {id(p): p for p in network.parameters()})  # the same parameters in other blocks
    for name, module, stride in zip(names, lite.beside, strides, strict=True):
        parent, _, child = name.rpartition(".")
        setattr(by_hand.get_submodule(parent), child, twin(by_hand.get_submodule(name), module, stride))
    lite.attach(network, blocks)
    hooked = nn.ModuleList([network, lite])
    hooked.forward = network.forward
    images = photos().double()
    assert torch.allclose(network(images), by_hand(images), rtol=1e-10, atol=1e-12)
    ours = gradients(hooked, images)
    hooked.zero_grad()
    reference = gradients(by_hand, images)
    assert ours.keys() == reference.keys()
    for key, gradient in ours.items():
        assert torch.allclose(gradient, reference[key], rtol=1e-8, atol=1e-12)
        assert gradient.any()


@pytest.mark.parametrize("norm", ["group", "batch"])
@pytest.mark.parametrize("side", [5, 1])
def test_gradients_of_a_module_in_float64(norm, side):
    """Against finite differences, on an odd map and on one of a single pixel (the module's pool shrinks with it)."""
    torch.manual_seed(0)
    module = SideModule(4, 4, 6, kernel=3, norm=norm, stride=2, zero=False).double()
    names = [name for name, _ in module.named_parameters()]
    x = torch.randn(3, 4, side, side, dtype=torch.float64, requires_grad=True)
    values = [p.detach().clone().requires_grad_(True) for p in module.parameters()]

    def function(x, *values):
        given = dict(zip(names, values, strict=True))
        return torch.func.functional_call(module, given, (x, (max(1, side // 2), max(1, side // 2))))

    assert torch.autograd.gradcheck(function, (x, *values), eps=1e-7, atol=1e-5)


def test_a_module_without_a_trained_last_shift():
    plain, frozen = (SideModule(8, 8, 16, norm="group", trains_last_shift=trains) for trains in (True, False))
    assert set(plain.state_dict()) == set(frozen.state_dict())
    assert {n for n, _ in plain.named_parameters()} - {n for n, _ in frozen.named_parameters()} == {"norm2.bias"}
    frozen.norm2.bias += 3.0
    assert torch.equal(frozen(torch.randn(2, 8, 6, 6), (6, 6)), torch.full((2, 16, 6, 6), 3.0))


@pytest.mark.parametrize(
    "method",
    [
        TinyTL(),
        TinyTL(train="lite"),
        TinyTL(norm="batch"),
        TinyTL(weight_standard=False),
        LitePatches(),
        LitePatches(blocks=4),  # the first of them has a stride
        METHODS["mobiletl+lite"](),
    ],
    ids=str,
)
def test_lean_is_plain_to_noise_and_keeps_what_it_declares(method, monkeypatch):
    monkeypatch.setattr("edgewise.lean.planning.ROOM", 0)
    model = lively(adapt(load("mobilenet_v2", weights="none", width=0.35, image_size=96), method, TEN))
    model.to(memory_format=torch.channels_last)
    images = photos(6, 96).contiguous(memory_format=torch.channels_last)

    def measured(model, images):
        """Bytes kept for the backward pass, and every gradient in one vector."""
        with KeptBytes([images, *model.parameters(), *model.buffers()]) as counter:
            loss = F.cross_entropy(model(images), torch.arange(len(images)))
        loss.backward()
        found = torch.cat([p.grad.double().flatten() for p in model.trainable().values()])
        model.zero_grad()
        return counter.total, found

    _, exact = measured(copy.deepcopy(model).double(), images.double())
    before, plain = measured(copy.deepcopy(model), images)
    assert make_lean(model) == ()
    after, lean = measured(model, images)
    noise, error = ((found - exact).norm() / exact.norm() for found in (plain, lean))
    assert error <= max(3 * noise, 1e-5)
    # Beside the planned maps there are the standardised weights, and a few numbers for every channel of a norm.
    weights = sum(4 * c.weight.numel() for c in model.side.modules() if isinstance(c, StandardisedConv2d))
    channels = sum(n.num_features for n in model.modules() if isinstance(n, nn.BatchNorm2d))
    declared = kept_bytes(model, images)
    assert declared <= after <= declared + weights + 4 * 4 * channels
    assert after - weights < before / 3


# Patches for MobileTL ---------------------------------------------------------------------------


def test_patches_as_published():
    """MobileTL, Table 5: 635,392 parameters in three patches; with the main blocks frozen 1,060,362 and 32.3 MB."""
    backbone = load("proxylessnas_mobile", weights="none")
    model = adapt(backbone, LitePatches(), TEN)
    assert [sum(p.numel() for p in patch.parameters()) for patch in model.side.beside] == [203_520, 203_520, 228_352]
    assert model.sizes()["trainable_params"] == 1_060_362
    assert set(model.awake) == {"feature_mix_layer.conv", "feature_mix_layer.bn"}
    batch = (8, 3, 224, 224)
    # No bits for the ReLUs below the first patch, which no gradient passes: the peak is that of the frozen stem.
    stem = published(adapt(backbone, LastLayer(), TEN), batch).activation_peak_bytes
    assert (published(model, batch).parameters_bytes + stem) / 1e6 == pytest.approx(32.3, abs=0.05)


def test_patches_with_mobiletl_as_published():
    """The row above: 2,211,466 parameters and 35.8 MB."""
    backbone = load("proxylessnas_mobile", weights="none")
    model = adapt(backbone, METHODS["mobiletl+lite"](), TEN)
    assert model.sizes()["trainable_params"] == 2_211_466
    batch = (8, 3, 224, 224)
    stem = published(adapt(backbone, LastLayer(), TEN), batch).activation_peak_bytes
    assert (published(model, batch).parameters_bytes + stem) / 1e6 == pytest.approx(35.8, abs=0.05)


def test_one_setting_says_how_many_blocks_train_and_are_patched():
    backbone = load("mobilenet_v2", weights="none", width=0.35, image_size=64)
    model = adapt(backbone, METHODS["mobiletl+lite"](blocks=1), TEN)
    assert len(model.side.beside) == 1
    trained = {name.split(".")[2] for name in model.trainable() if name.startswith("network.features.")}
    assert trained == {"17", "18"}  # the block, and the feature-mix layer


def test_patches_only_beside_the_last_blocks():
    model = adapt(load("mobilenet_v2", weights="none", width=0.35, image_size=64), LitePatches(blocks=2), TEN)
    hooked = [name for name, module in model.network.named_modules() if module._forward_hooks]
    assert hooked == ["features.16", "features.17"]
    for patch in model.side.beside:
        assert isinstance(patch.norm1, nn.GroupNorm)
        assert not patch.norm2.weight.any()


def test_patches_are_refused_where_they_do_not_fit():
    with pytest.raises(UsageError, match="MobileNetV1 has none"):
        adapt(load("mobilenet_v1", weights="none", width=0.25, image_size=64), LitePatches(), TEN)
    with pytest.raises(UsageError, match="blocks is 10, and .* has 9"):
        adapt(load("resnet20", weights="none"), LitePatches(blocks=10), TEN)
    with pytest.raises(UsageError, match="blocks is 0; it must be at least 1"):
        LitePatches(blocks=0)
