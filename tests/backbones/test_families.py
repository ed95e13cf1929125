"""Every family of ours: the contract, the published numbers, and twins written from the definitions."""

import inspect
import itertools
import json

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edgewise.backbones import FAMILIES, load
from edgewise.backbones.base import PADDINGS
from edgewise.backbones.matching import compare
from edgewise.backbones.stages import blocks_of, connectors, find_head
from edgewise.core.errors import UsageError
from edgewise.core.surgery import digest

EXPECTED = {
    "mobilenet_v1", "mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large", "proxylessnas_mobile", "mcunet",
    "pocket", "resnet18", "resnet50", "resnet20", "resnet32", "resnet44", "resnet56", "wrn32",
}  # fmt: skip
PARAMETERS = {
    ("mobilenet_v1", 1.0): 4_231_976,
    ("mobilenet_v1", 0.25): 470_072,
    ("mobilenet_v2", 1.0): 3_504_872,
    ("mobilenet_v2", 0.35): 1_677_128,
    ("mobilenet_v3_small", 1.0): 2_542_856,
    ("mobilenet_v3_large", 1.0): 5_483_032,
    ("proxylessnas_mobile", 1.0): 4_080_512,
    ("resnet18", None): 11_689_512,
    ("resnet50", None): 25_557_032,
    ("resnet20", None): 269_722,
    ("resnet32", None): 464_154,
    ("resnet44", None): 658_586,
    ("resnet56", None): 853_018,
    ("wrn32", None): 1_860_522,
}
"""Table 1 of the MobileNet papers, torchvision's documentation, the CIFAR ResNets' README, the code of MEST."""


def test_members_found():
    assert set(FAMILIES) == EXPECTED
    assert all(name == family.name for name, family in FAMILIES.items())


@pytest.fixture(scope="module", params=sorted(EXPECTED))
def family(request):
    return FAMILIES[request.param]


@pytest.fixture(scope="module")
def net(family):
    return load(family.name, weights="none", seed=1)


def test_describes_itself(family, net):
    assert family.paper
    assert len(family.description) < 80
    parameters = set(inspect.signature(family.build).parameters)
    assert {"classes", *family.settings} <= parameters
    assert net.name == family.name
    assert net.input == family.input
    assert net.weights is None
    assert net.classes is None
    assert net.notes == (f"{family.name} starts from random weights: everything has to be learned from your photos.",)


def test_forward_and_head(family, net):
    logits = net.module(torch.randn(2, 3, family.size, family.size))
    assert logits.shape == (2, family.classes)
    assert logits.isfinite().all()
    assert net.head == family.head == find_head(net.module, family.size)
    assert isinstance(net.module.get_submodule(net.head), nn.Linear)


def test_settings_rebuild_it(net, family):
    settings = json.loads(json.dumps(dict(net.settings)))
    seed = settings.pop("seed")
    assert seed == 1
    twin = family.build(**settings)
    assert not compare(twin, net.module.state_dict())
    twin.load_state_dict(net.module.state_dict())
    x = torch.randn(1, 3, family.size, family.size)
    assert torch.equal(twin.eval()(x), net.module(x))


def test_connectors_are_the_published_ones(family, net):
    found = connectors(blocks_of(net.module, family.size))
    assert tuple(block.name for block in found) == family.connectors


def test_blocks_chain(family, net):
    """Every block is given what the one before gave."""
    blocks = blocks_of(net.module, family.size)
    assert blocks[0].input_shape == (3, family.size, family.size)
    assert len(blocks) >= 6
    for before, after in itertools.pairwise(blocks):
        assert after.input_shape == before.output_shape


def small(family, **named):
    return load(family.name, weights="none", width=0.25 if family.widths else None, image_size=32, **named)


def test_random_weights_follow_the_seed_and_leave_the_stream_alone(family):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one, again, other = (small(family, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(3), expected)
    assert one.fingerprint == again.fingerprint == digest(_without_counters(one.module.state_dict()))
    assert other.fingerprint != one.fingerprint


def test_classes_and_eval_mode(family):
    net = small(family, classes=3)
    assert net.module.get_submodule(net.head).out_features == 3
    assert not any(module.training for module in net.module.modules())


def test_width_and_padding_are_checked(family):
    if family.widths is None:
        with pytest.raises(UsageError, match=f"^{family.name} has no width multiplier; leave --width out.$"):
            family.checked({"width": 0.5})
    else:
        for width in (0.0, -1.0, 4.1, float("nan"), True, "0.5"):
            with pytest.raises(
                UsageError, match=f"^The width of {family.name} is .*; it must be a number from 0.05 to 4"
            ):
                family.checked({"width": width})
        assert family.checked({"width": 0.35})["width"] == 0.35
    if "padding" in family.settings:
        with pytest.raises(UsageError, match="There is no padding 'tf_same'. Did you mean 'tf-same'"):
            family.checked({"padding": "tf_same"})
        assert family.settings["padding"] in PADDINGS
    with pytest.raises(UsageError, match=f"There is no setting of {family.name} 'colour'"):
        family.checked({"colour": 1})


@pytest.mark.parametrize(("name", "width"), sorted(PARAMETERS, key=str))
def test_published_parameter_counts(name, width):
    net = FAMILIES[name].build(**({} if width is None else {"width": width}))
    assert sum(p.numel() for p in net.parameters()) == PARAMETERS[name, width]


def test_proxylessnas_has_tinytls_parameters_and_empty_slots():
    net = FAMILIES["proxylessnas_mobile"].build(classes=100)
    assert sum(p.numel() for p in net.parameters()) == 2_927_612
    assert [i for i, block in enumerate(net.blocks) if isinstance(block, nn.Identity)] == [3, 4]
    assert len(net.blocks) == 22
    assert {m.eps for m in net.modules() if isinstance(m, nn.BatchNorm2d)} == {1e-3}
    names = set(net.state_dict())
    for name in (
        "first_conv.conv.weight",
        "blocks.0.mobile_inverted_conv.depth_conv.bn.running_var",
        "blocks.1.mobile_inverted_conv.inverted_bottleneck.conv.weight",
        "blocks.21.mobile_inverted_conv.point_linear.conv.weight",
        "feature_mix_layer.bn.bias",
        "classifier.linear.bias",
    ):
        assert name in names


@pytest.mark.parametrize(
    "name",
    ["mobilenet_v1", "mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large", "proxylessnas_mobile", "pocket"],
)
def test_padding_and_epsilon_reach_every_layer(name):
    family = FAMILIES[name]
    small = {"width": 0.25} if family.widths else {}
    nets = [family.build(padding=padding, bn_eps=2e-3, **small).eval() for padding in PADDINGS]
    for net in nets:
        assert {m.eps for m in net.modules() if isinstance(m, nn.BatchNorm2d)} == {2e-3}
    x = torch.randn(2, 3, 64, 64)
    _settle_norms(nets[0], x)
    nets[1].load_state_dict(nets[0].state_dict())
    assert not torch.allclose(nets[0](x), nets[1](x))
    strided = [m for m in nets[1].modules() if isinstance(m, nn.Conv2d) and m.stride != (1, 1)]
    assert strided
    assert all(m.padding == (0, 0) for m in strided)


def test_only_originals_with_dropout_have_it():
    having = {n for n, f in FAMILIES.items() if any(isinstance(m, nn.Dropout) for m in f.build().modules())}
    assert having == {"mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large", "pocket", "proxylessnas_mobile"}


# Twins: the same networks in the fewest words, with the same parameter names.
class PlainMobileNetV1(nn.Module):
    def __init__(self, alpha, classes):
        super().__init__()

        def conv(i, o, k, s, g=1):
            return [nn.Conv2d(i, o, k, s, k // 2, groups=g, bias=False), nn.BatchNorm2d(o, eps=1e-3), nn.ReLU6()]

        layers, i = [nn.Sequential(*conv(3, int(32 * alpha), 3, 2))], int(32 * alpha)
        for n, s in (
            [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)] + [(512, 1)] * 5 + [(1024, 2), (1024, 1)]
        ):
            o = int(n * alpha)
            layers.append(nn.Sequential(*conv(i, i, 3, s, i), *conv(i, o, 1, 1)))
            i = o
        self.features, self.classifier = nn.Sequential(*layers), nn.Linear(i, classes)

    def forward(self, x):
        return self.classifier(self.features(x).mean((2, 3)))


class PlainCifarBlock(nn.Module):
    def __init__(self, i, o, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(i, o, 3, stride, 1, bias=False), nn.BatchNorm2d(o)
        self.conv2, self.bn2 = nn.Conv2d(o, o, 3, 1, 1, bias=False), nn.BatchNorm2d(o)
        self.widen = stride == 2

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.widen:
            zeros = torch.zeros(len(x), x.shape[1] // 2, y.shape[2], y.shape[3])
            x = torch.cat([zeros, x[:, :, ::2, ::2], zeros], 1)
        return F.relu(x + y)


class PlainResNet20(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        rows = ((16, 16, 1), (16, 32, 2), (32, 64, 2))
        for n, (i, o, s) in enumerate(rows, 1):
            blocks = (PlainCifarBlock(i, o, s), PlainCifarBlock(o, o, 1), PlainCifarBlock(o, o, 1))
            setattr(self, f"layer{n}", nn.Sequential(*blocks))
        self.linear = nn.Linear(64, 10)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        return self.linear(self.layer3(self.layer2(self.layer1(x))).mean((2, 3)))


@pytest.mark.parametrize(
    ("ours", "twin", "size"),
    [
        (
            lambda: FAMILIES["mobilenet_v1"].build(classes=7, width=0.5, padding="torch"),
            lambda: PlainMobileNetV1(0.5, 7),
            64,
        ),
        (lambda: FAMILIES["resnet20"].build(), PlainResNet20, 32),
    ],
    ids=["mobilenet_v1", "resnet20"],
)
def test_equals_its_twin(ours, twin, size):
    net, plain = ours().train(), twin().train()
    plain.load_state_dict(net.state_dict())
    x = torch.randn(4, 3, size, size)
    torch.testing.assert_close(net(x), plain(x))
    torch.testing.assert_close(net.eval()(x), plain.eval()(x))


def _settle_norms(net, x):
    """Fresh running statistics let random networks' signals die out; take those of one batch."""
    for norm in (m for m in net.modules() if isinstance(m, nn.BatchNorm2d)):
        norm.momentum = None
    net.train()(x)
    net.eval()


def _without_counters(state):
    return {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}
