"""Sub-nets of fewer channels: which go together, how they are chosen, and the slice against the masked network."""

import copy
import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edgewise.backbones import load
from edgewise.core.errors import EdgewiseError, UsageError
from edgewise.cost.macs import macs_forward
from edgewise.subnets.channel_spaces import layout_of
from edgewise.subnets.channels import Narrow, nested_channels, sensitivities
from edgewise.subnets.network import SubNets
from edgewise.subnets.slicing import check_same, sliced

SIZE = {"mobilenet_v2": 64, "resnet18": 64, "resnet50": 64, "mobilenet_v3_small": 64, "mcunet": 64}
FAMILIES = ["resnet20", "wrn32", "resnet18", "resnet50", "mobilenet_v2", "mobilenet_v3_small", "mcunet", "pocket"]


@pytest.fixture(scope="module", params=FAMILIES)
def family(request):
    return request.param, network_of(request.param), SIZE.get(request.param, 32)


def network_of(name):
    """Random weights, and norms that have seen some noise."""
    torch.manual_seed(2)
    network = load(name, weights="none", seed=1, classes=7).module.train()
    with torch.no_grad():
        network(torch.randn(8, 3, SIZE.get(name, 32), SIZE.get(name, 32)))
    return network.eval()


def drawn(layout):
    torch.manual_seed(3)
    return {name: torch.rand(space.channels) for name, space in layout.spaces.items()}


def masked(network, layout, channels):
    """Zeros in the place of every weight that reads or writes a channel that is left out."""
    network = copy.deepcopy(network)
    shapes = {name: tuple(network.get_submodule(name).weight.shape) for name in layout.layers}
    for name, mask in Narrow(0.5, layout, channels).first(shapes).items():
        network.get_submodule(name).weight.data *= mask
    return network


def test_multiply_adds_are_those_of_the_network(family):
    _, network, size = family
    assert layout_of(network, size).macs() == macs_forward(network, (3, size, size))


def test_the_slice_answers_as_the_masked_network(family):
    _, network, size = family
    layout = layout_of(network, size)
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    channels = nested_channels(layout, drawn(layout), [0.8, 0.5], step=4)[1]
    small = sliced(network, layout, channels)
    assert check_same(small, masked(network, layout, channels), size) < 1e-5
    counted = layout.macs({space: len(kept) for space, kept in channels.items()})
    assert macs_forward(small, (3, size, size)) == pytest.approx(counted)
    assert 0.4 < counted / layout.macs() <= 0.5
    assert list(small.state_dict()) == list(before)
    assert all(torch.equal(tensor, before[key]) for key, tensor in network.state_dict().items())
    assert sum(p.numel() for p in small.parameters()) < 0.9 * sum(p.numel() for p in network.parameters())


def test_a_wrong_channel_does_not_go_unnoticed(family):
    _, network, size = family
    layout = layout_of(network, size)
    channels = nested_channels(layout, drawn(layout), [0.6], step=4)[0]
    other = masked(network, layout, channels)
    space = [name for name, kept in channels.items() if len(kept) < layout.spaces[name].channels][-1]
    wrong = sorted(set(range(layout.spaces[space].channels)) - set(channels[space].tolist()))[0]
    moved = {**channels, space: torch.cat([channels[space][1:], torch.tensor([wrong])]).sort().values}
    with pytest.raises(EdgewiseError, match="sliced network's logits are"):
        check_same(sliced(network, layout, moved), other, size)


def test_spaces_of_the_residual_networks():
    """Option A keeps the stream whole, option B and projections make it one space a stage."""
    spaces = layout_of(network_of("resnet20"), 32).spaces
    assert list(spaces) == [f"layer{stage}.{block}.conv1" for stage in (1, 2, 3) for block in (0, 1, 2)]
    assert spaces["layer1.0.conv1"].readers == ("layer1.0.conv2",)
    wide = layout_of(network_of("wrn32"), 32).spaces
    assert len(wide) == 15 + 3
    assert set(wide["conv1"].makers) == {"conv1", *(f"layer1.{block}.conv2" for block in range(5))}
    assert set(wide["layer3.0.conv2"].makers) == {"layer3.0.shortcut.0", *(f"layer3.{b}.conv2" for b in range(5))}
    assert "linear" in wide["layer3.0.conv2"].readers


def test_spaces_of_inverted_residuals():
    spaces = layout_of(network_of("mobilenet_v2"), 64).spaces
    hidden = spaces["features.2.conv.0.0"]
    assert hidden.depthwise == ("features.2.conv.1.0",)
    assert hidden.readers == ("features.2.conv.2",)
    assert set(hidden.norms) == {"features.2.conv.0.1", "features.2.conv.1.1"}
    assert set(spaces["features.2.conv.2"].makers) == {"features.2.conv.2", "features.3.conv.2"}


class Odd(nn.Module):
    """Every way to keep a space whole."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c, self.d = (nn.Conv2d(i, o, 3, padding=1) for i, o in ((3, 8), (8, 8), (8, 8), (8, 8)))
        self.twice, self.split, self.flat = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1, groups=2), nn.Conv2d(8, 8, 1)
        self.free, self.head = nn.Conv2d(8, 16, 1), nn.Linear(8 * 16, 5)
        self.last = nn.Conv2d(16, 8, 1)

    def forward(self, x):
        x = torch.cumsum(self.a(x), 1)  # mixes channels
        x = self.split(self.b(x))  # in groups
        x = self.twice(self.twice(self.c(x)))  # one layer, two places
        x = self.d(x) + self.d(x).flip(1)  # twice, and turned around
        x = self.last(F.relu(self.free(x)))
        return self.head(F.adaptive_avg_pool2d(x, 4).flatten(1))  # flattened with its pixels


def test_what_is_not_understood_stays_whole():
    network = Odd()
    layout = layout_of(network, 16)
    assert list(layout.spaces) == ["free"]
    channels = {"free": torch.tensor([1, 4, 5, 11])}
    assert check_same(sliced(network, layout, channels), masked(network, layout, channels), 16) < 1e-5
    assert network.training


def test_a_network_without_a_free_channel_is_refused():
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8 * 36, 5))
    with pytest.raises(UsageError, match="No channel of Sequential can be left out"):
        layout_of(network, 8)


def test_a_score_is_what_the_loss_changes_by():
    """To first order: against scaling the gate behind the norm by a little less than 1."""
    network = network_of("wrn32").double().eval()
    layout = layout_of_double(network)
    images = torch.randn(4, 3, 32, 32, dtype=torch.float64)

    def loss():
        return F.cross_entropy(network(images), torch.arange(4))

    scores = sensitivities(network, layout, (loss() for _ in range(2)))
    for space, channel in (("layer2.1.conv1", 5), ("conv1", 3)):
        norms = [network.get_submodule(name) for name in layout.spaces[space].norms]
        before, less = loss().item(), 1e-6
        with torch.no_grad():
            for norm in norms:
                norm.weight[channel] *= 1 - less
                norm.bias[channel] *= 1 - less
        slope = (loss().item() - before) / less
        with torch.no_grad():
            for norm in norms:
                norm.weight[channel] /= 1 - less
                norm.bias[channel] /= 1 - less
        assert float(scores[space][channel]) == pytest.approx(slope**2, rel=1e-2)


def layout_of_double(network):
    layout = layout_of(copy.deepcopy(network).float(), 32)
    assert "layer2.1.conv1" in layout.spaces
    return layout


def test_no_batch_is_no_ranking():
    network = network_of("resnet20")
    with pytest.raises(UsageError, match="give at least one batch"):
        sensitivities(network, layout_of(network, 32), iter(()))


def test_sub_nets_are_nested_near_their_shares_and_not_uniform():
    layout = layout_of(network_of("mobilenet_v2"), 64)
    shares = [1.0, 0.75, 0.5, 0.25]
    found = nested_channels(layout, drawn(layout), shares)
    assert all(len(found[0][name]) == space.channels for name, space in layout.spaces.items())
    for larger, smaller in itertools.pairwise(found):
        for name in layout.spaces:
            assert set(smaller[name].tolist()) <= set(larger[name].tolist())
            assert smaller[name].tolist() == sorted(smaller[name].tolist())
            assert len(smaller[name]) >= 8
    for share, channels in zip(shares, found, strict=True):
        reached = layout.macs({name: len(kept) for name, kept in channels.items()}) / layout.macs()
        assert share - 0.05 < reached <= share
    widths = {round(len(found[2][name]) / space.channels, 2) for name, space in layout.spaces.items()}
    assert len(widths) > 3


def test_channels_that_matter_are_kept():
    layout = layout_of(network_of("resnet20"), 32)
    scores = {name: torch.arange(space.channels).float() + 1 for name, space in layout.spaces.items()}
    for name, kept in nested_channels(layout, scores, [0.5])[0].items():
        assert kept.tolist() == list(range(layout.spaces[name].channels - len(kept), layout.spaces[name].channels))
    scores["layer1.0.conv1"] += 1e6
    kept = nested_channels(layout, scores, [0.6])[0]
    assert len(kept["layer1.0.conv1"]) == 16
    assert all(len(kept[f"layer1.{block}.conv1"]) == 8 for block in (1, 2))


@pytest.mark.parametrize("shares", [[0.5, 0.75], [0.5, 0.5], [0.0], [1.2]])
def test_shares_that_make_no_sense(shares):
    layout = layout_of(network_of("resnet20"), 32)
    with pytest.raises(UsageError, match="must be above 0, at most 1, and falling"):
        nested_channels(layout, drawn(layout), shares)


def test_a_share_that_cannot_be_reached_says_what_can():
    layout = layout_of(network_of("resnet20"), 32)
    with pytest.raises(UsageError, match=r"0.1 of the multiply-adds cannot be made.*still has 0\.305"):
        nested_channels(layout, drawn(layout), [0.1])


def test_several_widths_in_one_network_and_each_of_them_sliced():
    """`SubNets` trains them like any other pattern; what comes out of it is the slice, with private norms."""
    backbone = load("wrn32", weights="none", seed=1, classes=7)
    layout = layout_of(backbone.module, 32)
    found = nested_channels(layout, drawn(layout), [0.5, 0.25])
    patterns = [Narrow(share, layout, channels) for share, channels in zip((0.5, 0.25), found, strict=True)]
    net = SubNets(backbone, patterns)
    shapes = {name: tuple(weight.shape) for name, weight in net.weights().items()}
    for number, pattern in enumerate(patterns):
        net.put(number, pattern.first(shapes))
        net.use(number)
        with torch.no_grad():
            net(torch.randn(8, 3, 32, 32))
    assert net.names == ("50%", "75%")
    for name, channels in zip(net.names, found, strict=True):
        assert check_same(sliced(net.plain(name), layout, channels), net.plain(name), 32) < 1e-5


def test_a_head_that_keeps_all_weights_is_refused():
    backbone = load("wrn32", weights="none", seed=1, classes=7)
    layout = layout_of(backbone.module, 32)
    pattern = Narrow(0.5, layout, nested_channels(layout, drawn(layout), [0.5])[0])
    with pytest.raises(UsageError, match="Channels cannot be left out before linear"):
        SubNets(backbone, [pattern], dense_head=True)
