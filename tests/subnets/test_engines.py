"""Engines: what is prepared answers as what it was made from, and says what computes each layer."""

import copy
import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edgewise.backbones import FAMILIES, load
from edgewise.core.errors import EdgewiseError, UsageError
from edgewise.native import sparse_why_not
from edgewise.subnets import engines
from edgewise.subnets.engines import SparseConv2d, prepared, took
from edgewise.subnets.nm import NM, nm_mask
from edgewise.subnets.semi_structured import _unfit, as_2_4, check_close, why_not_2_4

compiled = pytest.mark.skipif(sparse_why_not() is not None, reason=str(sparse_why_not()))
SIZES = {
    "resnet20": 32,
    "wrn32": 32,
    "mobilenet_v2": 64,
    "mobilenet_v3_small": 64,
    "mobilenet_v1": 64,
    "resnet50": 64,
}


def sparse_network(name, density=0.1, **settings):
    torch.manual_seed(4)
    network = FAMILIES[name].build(classes=7, **settings).train()
    with torch.no_grad():
        network(torch.randn(8, 3, SIZES[name], SIZES[name]))
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear) and layer.weight.shape[1] > 3:
                layer.weight *= torch.rand_like(layer.weight) < density
    return network.eval()


@pytest.fixture
def sparse_wins(monkeypatch):
    """As if the sparse kernel were always the faster one: time decides nothing in a test."""
    monkeypatch.setattr(engines, "took", lambda *runs, **_: tuple(float(number) for number, _ in enumerate(runs)))


@pytest.mark.parametrize("name", SIZES)
def test_prepared_answers_the_same(name, sparse_wins):
    network, images = sparse_network(name), torch.randn(3, 3, SIZES[name], SIZES[name])
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    fast, choices = prepared(network, images)
    with torch.no_grad():
        torch.testing.assert_close(fast(images), network(images), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(fast(images[:1]), network(images[:1]), rtol=1e-4, atol=1e-4)
    assert all(torch.equal(tensor, before[key]) for key, tensor in network.state_dict().items())
    dense = {choice.layer: choice.reason for choice in choices if choice.engine == "dense"}
    assert all("linear" in why or "grouped" in why or "compiled" in why for why in dense.values())
    if sparse_why_not() is None:
        sparse = [choice.layer for choice in choices if choice.engine == "sparse"]
        assert len(sparse) > 10
        assert all(isinstance(fast.get_submodule(layer), SparseConv2d) for layer in sparse)
        norms = [node for node in fast.graph.nodes if "bn" in str(node.target)]
        assert not norms


@compiled
def test_tensorflows_padding_too(sparse_wins):
    network, images = sparse_network("mobilenet_v1", padding="tf-same"), torch.randn(2, 3, 64, 64)
    fast, choices = prepared(network, images)
    assert any(choice.engine == "sparse" for choice in choices)
    with torch.no_grad():
        torch.testing.assert_close(fast(images), network(images), rtol=1e-4, atol=1e-4)


@compiled
def test_the_faster_one_is_taken_and_the_times_are_told(monkeypatch):
    network, images = sparse_network("resnet20"), torch.randn(1, 3, 32, 32)
    turns = itertools.cycle([(1.0, 2.0), (2.0, 1.0)])
    monkeypatch.setattr(engines, "took", lambda *runs, **_: next(turns))
    fast, choices = prepared(network, images)
    tried = [choice for choice in choices if choice.tried_ms is not None]
    assert [choice.engine for choice in tried] == ["sparse", "dense"] * 9
    assert {choice.reason for choice in tried} == {"faster than dense", "faster than sparse at this density"}
    assert type(fast.get_submodule(tried[0].layer)) is SparseConv2d
    assert type(fast.get_submodule(tried[1].layer)) is nn.Conv2d
    with torch.no_grad():
        torch.testing.assert_close(fast(images), network(images), rtol=1e-4, atol=1e-4)


def test_a_network_that_is_faster_dense_stays_so(monkeypatch):
    """Every layer may be faster alone, and the whole not."""
    network, images = sparse_network("resnet20"), torch.randn(2, 3, 32, 32)
    layers = 0 if sparse_why_not() else 18
    turns = iter([(1.0, 2.0)] * layers + [(2.0, 1.0)])
    monkeypatch.setattr(engines, "took", lambda *runs, **_: next(turns))
    fast, choices = prepared(network, images)
    assert next(turns, None) is None
    assert {choice.engine for choice in choices} == {"dense"}
    assert {choice.reason for choice in choices} == {engines.ALL_DENSE}
    assert fast.get_submodule("layer1.0.conv1").weight.is_contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        torch.testing.assert_close(fast(images), network(images), rtol=1e-4, atol=1e-4)


class Branching(nn.Module):
    """What must not be folded: a norm and a ReLU behind a convolution that others read, too; a layer used twice."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = (nn.Conv2d(i, 8, 3, padding=1) for i in (3, 8, 8))
        self.norm = nn.BatchNorm2d(8)
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        x = self.a(x)
        x = x + F.relu(self.norm(x))
        y = self.b(x)
        y = F.relu(y) - y
        z = self.c(F.relu6(self.c(y)))
        return self.head(z.mean((2, 3)))


def test_what_others_read_stays(sparse_wins):
    torch.manual_seed(1)
    network = Branching().train()
    images = torch.randn(4, 3, 12, 12)
    network(images)
    network.eval()
    with torch.no_grad():
        for layer in (network.a, network.b, network.c):
            layer.weight *= torch.rand_like(layer.weight) < 0.3
        fast, choices = prepared(network, images)
        torch.testing.assert_close(fast(images), network(images), rtol=1e-4, atol=1e-4)
    assert [choice.layer for choice in choices] == ["a", "b"]


@compiled
def test_what_the_kernel_does_not_know_stays_dense_and_says_so(sparse_wins):
    reasons = {
        "grouped and dilated": nn.Conv2d(3, 6, 3, groups=3),
        "grouped": nn.Conv2d(3, 6, 3, dilation=2),
        "a kernel, stride or padding": nn.Conv2d(3, 6, (3, 1)),
        "stride or padding": nn.Conv2d(3, 6, 3, padding="same"),
        "of a kind of its own": nn.Conv2d(3, 6, 3, padding=1, padding_mode="reflect"),
    }
    for reason, layer in reasons.items():
        with torch.no_grad():
            layer.weight[0, 0, 0, 0] = 0
        network, images = nn.Sequential(layer, nn.ReLU()), torch.randn(1, 3, 9, 9)
        fast, (choice,) = prepared(network, images)
        assert choice.engine == "dense"
        assert reason in choice.reason
        assert torch.equal(fast(images), network(images))


def test_a_network_without_zeros_has_nothing_to_choose():
    network = load("resnet20", weights="none", seed=1).module.eval()
    fast, choices = prepared(network, torch.randn(1, 3, 32, 32))
    assert choices == ()
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(fast(images), network(images), rtol=1e-4, atol=1e-4)


class Looking(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        return self.conv(x).mean((2, 3)) if x.sum() > 0 else self.conv(-x).mean((2, 3))


def test_a_network_that_cannot_be_followed_says_so():
    network = Looking()
    network.conv.weight.data[0] = 0
    fast, (choice,) = prepared(network, torch.ones(1, 3, 8, 8))
    assert (choice.engine, choice.density) == ("dense", 0.75)
    assert "cannot be followed" in choice.reason
    assert torch.equal(fast(torch.ones(1, 3, 8, 8)), network(torch.ones(1, 3, 8, 8)))


@pytest.mark.parametrize(
    "images", [torch.zeros(3, 8, 8), torch.zeros(1, 3, 8, 8, dtype=torch.uint8), torch.zeros(0, 3, 8, 8)]
)
def test_what_are_no_photos(images):
    with pytest.raises(UsageError, match=r"Give normalised photos \(N, 3, S, S\)"):
        prepared(Looking(), images)


def test_times_are_taken_in_turns():
    order = []
    times = took(lambda: order.append("a"), lambda: order.append("b"), rounds=3, wait=lambda: order.append("w"))
    assert order == ["a", "b", "w"] + ["a", "w", "b", "w"] * 3
    assert all(0 <= ms < 1000 for ms in times)


def test_2_4_is_for_gpus_of_a_generation():
    assert why_not_2_4(nn.Linear(64, 32)) == "2:4 needs an NVIDIA GPU, and this is cpu"


def test_2_4_says_what_does_not_fit():
    weight = torch.randn(64, 128)
    weight *= nm_mask(weight, NM(1, 8))
    assert _unfit(weight) == "2:4 runs in float16 or bfloat16, and the weight is torch.float32"
    assert _unfit(weight.half()) is None
    assert (
        _unfit(weight[:, :96].half()) == "2:4 needs multiples of 32 outputs and 64 inputs, and the weight is (64, 96)"
    )
    weight[3, :3] = 1
    assert _unfit(weight.half()) == "some group of four inputs has more than two weights"


def test_a_product_that_is_wrong_is_not_used():
    dense = nn.Linear(64, 32)
    wrong = copy.deepcopy(dense)
    assert check_close(wrong, dense) == 0
    with torch.no_grad():
        wrong.weight[4] *= 1.5
    with pytest.raises(EdgewiseError, match=r"2:4 product of a weight \(32, 64\) is .* do not use it"):
        check_close(wrong, dense)


@pytest.mark.skipif(
    not torch.cuda.is_available(), reason="no GPU: torch's 2:4 product needs one of NVIDIA's, from Ampere on"
)
def test_2_4_equals_the_dense_product():
    layer = nn.Linear(512, 256).half().cuda()
    with torch.no_grad():
        layer.weight *= nm_mask(layer.weight, NM(2, 4))
    if (reason := why_not_2_4(layer)) is not None:
        pytest.skip(reason)
    sparse = as_2_4(layer)
    x = torch.randn(128, 512, dtype=torch.float16, device="cuda")
    torch.testing.assert_close(sparse(x), layer(x), rtol=1e-2, atol=1e-2)
    _, (choice,) = prepared(nn.Sequential(nn.Flatten(), layer), x.view(128, 2, 16, 16))
    assert choice.engine in ("2:4", "dense")
    assert choice.tried_ms is not None
