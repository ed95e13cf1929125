"""Which blocks a network ends in, what is behind them, and what their norms are: found on every family."""

import pytest
import torch
from torch import Tensor, nn

from edgewise.adapt.base import Site
from edgewise.adapt.residual_blocks import last_blocks, residual_blocks
from edgewise.backbones import load
from edgewise.backbones.stages import blocks_of
from edgewise.core.errors import UsageError

SIZE = 64
IRB, BASIC, BOTTLENECK = ["exp", "dw", "proj"], ["dw", "proj"], ["exp", "dw", "proj"]


def site(family: str, **settings) -> Site:
    backbone = load(family, weights="none", image_size=SIZE, **settings)
    return Site(backbone.module, backbone.head, blocks_of(backbone.module, SIZE), SIZE)


# family: last three blocks, layers behind them, roles of the last block's norms, residual blocks in all
FOUND = {
    "mobilenet_v2": (["features.15", "features.16", "features.17"], ["features.18.0", "features.18.1"], IRB, 17),
    "mobilenet_v3_large": (
        ["features.13", "features.14", "features.15"], ["features.16.0", "features.16.1", "classifier.0"], IRB, 15,
    ),
    "mobilenet_v3_small": (
        ["features.9", "features.10", "features.11"], ["features.12.0", "features.12.1", "classifier.0"], IRB, 11,
    ),
    "proxylessnas_mobile": (
        ["blocks.19", "blocks.20", "blocks.21"], ["feature_mix_layer.conv", "feature_mix_layer.bn"], IRB, 20,
    ),
    "mcunet": (["blocks.11", "blocks.12", "blocks.13"], [], IRB, 14),
    "pocket": (["features.10", "features.11", "features.12"], ["features.13.0", "features.13.1"], IRB, 12),
    "resnet18": (["layer3.1", "layer4.0", "layer4.1"], [], BASIC, 8),
    "resnet50": (["layer4.0", "layer4.1", "layer4.2"], [], BOTTLENECK, 16),
    "resnet20": (["layer3.0", "layer3.1", "layer3.2"], [], BASIC, 9),
}  # fmt: skip


@pytest.mark.parametrize("family", FOUND)
def test_the_last_blocks_of(family):
    names, after, roles, count = FOUND[family]
    place = site(family)
    tail = last_blocks(place, 3, "MobileTL")
    assert [block.name for block in tail.blocks] == names
    assert list(tail.after) == after
    assert [role for name, role in tail.norms.items() if name.startswith(names[-1])] == roles
    assert len(residual_blocks(place, "MobileTL")) == count
    assert last_blocks(place, count, "MobileTL").blocks == residual_blocks(place, "MobileTL")
    assert last_blocks(place, 3, "Last blocks", residual=False).names == tail.names, "the two agree where both apply"


def test_every_parameter_behind_the_first_trained_block_belongs_to_the_tail_or_the_head():
    place = site("proxylessnas_mobile")
    inside = set(last_blocks(place, 20, "MobileTL").parameters(place))
    left = {name for name, _ in place.network.named_parameters()} - inside
    assert {name.partition(".")[0] for name in left} == {"first_conv", "classifier"}


def test_the_shortcut_of_a_resnet_ends_in_a_projection_too():
    assert last_blocks(site("resnet18"), 2, "MobileTL").norms == {
        "layer4.0.bn1": "dw", "layer4.0.bn2": "proj", "layer4.0.downsample.1": "proj",
        "layer4.1.bn1": "dw", "layer4.1.bn2": "proj",
    }  # fmt: skip


def test_separable_blocks_are_blocks_but_not_residual():
    place = site("mobilenet_v1", width=0.25)
    assert [b.name for b in last_blocks(place, 2, "Last blocks", residual=False).blocks] == [
        "features.12",
        "features.13",
    ]
    with pytest.raises(UsageError) as refused:
        residual_blocks(place, "MobileTL")
    assert str(refused.value) == (
        "MobileTL works on the residual or inverted-residual blocks of a network, and MobileNetV1 has none: no part "
        "of it that is repeated holds two convolutions or more, ending in a norm without an activation. "
        "Methods that fit: blocks, repnet, bias, bn, last, full."
    )


def test_more_blocks_than_there_are():
    with pytest.raises(UsageError, match="blocks is 18, and MobileNetV2 has 17 residual .* set blocks to at most 17"):
        last_blocks(site("mobilenet_v2", width=0.35), 18, "MobileTL")


def test_every_fault_at_once():
    with pytest.raises(UsageError) as refused:
        last_blocks(site("resnet20"), 10, "MobileTL", needs="exp")
    assert str(refused.value) == (
        "MobileTL: blocks is 10, and CifarResNet has 9 residual or inverted-residual blocks; set blocks to at most 9; "
        "norms is exp-bn, and the last 9 residual or inverted-residual blocks of CifarResNet have no norm behind a 1x1 "
        "convolution inside a branch; choose one of dw-bn, proj-bn, all-bn, all-bn-shift."
    )


class NormAct(nn.BatchNorm2d):
    """A norm with an activation of its own, as timm's."""

    def __init__(self, channels: int, act: nn.Module) -> None:
        super().__init__(channels)
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        return self.act(super().forward(x))


class Odd(nn.Module):
    """A residual block with dropped-out projection, functions, and an unused norm; it wants at least one image."""

    def __init__(self, act: nn.Module, refuses_none: bool) -> None:
        super().__init__()
        self.unused = nn.BatchNorm2d(4)
        self.first, self.second = nn.Conv2d(4, 8, 1, bias=False), nn.Conv2d(8, 4, 3, padding=1, bias=False)
        self.norm1, self.norm2 = NormAct(8, act), NormAct(4, nn.Identity())
        self.refuses_none = refuses_none

    def forward(self, x: Tensor) -> Tensor:
        if self.refuses_none and not len(x):
            raise ZeroDivisionError
        y = nn.functional.dropout(self.norm2(self.second(self.norm1(self.first(x)))), 0.1, self.training)
        return torch.add(x, y)


@pytest.mark.parametrize("refuses_none", [False, True])
@pytest.mark.parametrize("act", [nn.ReLU6(inplace=True), nn.Hardswish(), nn.SiLU(inplace=True)], ids=repr)
def test_a_network_nobody_listed(act, refuses_none):
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(3, 4, 3, 2)
            self.body = nn.Sequential(Odd(act, refuses_none), Odd(act, refuses_none))
            self.mix = nn.Conv2d(4, 6, 1)
            self.hidden, self.head = nn.Linear(6, 5), nn.Linear(5, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.hidden(self.mix(self.body(self.stem(x))).mean((2, 3))))

    network = Net().train()
    network.body[0].eval()
    modes = [m.training for m in network.modules()]
    tail = last_blocks(Site(network, "head", blocks_of(network, 32), 32), 1, "MobileTL")
    assert tail.names == ("body.1", "mix", "hidden")
    assert tail.norms == {"body.1.norm1": "exp", "body.1.norm2": "proj"}
    assert modes == [m.training for m in network.modules()]
    assert not any(m._forward_hooks for m in network.modules())
    assert int(network.body[1].norm1.num_batches_tracked) == 0
