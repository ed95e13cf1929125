"""The lean pass changes what is kept and nothing else: every method, every family, against float64."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgewise.adapt import METHODS, Adapted, adapt
from edgewise.backbones import load
from edgewise.core.surgery import digest
from edgewise.cost.kept import KeptBytes
from edgewise.lean import Lean, make_lean, make_plain
from edgewise.lean.planning import RunStep

# small enough to be fast, large enough that a side network has batch statistics at the deepest point
SIZES = {
    "mobilenet_v1": 64,
    "mobilenet_v2": 72,
    "mobilenet_v3_small": 64,
    "proxylessnas_mobile": 64,
    "mcunet": 64,
    "pocket": 32,
    "resnet20": 33,
    "resnet18": 64,
}


def adapted(family: str, method: str) -> Adapted:
    """With statistics, scales and side outputs that are not 0 or 1, and no dropout."""
    backbone = load(family, weights="none", image_size=SIZES[family], width=0.35 if family == "mobilenet_v2" else None)
    model = adapt(backbone, METHODS[method](), ["a", "b", "c"])
    random = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.data.uniform_(0.5, 1.5, generator=random)
            module.bias.data.normal_(0, 0.2, generator=random)
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(0, 0.1, generator=random)
            module.running_var.uniform_(0.5, 1.5, generator=random)
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def step(model: nn.Module, images: Tensor) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
    """Loss, gradients and buffers after one backward pass."""
    labels = torch.arange(len(images)) % 3
    loss = F.cross_entropy(model(images), labels)
    loss.backward()
    gradients = {name: p.grad.double() for name, p in model.named_parameters() if p.grad is not None}
    return loss.detach(), gradients, {name: b.double() for name, b in model.named_buffers()}


def images_for(family: str, count: int = 5) -> Tensor:
    size = SIZES[family]
    random = torch.Generator().manual_seed(1)
    return torch.randn(count, 3, size, size, generator=random).contiguous(memory_format=torch.channels_last)


def flat(gradients: dict[str, Tensor]) -> Tensor:
    return torch.cat([gradients[name].flatten() for name in sorted(gradients)])


@pytest.fixture(autouse=True)
def _cut_whatever_the_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps as small as a test's would be left whole, and nothing of the cutting tested."""
    monkeypatch.setattr("edgewise.lean.planning.ROOM", 0)
    torch.manual_seed(0)


REFUSED = {("mobilenet_v1", method) for method in ("mobiletl", "mobiletl+lite", "lite", "tinytl")}
"""They need residual blocks; see tests/contract."""
CASES = [(family, method) for family in sorted(SIZES) for method in sorted(METHODS) if (family, method) not in REFUSED]


@pytest.mark.parametrize("chunk", [1, 2])
@pytest.mark.parametrize(("family", "method"), CASES)
def test_gradients_agree_to_noise_with_float64(family: str, method: str, chunk: int) -> None:
    model, images = adapted(family, method), images_for(family)
    exact = step(copy.deepcopy(model).double(), images.double())
    plain = step(copy.deepcopy(model), images)
    keys, before = list(model.state_dict()), digest(dict(model.named_parameters()))
    assert make_lean(model, Lean(chunk=chunk)) == ()
    lean = step(model, images)
    assert list(model.state_dict()) == keys
    assert digest(dict(model.named_parameters())) == before
    assert lean[1].keys() == plain[1].keys() == exact[1].keys()
    truth = flat(exact[1])
    noise = float((flat(plain[1]) - truth).norm() / truth.norm())
    error = float((flat(lean[1]) - truth).norm() / truth.norm())
    assert error <= max(3 * noise, 1e-3), (error, noise)  # one kink more or less
    assert lean[0] == pytest.approx(float(exact[0]), abs=max(1e-4, 3 * abs(float(plain[0] - exact[0]))))
    for name, buffer in exact[2].items():
        assert torch.allclose(lean[2][name], buffer, rtol=1e-3, atol=1e-3), name


@pytest.mark.parametrize("method", ["bias", "bn", "full", "repnet"])
@pytest.mark.parametrize("family", ["mobilenet_v2", "mobilenet_v3_small", "resnet20"])
def test_less_is_kept(family: str, method: str) -> None:
    model, images = adapted(family, method), images_for(family)

    def kept() -> int:
        with KeptBytes([images, *model.parameters(), *model.buffers()]) as counter:
            loss = F.cross_entropy(model(images), torch.arange(len(images)) % 3)
        del loss
        return counter.total

    before = kept()
    make_lean(model)
    assert kept() < before / (1.2 if method == "full" else 4)


def test_small_steps_are_left_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Below the threshold no run is cut and nothing is computed again; above it both happen."""
    images = images_for("mobilenet_v2")
    found = {}
    for threshold in (0, 10**12):
        monkeypatch.setattr("edgewise.lean.planning.ROOM", threshold)
        model = adapted("mobilenet_v2", "bn")
        make_lean(model)
        step(model, images)
        runs = [s for s in vars(model)["forward"].steps(images).steps if isinstance(s, RunStep)]
        parts = [part for s in runs for own in s.plan.schedules.values() for part in own]
        found[threshold] = {s.plan.chunk for s in runs}, any(part.again for part in parts)
    assert found[10**12] == ({len(images)}, False)
    assert 1 in found[0][0]
    assert found[0][1]


def test_photos_may_come_as_bytes() -> None:
    model = adapted("mobilenet_v2", "repnet").eval()
    photos = torch.randint(0, 256, (3, 3, 72, 72), dtype=torch.uint8)
    plain = model(photos)
    make_lean(model)
    assert torch.allclose(model(photos), plain, atol=1e-5)
    assert torch.equal(model(photos), model(model.normalise(photos)))


def test_the_plan_follows_the_model() -> None:
    model, images = adapted("mobilenet_v2", "last"), images_for("mobilenet_v2")
    make_lean(model)
    _, gradients, _ = step(model, images)
    assert set(gradients) == {"network.classifier.1.weight", "network.classifier.1.bias"}
    model.zero_grad()
    shift = model.get_parameter("network.features.3.conv.1.1.bias")
    shift.requires_grad_(True)
    _, gradients, _ = step(model, images)
    assert "network.features.3.conv.1.1.bias" in gradients
    reference = adapted("mobilenet_v2", "last")
    reference.get_parameter("network.features.3.conv.1.1.bias").requires_grad_(True)
    _, expected, _ = step(reference, images)
    assert torch.allclose(flat(gradients), flat(expected), atol=1e-5)
    assert model(images[:2]).shape == (2, 3)  # another batch
    with torch.no_grad():
        shift.add_(10)
    make_plain(reference)
    reference.load_state_dict(model.state_dict())
    assert torch.allclose(model.eval()(images), reference.eval()(images), atol=1e-3)


def test_back_to_plain() -> None:
    model, images = adapted("mobilenet_v2", "repnet").eval(), images_for("mobilenet_v2")
    expected = model(images)
    make_lean(model)
    make_plain(model)
    assert torch.equal(model(images), expected)
    assert "forward" not in vars(model)


def test_a_copy_has_plans_of_its_own() -> None:
    model, images = adapted("mobilenet_v2", "last").eval(), images_for("mobilenet_v2")
    make_lean(model)
    before = model(images)
    other = copy.deepcopy(model)
    with torch.no_grad():
        other.get_parameter("network.classifier.1.bias").add_(1)
    assert torch.allclose(other(images), before + 1, atol=1e-5)
    assert torch.equal(model(images), before)
