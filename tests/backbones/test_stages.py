"""Blocks and connectors, found in networks that nobody listed."""

import importlib.util

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edgewise.backbones.external import ensure_torchvision
from edgewise.backbones.stages import Block, blocks_of, connectors
from edgewise.core.errors import EdgewiseError


class Unit(nn.Module):
    """A user's residual block, with a functional activation."""

    def __init__(self, inputs, outputs, stride=1):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, stride, 1)
        self.norm = nn.BatchNorm2d(outputs)
        self.same = stride == 1 and inputs == outputs

    def forward(self, x):
        y = F.relu(self.norm(self.conv(x)))
        return x + y if self.same else y


class Body(nn.Module):
    """A wrapper that occurs once."""

    def __init__(self, *stages):
        super().__init__()
        self.stages = nn.ModuleList(stages)

    def forward(self, x):
        for stage in self.stages:
            x = stage(x)
        return x


class UsersNet(nn.Module):
    def __init__(self, stem=2):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, stem, 1)
        self.body = Body(
            nn.Sequential(Unit(4, 4), Unit(4, 8, 2)),
            nn.Sequential(Unit(8, 8), Unit(8, 12, 2)),
            Unit(12, 16),
            Unit(16, 16),
        )
        self.mix = nn.Conv2d(16, 32, 1)
        self.head = nn.Linear(32, 5)

    def forward(self, x):
        return self.head(F.relu(self.mix(self.body(F.relu(self.stem(x))))).mean((2, 3)))


def names(blocks):
    return [block.name for block in blocks]


def test_containers_and_wrappers_are_opened_and_shapes_are_right():
    blocks = blocks_of(UsersNet(), 32)
    assert names(blocks) == [
        "stem", "body.stages.0.0", "body.stages.0.1", "body.stages.1.0", "body.stages.1.1",
        "body.stages.2", "body.stages.3", "mix",
    ]  # fmt: skip
    assert blocks[0] == Block("stem", (3, 32, 32), (4, 16, 16), 3)
    assert blocks[2] == Block("body.stages.0.1", (4, 16, 16), (8, 8, 8), 3)
    assert blocks[-1] == Block("mix", (16, 4, 4), (32, 4, 4), 1)


def test_connectors_start_after_the_stem_and_end_before_the_mixing_layer():
    found = connectors(blocks_of(UsersNet(), 32))
    assert names(found) == ["body.stages.0.1", "body.stages.1.1", "body.stages.2", "body.stages.3"]


def test_a_stem_that_keeps_the_resolution_is_no_first_drop():
    assert names(connectors(blocks_of(UsersNet(stem=1), 32)))[0] == "body.stages.0.1"


def test_at_the_smallest_sizes_the_points_stay():
    """Connectors and their channels must not depend on the image size, or adapters would not either."""
    assert [names(connectors(blocks_of(UsersNet(), size))) for size in (8, 33, 64)] == [
        ["body.stages.0.1", "body.stages.1.1", "body.stages.2", "body.stages.3"]
    ] * 3


def test_a_plain_chain_of_leaves():
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 2),
    )  # fmt: skip
    blocks = blocks_of(net, 16)
    assert names(blocks) == [str(i) for i in range(9)], "flatten and the head take or give no map"
    assert names(connectors(blocks)) == ["2", "3", "5", "6"], "the last block before pooling is added"


def test_a_network_that_never_drops_has_its_last_block():
    net = nn.Sequential(Unit(3, 4), Unit(4, 4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    assert names(connectors(blocks_of(net, 16))) == ["1"]


class Reuses(nn.Module):
    """One activation called twice, one block called twice, one never, one fed by keyword."""

    def __init__(self):
        super().__init__()
        self.relu = nn.ReLU()
        self.first = nn.Conv2d(3, 4, 3, 2, 1)
        self.twice = Unit(4, 4)
        self.never = Unit(4, 4)
        self.keyword = nn.Conv2d(4, 4, 1)
        self.once = Unit(4, 4)
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        x = self.relu(self.first(x))
        x = self.relu(self.twice(self.twice(x)))
        x = self.once(self.keyword(input=x))
        return self.head(x.mean((2, 3)))


def test_only_what_is_called_exactly_once():
    assert names(blocks_of(Reuses(), 16)) == ["first", "once"]


class Stage(nn.Module):
    """Occurs twice, but is never called: its parent calls what is in it."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.down, self.keep = Unit(inputs, outputs, 2), Unit(outputs, outputs)


class CallsInside(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = Stage(3, 4), Stage(4, 8)
        self.head = nn.Linear(8, 2)

    def forward(self, x):
        for stage in (self.a, self.b):
            x = stage.keep(stage.down(x))
        return self.head(x.mean((2, 3)))


def test_repeated_classes_that_are_not_called_are_opened():
    blocks = blocks_of(CallsInside(), 16)
    assert names(blocks) == ["a.down", "a.keep", "b.down", "b.keep"]
    assert names(connectors(blocks)) == ["b.down", "b.keep"]


class NestedTwice(nn.Module):
    """Repeated wrappers around repeated blocks: the outermost counts."""

    def __init__(self):
        super().__init__()
        self.stages = nn.Sequential(*(Body(Unit(i, o, 2), Unit(o, o)) for i, o in ((3, 4), (4, 8))))
        self.head = nn.Linear(8, 2)

    def forward(self, x):
        return self.head(self.stages(x).mean((2, 3)))


def test_the_outermost_repeated_class_counts():
    assert names(blocks_of(NestedTwice(), 16)) == ["stages.0", "stages.1"]


def test_subclasses_of_sequential_are_blocks():
    class Pair(nn.Sequential):
        pass

    net = nn.Sequential(
        Pair(nn.Conv2d(3, 4, 3, 2), nn.ReLU()), Pair(nn.Conv2d(4, 4, 3), nn.ReLU()), nn.Flatten(), nn.LazyLinear(2)
    )
    net(torch.zeros(1, 3, 16, 16))
    assert names(blocks_of(net, 16)) == ["0", "1"]


def test_the_network_is_left_as_it_was():
    net = UsersNet()
    net.body.stages[0][0].eval()
    modes = {name: module.training for name, module in net.named_modules()}
    state = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    blocks_of(net, 32)
    assert torch.equal(torch.rand(2), expected)
    assert modes == {name: module.training for name, module in net.named_modules()}
    assert all(torch.equal(tensor, state[name]) for name, tensor in net.state_dict().items())
    assert not any(module._forward_hooks for module in net.modules())


def test_a_failing_network_is_left_as_it_was_and_the_message_says_why():
    net = nn.Sequential(Unit(4, 4), Unit(4, 4)).train()
    with pytest.raises(EdgewiseError) as caught:
        blocks_of(net, 32)
    message = str(caught.value)
    assert message.startswith("Sequential could not be run on an image of 32 x 32 pixels (RuntimeError: ")
    assert message.endswith("choose its size with --image-size.")
    assert all(module.training for module in net.modules())
    assert not any(module._forward_hooks for module in net.modules())


def test_a_network_without_blocks_is_refused():
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 8), nn.ReLU(), nn.Linear(8, 2))
    with pytest.raises(
        EdgewiseError, match=r"^No blocks were found in Sequential: none of its modules takes a feature map"
    ):
        blocks_of(net, 8)


def test_blocks_without_convolutions_have_no_connectors():
    net = nn.Sequential(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(48, 2))
    with pytest.raises(EdgewiseError, match=r"^No block of this network holds a convolution \(nn.Conv2d\)"):
        connectors(blocks_of(net, 8))


def test_half_precision_networks_get_images_of_their_kind():
    assert len(blocks_of(UsersNet().to(torch.bfloat16), 32)) == 8


PUBLISHED = {
    "mobilenet_v2": [f"features.{i}" for i in (2, 4, 7, 11, 14, 17)],
    "mobilenet_v3_large": [f"features.{i}" for i in (2, 4, 7, 11, 13, 15)],
    "resnet50": ["maxpool", "layer1.0", "layer2.0", "layer3.0", "layer4.0", "layer4.2"],
}


@pytest.mark.skipif(importlib.util.find_spec("torchvision") is None, reason="torchvision is an extra")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", PUBLISHED)
def test_rep_nets_own_points_on_torchvisions_networks(name):
    ensure_torchvision()
    models = importlib.import_module("torchvision.models")
    net = getattr(models, name)(weights=None)
    assert names(connectors(blocks_of(net, 224))) == PUBLISHED[name]
    assert len(names(connectors(blocks_of(net, 96)))) == 6
