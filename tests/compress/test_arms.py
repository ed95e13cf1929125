"""Every arm on small networks: what it computes with, what it is penalised for, what it refuses; and real steps."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edgewise.backbones import load, with_classes
from edgewise.backbones.base import Backbone
from edgewise.compress import ARMS, Compressed, Compression, in_all, lowered, sizes_of
from edgewise.compress.ternary import TernaryConv2d, TernaryLinear
from edgewise.core.errors import UsageError
from edgewise.train.sgd import Sgd

EXPECTED = {  # arm: ternary, penalised, clipped, bits
    "wpc": (True, True, True, 2),
    "naive": (True, True, False, 2),
    "tern": (True, False, False, 2),
    "prune": (False, True, False, 32),
    "float": (False, False, False, 32),
}
FAMILIES = {"mobilenet_v1": 8, "mobilenet_v2": 8, "mcunet": 8, "pocket": 8, "resnet18": 64, "resnet20": 16}


class Tiny(nn.Module):
    """Three convolutions and a hidden linear layer; the second can be grouped."""

    def __init__(self, groups: int = 1, channels: int = 8) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, channels, 3, 2)
        self.second = nn.Conv2d(channels, channels, 3, groups=groups)
        self.third = nn.Conv2d(channels, 12, 1)
        self.hidden, self.head = nn.Linear(12, 6), nn.Linear(6, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.third(F.relu(self.second(F.relu(self.first(x))))).mean((2, 3))
        return self.head(F.relu(self.hidden(x)))


def of(module: nn.Module, **settings: object) -> Compressed:
    return Compressed(load(module, image_size=16), Compression(**settings))


def trained(model: Compressed, steps: int = 5, rate: float = 0.05) -> None:
    sgd = Sgd({"main": list(model.named_parameters())})
    x, y = torch.randn(8, 3, 16, 16), torch.arange(8) % 2
    for _ in range(steps):
        with sgd.during_backward({"main": rate}):
            (F.cross_entropy(model(x), y) + model.penalty()).backward()


def test_the_arms_are_the_dissertations_and_the_float_baseline():
    assert {name: (a.ternary, a.penalised, a.clipped, a.bits) for name, a in ARMS.items()} == EXPECTED


@pytest.mark.parametrize("arm", ARMS)
def test_an_arm_computes_with_what_it_says_and_trains_all_of_it(arm):
    torch.manual_seed(0)
    module = Tiny()
    plain = copy.deepcopy(module)
    model = of(module, arm=arm, pe=4, lam=0.01)
    x = torch.randn(4, 3, 16, 16)
    ternary, penalised, clipped, _ = EXPECTED[arm]
    assert isinstance(module.second, TernaryConv2d) == ternary
    assert torch.equal(model.eval()(x), plain(x)) == (not ternary)
    assert (model.penalty().item() > 0) == penalised
    look = model.look()
    assert set(look) == (set() if arm == "float" else {"second", "third"})
    assert all((layer.delta is not None) == clipped for layer in look.values())
    assert all((layer.alpha is not None) == ternary for layer in look.values())
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    trained(model)
    assert all(not torch.equal(before[name], p) for name, p in model.named_parameters())
    assert set(model.changing()) == set(model.state_dict())


@pytest.mark.parametrize("arm", ARMS)
def test_an_arm_on_every_family_lowers_to_a_network(arm):
    """The families found are asserted here; each with the groups that fit its channels."""
    assert len(FAMILIES) == 6
    for family, pe in FAMILIES.items():
        backbone = load(family, weights="none", image_size=48 if family in ("mobilenet_v1", "mobilenet_v2") else None)
        model = Compressed(backbone, Compression(arm=arm, pe=pe))
        assert bool(model.places) == (arm != "float")
        assert all(place.layer.weight.shape[1] % pe == 0 for place in model.places.values())


@pytest.mark.parametrize("arm", ["wpc", "prune"])
def test_sparsity_that_is_told_is_that_of_the_packed_network(arm):
    torch.manual_seed(0)
    model = of(Tiny(), arm=arm, pe=4, lam=2.0)
    trained(model, 40)
    model.settle()
    look = model.look()
    whole = in_all(look)
    sizes = sizes_of(lowered(model.network.eval(), model.backbone.input, ("a", "b")))
    if arm == "wpc":
        assert list(sizes.zeros) == list(look)
        assert [sizes.zeros[name] for name in look] == [layer.zeros for layer in look.values()]
        assert 0 < whole.group_sparsity < 1
    else:
        counted = sum(int((place.layer.weight != 0).sum()) for place in model.places.values())
        assert whole.left == counted


def test_what_prune_leaves_out_is_zero_afterwards_and_not_before():
    torch.manual_seed(0)
    model = of(Tiny(), arm="prune", pe=4)
    with torch.no_grad():
        model.network.second.weight[1, 4:] *= 1e-4
        model.network.second.weight[2, :4] *= 0.05
    assert model.look()["second"].zeros.stored == 15
    assert model.network.second.weight.count_nonzero() == 8 * 8 * 9
    model.settle()
    assert model.network.second.weight.count_nonzero() == 8 * 8 * 9 - 36
    assert not model.network.second.weight[1, 4:].any()
    assert model.look()["second"].zeros.stored == 15


def test_the_penalty_is_that_of_the_inner_layers_times_lambda():
    model = of(Tiny(), arm="naive", pe=4, lam=0.5)
    expected = sum(
        layer.weight.detach().reshape(len(layer.weight), 2, -1).norm(dim=2).sum()
        for layer in (model.network.second, model.network.third)
    )
    torch.testing.assert_close(model.penalty().detach(), 0.5 * expected)


def test_ternary_ends_are_ternary_not_penalised_and_grouped_where_it_fits():
    both = of(Tiny(), arm="naive", pe=2, lam=0.5, first_last="ternary")
    inner = of(copy.deepcopy(Tiny()), arm="naive", pe=2, lam=0.5)
    assert list(both.places) == ["first", "second", "third", "head"]
    assert [place.slab for place in both.places.values()] == [3, 2, 2, 2]
    assert [place.penalised for place in both.places.values()] == [False, True, True, False]
    assert isinstance(both.network.head, TernaryLinear)
    for name in ("second", "third"):
        both.places[name].layer.weight.data = inner.places[name].layer.weight.data
    torch.testing.assert_close(both.penalty(), inner.penalty())


def test_the_first_convolution_is_the_one_that_runs_first():
    class Turned(Tiny):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(3, 3, 1)  # declared last

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(self.stem(x))

    assert list(of(Turned(), pe=1).places) == ["first", "second", "third"]


def test_pe_that_does_not_divide_is_refused_with_the_layers_and_what_fits():
    module = Tiny()
    with pytest.raises(UsageError) as error:
        of(module, pe=16)
    assert str(error.value) == (
        "--pe is 16, which does not divide the input channels of 2 of 2 layers: second (8), third (8). "
        "What fits all of them: 1, 2, 4, 8."
    )
    assert type(module.second) is nn.Conv2d  # nothing was changed


def test_what_cannot_be_compressed_stays_with_a_note():
    model = of(Tiny(groups=8), pe=4)
    assert list(model.places) == ["third"]
    assert model.notes == (
        "In full precision: 1 depthwise or grouped convolutions (second).",
        "In full precision: 1 linear layers before the head (hidden).",
    )
    kept = [name for name, layer in model.network.named_modules() if isinstance(layer, TernaryConv2d)]
    assert kept == ["third"]


def test_a_layer_of_a_kind_of_its_own_stays_too():
    class Odd(nn.Conv2d):
        pass

    module = Tiny()
    module.second = Odd(8, 8, 3)
    assert "1 layers of a kind of their own, Odd (second)" in of(module, pe=4).notes[0]


def test_nothing_left_to_compress_is_refused():
    module = Tiny(groups=8)
    module.third = nn.Conv2d(8, 12, 1, groups=2)
    with pytest.raises(UsageError, match="nothing to compress in Tiny.*2 depthwise or grouped.*second, third"):
        of(module, pe=4)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"lam": -1.0}, "lam is -1.0; it must be from 0"),
        ({"lam": math.nan}, "lam is nan; it must be a finite number"),
        ({"clip": -0.1}, "clip is -0.1"),
        ({"pe": 0}, "pe is 0; it must be from 1"),
        ({"arm": "wcp"}, "arm is 'wcp'; choose one of wpc, naive, tern, prune, float"),
        ({"first_last": "int8"}, "first_last is 'int8'; choose one of float, ternary"),
        ({"arm": "prune", "first_last": "ternary"}, "--first-last ternary is for the ternary arms"),
    ],
)
def test_bad_settings_are_refused(settings, said):
    with pytest.raises(UsageError) as error:
        Compression(**settings)
    assert said in str(error.value)


def test_the_head_is_kept_for_the_same_classes_in_their_order():
    pocket = load("pocket")
    assert pocket.classes is not None
    x = torch.randn(3, 3, 32, 32)
    before = pocket.module.eval()(x)
    turned = tuple(reversed(pocket.classes))
    found = with_classes(pocket, turned)
    torch.testing.assert_close(found.module(x), before.flip(1))
    assert found.classes == turned
    assert "The head is kept: it answers with these classes." in found.notes


def unnamed(classes: int) -> Backbone:
    return load(nn.Sequential(nn.Conv2d(3, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, classes)))


def test_a_head_without_names_is_kept_where_it_has_as_many_outputs():
    backbone = unnamed(3)
    head = backbone.module[3]
    assert with_classes(backbone, ("a", "b", "c")).module[3] is head
    assert with_classes(backbone, ("a", "b", "c"), fresh=True).module[3] is not head
    new = with_classes(unnamed(3), ("a", "b"), seed=5)
    assert new.module[3].out_features == 2
    assert torch.equal(new.module[3].weight, with_classes(unnamed(3), ("a", "b"), seed=5).module[3].weight)
    with pytest.raises(UsageError, match="at least two different classes"):
        with_classes(unnamed(3), ("a", "a"))
