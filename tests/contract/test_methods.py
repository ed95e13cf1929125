"""Every method on every backbone family: the promises of ``adapt/base.py``."""

import copy

import pytest
import torch
import torch.nn.functional as F

from edgewise.adapt import METHODS, adapt
from edgewise.backbones import FAMILIES, load
from edgewise.core.errors import UsageError
from edgewise.core.surgery import digest

CLASSES = ("a", "b", "c")
SIZES = {
    "mobilenet_v1": 48, "mobilenet_v2": 48, "mobilenet_v3_small": 64, "mobilenet_v3_large": 64,
    "proxylessnas_mobile": 64, "mcunet": 48, "resnet18": 48, "resnet50": 48,
}  # fmt: skip
WIDTHS = {
    "mobilenet_v1": 0.25, "mobilenet_v2": 0.35, "mobilenet_v3_small": 0.35, "mobilenet_v3_large": 0.35,
    "proxylessnas_mobile": 0.35,
}  # fmt: skip
EXPECTED_METHODS = {
    "full",
    "last",
    "bn",
    "bias",
    "blocks",
    "mobiletl",
    "repnet",
    "tinytl",
    "mask",
    "repnet+mask",
    "input",
    "lite",
    "mobiletl+lite",
}
EXPECTED_FAMILIES = {
    "mobilenet_v1", "mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large", "proxylessnas_mobile", "mcunet",
    "pocket", "resnet18", "resnet50", "resnet20", "resnet32", "resnet44", "resnet56", "wrn32",
}  # fmt: skip
HEAVY = {"resnet32", "resnet44", "resnet56", "wrn32", "resnet50"}
"""The same code at other depths and widths, and 25 million weights: built elsewhere, stepped in the slow suite."""

REFUSED = {(method, "mobilenet_v1") for method in ("mobiletl", "mobiletl+lite", "lite", "tinytl")}
"""MobileNetV1 has no residual blocks."""


def test_members_found():
    assert set(METHODS) == EXPECTED_METHODS
    assert set(FAMILIES) == EXPECTED_FAMILIES


@pytest.fixture(scope="module")
def backbones():
    return {}


def backbone(cache, family):
    if family not in cache:
        size = SIZES.get(family, 32)
        cache[family] = load(family, weights="none", width=WIDTHS.get(family), image_size=size, seed=3)
        _settle_norms(cache[family].module, size)
    return cache[family]


def _settle_norms(network, size):
    """Random weights with default statistics explode; let the norms see some noise first."""
    network.train()
    for _ in range(3):
        with torch.no_grad():
            network(torch.randn(8, 3, size, size))
    network.eval()


CASES = [
    pytest.param(method, family, marks=[pytest.mark.slow] if family in HEAVY else [], id=f"{method}-{family}")
    for method in sorted(EXPECTED_METHODS)
    for family in sorted(EXPECTED_FAMILIES)
    if (method, family) not in REFUSED
]


@pytest.mark.parametrize(("method", "family"), sorted(REFUSED))
def test_what_does_not_fit_is_refused_with_what_would(method, family, backbones):
    with pytest.raises(UsageError, match="Methods that fit: blocks, repnet, bias"):
        adapt(backbone(backbones, family), METHODS[method](), CLASSES)


def images(family, n=4):
    size = SIZES.get(family, 32)
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(5))


def step(model, x, rate=1e-2):
    """One step against the gradient's sign, as Adam's first: tiny gradients move weights too."""
    model.train()
    F.cross_entropy(model(x), torch.arange(len(x)) % len(model.classes)).backward()
    with torch.no_grad():
        for p in model.trainable().values():
            if p.grad is not None:
                p -= rate * p.grad.sign()
            p.grad = None


@pytest.mark.parametrize(("method", "family"), CASES)
def test_starts_bit_equal_to_the_backbone(method, family, backbones):
    base = backbone(backbones, family)
    kind = METHODS[method]
    assert kind.starts_unchanged
    model = adapt(base, kind()).eval()
    with torch.no_grad():
        assert torch.equal(model(images(family)), base.module.eval()(images(family)))


@pytest.mark.parametrize(("method", "family"), CASES)
def test_a_step_moves_the_declared_tensors_and_nothing_else(method, family, backbones):
    base = backbone(backbones, family)
    untouched = digest(base.module.state_dict())
    model = adapt(base, METHODS[method](), CLASSES)
    before = {name: digest({"": t}) for name, t in model.state_dict().items()}
    declared = set(model.changing())
    for rate in (1e-2, 3e-3):  # two rates, so that no step takes back the one before
        step(model, images(family), rate)
    after = {name: digest({"": t}) for name, t in model.state_dict().items()}
    moved = {name for name in after if after[name] != before[name]}
    assert moved <= declared
    assert set(model.trainable()) <= moved, "every trained parameter really trains"
    assert digest(base.module.state_dict()) == untouched
    awake = tuple(f"network.{name}." if name else "network." for name in model.awake)
    moved_statistics = {name for name in moved if "running_" in name and name.startswith("network.")}
    assert all(name.startswith(awake) for name in moved_statistics)
    wakes = {"full", "blocks", "mobiletl", "lite", "mobiletl+lite"}
    assert bool(moved_statistics) == (method in wakes and bool(model.awake)), "lite wakes the feature-mix layer, if any"


@pytest.mark.parametrize(("method", "family"), CASES)
def test_state_round_trips_through_the_difference(method, family, backbones):
    base = backbone(backbones, family)
    model = adapt(base, METHODS[method](), CLASSES)
    step(model, images(family))
    adapter = model.difference()
    fresh = adapt(base, METHODS[method](), CLASSES, seed=99)
    state = fresh.state_dict()
    assert set(adapter) <= set(state)
    with torch.no_grad():
        for name, tensor in adapter.items():
            state[name].copy_(tensor)
        assert torch.equal(fresh.eval()(images(family)), model.eval()(images(family)))
    if method != "full":
        whole = sum(t.numel() for t in model.state_dict().values())
        assert sum(t.numel() for t in adapter.values()) < whole


@pytest.mark.parametrize(("method", "family"), CASES)
def test_copies_are_independent(method, family, backbones):
    model = adapt(backbone(backbones, family), METHODS[method](), CLASSES)
    twin = copy.deepcopy(model)
    before = twin.eval()(images(family))
    step(model, images(family), rate=1.0)
    assert torch.equal(twin.eval()(images(family)), before)


@pytest.mark.parametrize("method", sorted(EXPECTED_METHODS))
def test_initialisation_follows_the_seed_and_leaves_the_global_state_alone(method, backbones):
    base = backbone(backbones, "pocket")
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    one = adapt(base, METHODS[method](), CLASSES, seed=4)
    assert torch.equal(torch.rand(1), expected)
    two, other = (adapt(base, METHODS[method](), CLASSES, seed=s) for s in (4, 5))
    assert digest(one.state_dict()) == digest(two.state_dict())
    assert digest(one.state_dict()) != digest(other.state_dict())
