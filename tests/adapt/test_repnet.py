"""Rep-Net: published counts to the unit, both wirings by hand, the ablation's variants."""

import pytest
import torch
from torch import nn

from edgewise.adapt import RepNet, adapt
from edgewise.backbones import load
from edgewise.core.errors import UsageError
from edgewise.layers.side_module import SideModule

TEN = tuple("0123456789")


@pytest.fixture(scope="module")
def small():
    return load("mobilenet_v2", weights="none", width=0.35, image_size=64)


@pytest.mark.parametrize(("width", "trained"), [(0.35, 53_522), (1.0, 319_154)])
def test_trainable_parameters_on_mobilenet_v2(width, trained):
    net = load("mobilenet_v2", weights="none", width=width, image_size=64)
    assert adapt(net, RepNet(), TEN).sizes()["trainable_params"] == trained


def test_six_modules_as_published_on_mobilenet_v2():
    net = load("mobilenet_v2", weights="none", width=1.0, image_size=224)
    rungs = adapt(net, RepNet(), TEN).side.rungs
    table = [(r.conv1.in_channels, r.conv1.out_channels, r.conv2.out_channels) for r in rungs]
    assert table == [(3, 8, 24), (24, 24, 32), (32, 32, 64), (64, 64, 96), (96, 96, 160), (160, 160, 320)]
    assert [r.conv1.kernel_size[0] for r in rungs] == [5, 5, 5, 5, 3, 3]
    assert [r.conv1.groups for r in rungs] == [1, 2, 2, 2, 2, 2]
    assert [r.squeeze.pool for r in rungs] == [8, 2, 2, 2, 2, 2]


def test_weights_do_not_depend_on_the_image_size():
    shapes = []
    for size in (96, 224, 320):
        model = adapt(load("mobilenet_v2", weights="none", image_size=size), RepNet(), TEN)
        shapes.append({name: tensor.shape for name, tensor in model.side.state_dict().items()})
    assert shapes[0] == shapes[1] == shapes[2]


class Chain(nn.Module):
    """Three 'blocks' that double, so that wirings can be followed by hand."""

    class Double(nn.Module):
        def __init__(self, inputs, outputs, stride):
            super().__init__()
            self.conv = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            nn.init.ones_(self.conv.weight)

        def forward(self, x):
            return self.conv(x)

    def __init__(self):
        super().__init__()
        rows = ((3, 3, 1), (3, 4, 2), (4, 4, 1), (4, 6, 2))
        self.blocks = nn.Sequential(*(self.Double(*row) for row in rows))
        self.head = nn.Linear(6, 2)

    def forward(self, x):
        return self.head(self.blocks(x).mean((2, 3)))


class Recorder(nn.Module):
    """Stands where a side module stands: remembers what it was given, answers with a constant."""

    def __init__(self, module, value):
        super().__init__()
        self.outputs, self.value, self.given = module.conv2.out_channels, value, []

    def forward(self, x, size):
        self.given.append(x.detach().clone())
        return torch.full((x.shape[0], self.outputs, *size), self.value)


def wired(**settings):
    model = adapt(load(Chain(), image_size=8), RepNet(**settings)).eval()
    rungs = model.side.rungs
    for i in range(len(rungs)):
        rungs[i] = Recorder(rungs[i], 10.0 ** (i + 1))
    final = []
    model.network.blocks.register_forward_hook(lambda m, a, out: final.append(out))
    with torch.no_grad():
        model(torch.ones(1, 3, 8, 8))
    return [r.given[0].flatten()[0].item() for r in rungs], final[0].flatten()[0].item()


# The backbone alone: 1 -> 3 -> 9 -> 36 -> 144; p1 = 10 joins behind block 1 (9), p2 = 100 behind block 3.
@pytest.mark.parametrize(
    ("settings", "read", "result"),
    [
        ({"connect": "dual", "wiring": "reference"}, [1, 4 * 19], 4 * 4 * 19 + 100),
        ({"connect": "dual", "wiring": "paper"}, [1, 19], 4 * 4 * 19 + 100),
        ({"connect": "down"}, [1, 10], 4 * 4 * 19 + 100),
        ({"connect": "up"}, [1, 19], 4 * 4 * 9 + 100),
        ({"connect": "none"}, [1, 10], 4 * 4 * 9 + 100),
        ({"connect": "dual-all"}, [1, 19, 4 * 19 + 100], 4 * (4 * 19 + 100) + 1000),
    ],
    ids=str,
)
def test_wirings_by_hand(settings, read, result):
    assert wired(**settings) == (read, result)


def test_image_is_let_go_after_the_pass(small):
    model = adapt(small, RepNet(), TEN)
    model(torch.randn(2, 3, 64, 64))
    assert model.side._feature is None
    with pytest.raises(RuntimeError):
        model(torch.randn(2, 5, 64, 64))
    assert model.side._feature is None


@pytest.mark.parametrize("connect", ["none", "up"])
def test_only_what_reaches_the_backbone_starts_at_zero(small, connect):
    rungs = adapt(small, RepNet(connect=connect), TEN).side.rungs
    assert [bool(r.norm2.weight.any()) for r in rungs] == [True] * 5 + [False]


def test_train_bias_adds_the_shifts_at_the_main_rate(small):
    plain, biased = (adapt(small, RepNet(train_bias=flag), TEN) for flag in (False, True))
    more = set(biased.groups["main"]) - set(plain.groups["main"])
    assert more
    assert all(name.endswith(".bias") for name in more)
    assert biased.groups["side"] == plain.groups["side"]


def test_group_norm_and_plain_weights(small):
    model = adapt(small, RepNet(norm="group", weight_standard=False, kernel="3", expand=0.5), TEN)
    rung = model.side.rungs[3]
    assert isinstance(rung.norm1, nn.GroupNorm)
    assert type(rung.conv1) is nn.Conv2d
    assert rung.conv1.kernel_size == (3, 3)
    assert model(torch.randn(2, 3, 64, 64)).shape == (2, 10)


@pytest.mark.parametrize("settings", [{"connect": "sideways"}, {"expand": 0.0}, {"side_lr": -1.0}])
def test_settings_out_of_range(settings):
    (name,) = settings
    with pytest.raises(UsageError, match=f"{name} is"):
        RepNet(**settings)


def test_every_module_learns_from_the_first_steps(small):
    """With zero-initialised last norms the inner convolutions get their gradient from the second step."""
    model = adapt(small, RepNet(), TEN)
    for _ in range(2):
        torch.nn.functional.cross_entropy(model(torch.randn(8, 3, 64, 64)), torch.arange(8)).backward()
        with torch.no_grad():
            for p in model.trainable().values():
                p -= 0.1 * p.grad
    assert all(p.grad.abs().sum() > 0 for p in model.side.parameters())


def test_side_module_sizes():
    module = SideModule(4, 8, 6, pool=2)
    assert module(torch.randn(2, 4, 7, 7), (7, 7)).shape == (2, 6, 7, 7)
    assert module(torch.randn(2, 4, 14, 14), (7, 7)).shape == (2, 6, 7, 7)
    assert module(torch.randn(2, 4, 1, 1), (1, 1)).shape == (2, 6, 1, 1)
    assert not module(torch.randn(2, 4, 8, 8), (4, 4)).any()
