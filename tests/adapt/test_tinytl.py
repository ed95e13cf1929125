"""TinyTL: published counts to the unit, which modules stand where, and the file they may start from."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from edgewise.adapt import METHODS, Bias, TinyTL, adapt, method_class
from edgewise.adapt.lite import LiteResiduals
from edgewise.backbones import load
from edgewise.backbones.stages import blocks_of
from edgewise.core.errors import EdgewiseError, UsageError
from edgewise.core.surgery import digest
from edgewise.layers.weight_standardised import StandardisedConv2d

TEN = tuple("0123456789")
PHOTOS = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(2))


@pytest.fixture(scope="module")
def small():
    return load("mobilenet_v2", weights="none", width=0.35, image_size=64)


@pytest.fixture(scope="module")
def proxyless():
    return load("proxylessnas_mobile", weights="none")


def moved(model):
    """Side modules that are not at their start any more, shifts that are not trained included."""
    random = torch.Generator().manual_seed(5)
    for tensor in model.side.state_dict().values():
        if tensor.is_floating_point():
            tensor.uniform_(0.5, 1.5, generator=random)
    return model.eval()


# As published -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "settings", "trained"),
    [
        ("last", {}, 128_100),
        ("bias", {}, 145_348),
        ("tinytl", {"train": "bias"}, 145_348),
        ("bn", {}, 162_596),
        ("tinytl", {"train": "lite"}, 1_944_516),
        ("tinytl", {}, 1_959_748),
        ("full", {}, 2_927_612),
    ],
    ids=str,
)
def test_trainable_parameters_on_proxylessnas(proxyless, method, settings, trained):
    """MobileTL, Table 3, and TinyTL's code: 100 classes."""
    model = adapt(proxyless, METHODS[method](**settings), [str(i) for i in range(100)])
    assert model.sizes()["trainable_params"] == trained


def test_nineteen_modules_as_released(proxyless):
    """Beside every block but the first and the empty slots 3 and 4; K = 5, from slot 18 on 3."""
    model = adapt(proxyless, TinyTL(), TEN)
    slots = [int(name.split(".")[1]) for name, module in model.network.named_modules() if module._forward_hooks]
    assert slots == [1, 2, *range(5, 22)]
    table = [(m.conv1.in_channels, m.conv2.out_channels, *m.conv1.stride[:1]) for m in model.side.beside]
    assert table == [
        (16, 32, 2), (32, 32, 1),
        (32, 40, 2), *[(40, 40, 1)] * 3,
        (40, 80, 2), *[(80, 80, 1)] * 3,
        (80, 96, 1), *[(96, 96, 1)] * 3,
        (96, 192, 2), *[(192, 192, 1)] * 3,
        (192, 320, 1),
    ]  # fmt: skip
    for slot, module in zip(slots, model.side.beside, strict=True):
        assert module.conv1.kernel_size == ((5, 5) if slot <= 17 else (3, 3))
        assert module.conv1.out_channels == module.conv1.in_channels
        assert (module.conv1.groups, module.conv2.groups, module.squeeze.pool) == (2, 1, 2)
        assert isinstance(module.conv1, StandardisedConv2d)
        assert isinstance(module.conv2, StandardisedConv2d)
        assert {n.num_channels // n.num_groups for n in (module.norm1, module.norm2)} == {8}
        assert {n.eps for n in (module.norm1, module.norm2)} == {1e-3}


@pytest.mark.parametrize("family", ["mobilenet_v2", "proxylessnas_mobile", "mcunet", "resnet20"])
def test_weights_do_not_depend_on_the_image_size(family):
    shapes = []
    for size in (33, 96, 160, 224):
        model = adapt(load(family, weights="none", image_size=size), TinyTL(), TEN)
        shapes.append({name: tensor.shape for name, tensor in model.side.state_dict().items()})
    assert shapes[0] == shapes[1] == shapes[2] == shapes[3]


# What trains ------------------------------------------------------------------------------------


def test_bias_alone_is_the_method_bias(small):
    one, other = (adapt(small, method, TEN) for method in (TinyTL(train="bias"), Bias()))
    assert one.groups == other.groups
    assert digest(one.state_dict()) == digest(other.state_dict())


def test_biases_train_beside_the_modules_and_at_their_rate(small):
    both, lite, bias = (adapt(small, TinyTL(train=train), TEN) for train in ("lite+bias", "lite", "bias"))
    assert (
        set(both.groups["main"])
        == set(lite.groups["main"])
        == {"network.classifier.1.weight", "network.classifier.1.bias"}
    )
    shifts = {name for name in lite.groups["side"] if name.endswith("norm2.bias")}
    assert len(shifts) == len(lite.side.beside) == 16
    assert set(both.groups["side"]) == (set(lite.groups["side"]) - shifts) | set(bias.groups["side"])


def test_the_backbone_keeps_its_norms_in_eval_mode(small):
    before = digest(small.module.state_dict())
    model = adapt(small, TinyTL()).train()
    norms = [part for part in model.network.modules() if isinstance(part, (nn.BatchNorm2d, nn.GroupNorm))]
    assert norms
    assert all(isinstance(norm, nn.BatchNorm2d) and not norm.training for norm in norms)
    assert digest(model.network.state_dict()) == before
    assert list(model.network.state_dict()) == list(small.module.state_dict())


def test_settings_reach_the_modules(small):
    module = adapt(small, TinyTL(norm="batch", weight_standard=False), TEN).side.beside[0]
    assert isinstance(module.norm1, nn.BatchNorm2d)
    assert isinstance(module.norm2, nn.BatchNorm2d)
    assert type(module.conv1) is type(module.conv2) is nn.Conv2d


# Where it does not fit --------------------------------------------------------------------------


def test_no_residual_block_is_refused_and_biases_are_not():
    plain = load("mobilenet_v1", weights="none", width=0.25, image_size=64)
    with pytest.raises(UsageError, match=r"TinyTL.*MobileNetV1 has none.*Methods that fit: .*bias"):
        adapt(plain, TinyTL(), TEN)
    assert adapt(plain, TinyTL(train="bias"), TEN).trainable()


class Few(nn.Module):
    """A stem and ``number`` residual blocks."""

    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.norm1 = nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8)
            self.conv2, self.norm2 = nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8)

        def forward(self, x):
            return x + self.norm2(self.conv2(self.norm1(self.conv1(x)).relu()))

    def __init__(self, number):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.blocks = nn.Sequential(*(self.Residual() for _ in range(number)))
        self.unused = self.Residual()  # a class that appears twice makes a block
        self.head = nn.Linear(8, 4)

    def forward(self, x):
        return self.head(self.blocks(self.stem(x)).mean((2, 3)))


def test_the_only_block_is_the_first():
    assert len(adapt(load(Few(2), image_size=32), TinyTL()).side.beside) == 1
    with pytest.raises(UsageError, match="Few has one only. Set train to bias, or use the method repnet"):
        adapt(load(Few(1), image_size=32), TinyTL())


def test_contradicting_settings():
    with pytest.raises(UsageError, match="train is 'bias', which has no lite modules for lite_weights"):
        TinyTL(train="bias", lite_weights="lite.safetensors")
    with pytest.raises(UsageError, match="train is 'all'.*norm is 'layer'.*lr is -1.0"):
        TinyTL(train="all", norm="layer", lr=-1.0)
    with pytest.raises(UsageError, match="TinyTL trains the biases already"):
        method_class("tinytl+bias")


# The file the modules start from ----------------------------------------------------------------


def started(network, path, **settings):
    return adapt(network, TinyTL(lite_weights=str(path), **settings), TEN)


@pytest.mark.parametrize("whole_adapter", [False, True])
@pytest.mark.parametrize("train", ["lite", "lite+bias"])
def test_pretrained_modules(small, tmp_path, whole_adapter, train):
    """From the state of a side network, or from the adapter of a run; L's shifts stay where L+B does not train them."""
    before = moved(adapt(small, TinyTL(train="lite"), TEN))
    tensors = before.difference() if whole_adapter else before.side.state_dict()
    save_file({name: t.contiguous() for name, t in tensors.items()}, tmp_path / "lite.safetensors")
    after = started(small, tmp_path / "lite.safetensors", train=train).eval()
    assert digest(after.side.state_dict()) == digest(before.side.state_dict())
    after.network.classifier.load_state_dict(before.network.classifier.state_dict())
    assert torch.equal(after(PHOTOS), before(PHOTOS))
    fresh = adapt(small, TinyTL(train=train), TEN, seed=3)
    assert digest(fresh.side.state_dict()) != digest(after.side.state_dict())


def test_a_missing_file(small, tmp_path):
    save_file({"a": torch.ones(1)}, tmp_path / "lite.safetensors")
    with pytest.raises(UsageError, match=r"no weight file .*light.safetensors. Did you mean 'lite.safetensors'"):
        started(small, tmp_path / "light.safetensors")


def test_a_file_that_would_have_to_be_unpickled(small, tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    torch.save({"beside.0.conv1.weight": Trap()}, tmp_path / "lite.pth")
    with pytest.raises(UsageError, match="only .safetensors files are read"):
        started(small, tmp_path / "lite.pth")
    (tmp_path / "lite.pth").rename(tmp_path / "lite.safetensors")
    with pytest.raises(EdgewiseError, match="is not a whole safetensors file"):
        started(small, tmp_path / "lite.safetensors")
    assert not (tmp_path / "sprung").exists()


def test_every_difference_is_named(small, tmp_path):
    blocks = [block for block in blocks_of(small.module, 64) if block.name in ("features.2", "features.3")]
    state = LiteResiduals(blocks).state_dict()
    state["beside.0.norm1.weight"] = torch.ones(3)
    state["beside.99.conv1.weight"] = torch.ones(3)
    save_file(state, tmp_path / "other.safetensors")
    with pytest.raises(EdgewiseError) as said:
        started(small, tmp_path / "other.safetensors")
    text = str(said.value)
    assert "84 missing from the file: beside.2.conv1.weight" in text
    assert "1 unknown to the network: beside.99.conv1.weight" in text
    assert "beside.0.norm1.weight (file 3, network 8)" in text
    assert "leave lite_weights out" in text


def test_numbers_that_are_none(small, tmp_path):
    state = adapt(small, TinyTL(train="lite"), TEN).side.state_dict()
    state["beside.4.conv2.weight"].fill_(float("nan"))
    save_file(state, tmp_path / "lite.safetensors")
    with pytest.raises(EdgewiseError, match=r"NaN or infinite values: beside.4.conv2.weight"):
        started(small, tmp_path / "lite.safetensors")
