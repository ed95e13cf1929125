"""Frozen weights in 8 bits: the network of the rounded weights, its gradients, and the corrected means."""

import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgewise.adapt import METHODS, Adapted, adapt
from edgewise.backbones import load
from edgewise.core.errors import EdgewiseError, UsageError
from edgewise.cost import cost
from edgewise.cost.kept import KeptBytes
from edgewise.lean import FAST, SMALL, Lean, lean_named, make_lean, make_plain
from edgewise.ops.quantised import dequantised, quantised

INT8 = Lean(frozen_bits=8)
SIZE = 64


def adapted(family: str, method: str) -> Adapted:
    """With statistics and scales that are not 0 or 1, so that features stay as large as the image's."""
    backbone = load(family, weights="none", image_size=SIZE, width=0.35 if family == "mobilenet_v2" else None)
    model = adapt(backbone, METHODS[method](), ["a", "b", "c"])
    random = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.data.uniform_(0.5, 1.5, generator=random)
            module.bias.data.normal_(0, 0.2, generator=random)
            assert module.running_mean is not None
            module.running_mean.normal_(0, 0.1, generator=random)
        elif isinstance(module, nn.Conv2d):
            module.weight.data.mul_(3)
        elif isinstance(module, nn.Dropout):
            module.p = 0.0
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def pictures(count: int, seed: int = 1) -> Tensor:
    """Smooth bytes, as photos are."""
    coarse = torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(coarse, (SIZE, SIZE), mode="bilinear").mul_(255).to(torch.uint8)


def frozen_convolutions(model: nn.Module) -> list[nn.Conv2d]:
    return [m for m in model.modules() if type(m).__name__ in ("Conv2d", "SameConv2d") and not m.weight.requires_grad]


def rounded(model: Adapted) -> Adapted:
    """The plain float model whose frozen weights are the rounded ones."""
    twin = copy.deepcopy(model)
    for layer in frozen_convolutions(twin):
        layer.weight.data = dequantised(*quantised(layer.weight))
    return twin


def step(model: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    logits = model(images)
    F.cross_entropy(logits, torch.arange(len(images)) % 3).backward()
    return logits.detach().double(), torch.cat(
        [p.grad.double().flatten() for _, p in sorted(model.named_parameters()) if p.grad is not None]
    )


@pytest.mark.parametrize("chunk", [1, 2])
@pytest.mark.parametrize("method", ["repnet", "bias", "last", "bn"])
@pytest.mark.parametrize("family", ["mobilenet_v2", "mobilenet_v3_small"])
def test_it_is_the_network_of_the_rounded_weights(family: str, method: str, chunk: int) -> None:
    """Over three batches: where a value lies at a kink, float32 may fall on either side of it, ours or torch's."""
    noise, error = torch.zeros(2, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
    for seed in (1, 2, 3):
        model = adapted(family, method)
        images = model.normalise(pictures(5, seed))
        reference, keys = rounded(model), list(model.state_dict())
        exact = step(copy.deepcopy(reference).double(), images.double())
        plain = step(copy.deepcopy(reference), images)
        assert make_lean(model, Lean(chunk=chunk, frozen_bits=8)) == ()
        held = [p for p in model.parameters() if p.dtype == torch.int8]
        assert len(held) == len(frozen_convolutions(reference)) == 52
        found = step(model, images)
        for sums, values in ((noise, plain), (error, found)):
            sums += torch.stack([(v - truth).norm() / truth.norm() for v, truth in zip(values, exact, strict=True)])
        state = model.state_dict()
        assert list(state) == keys
        for name, tensor in reference.state_dict().items():
            if "running" not in name and "num_batches" not in name:
                assert torch.equal(state[name], tensor), name
    assert bool((error <= (3 * noise).clamp_min(3e-3)).all()), (error, noise)


def test_the_other_functions_see_the_same_network() -> None:
    model = adapted("mobilenet_v2", "repnet")
    reference = rounded(model)
    make_lean(model, INT8)
    expected, found = cost(reference, (2, 3, SIZE, SIZE), 1), cost(model, (2, 3, SIZE, SIZE), 1)
    assert found.published_mb == expected.published_mb
    assert found.macs_forward == expected.macs_forward
    assert model.sizes() == reference.sizes()
    images = pictures(2)
    plain, first = reference.eval()(images), model.eval().network.features[0]
    assert torch.equal(first(images.float()), reference.network.features[0](images.float())), "a layer by itself"
    assert torch.allclose(model(images), plain, atol=1e-5)


def test_the_same_is_kept_and_the_weights_take_a_quarter() -> None:
    model, images = adapted("mobilenet_v2", "bias"), pictures(4)

    def kept() -> int:
        with KeptBytes([images, *model.parameters(), *model.buffers()]) as counter:
            loss = model(images).sum()
        del loss
        return counter.total

    def held() -> int:
        return sum(t.numel() * t.element_size() for t in (*model.parameters(), *model.buffers()))

    frozen = sum(layer.weight.numel() for layer in frozen_convolutions(model))
    channels = sum(layer.out_channels for layer in frozen_convolutions(model))
    make_lean(model)
    before = kept(), held()
    make_lean(model, INT8)
    assert kept() == before[0]
    assert held() == before[1] - 3 * frozen + 4 * channels


def test_plain_again_has_the_rounded_values_and_lean_again_the_same_bits() -> None:
    model, images = adapted("mobilenet_v2", "last").eval(), pictures(3)
    reference = rounded(model)
    make_lean(model, INT8, pictures(4, seed=2).split(1))
    lean, state = model(images), {name: t.clone() for name, t in model.state_dict().items()}
    make_plain(model)
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert {type(m).__name__: vars(m).keys() for m in model.modules()} == {
        type(m).__name__: vars(m).keys() for m in reference.modules()
    }
    assert torch.allclose(model(images), lean, atol=2e-3)
    weights = {name for name, p in model.named_parameters() if p.ndim == 4}
    assert all(torch.equal(model.get_parameter(name), reference.get_parameter(name)) for name in weights)
    for again in (INT8, INT8, SMALL):  # rounding what is rounded changes nothing, and corrects nothing
        make_lean(model, again, pictures(4, seed=3).split(1))
        assert all(torch.equal(state[name], tensor) for name, tensor in model.state_dict().items())
    assert {p.dtype for p in model.parameters()} == {torch.float32}, "frozen_bits=32 gives floats back"


def test_copies_and_state_dicts() -> None:
    model, images = adapted("mobilenet_v2", "repnet").eval(), pictures(3)
    other = copy.deepcopy(model)
    make_lean(model, INT8, pictures(2).split(1))
    expected, twin = model(images), copy.deepcopy(model)
    assert torch.equal(twin(images), expected)
    with torch.no_grad():
        twin.get_parameter("network.classifier.1.bias").add_(1)
        twin.get_submodule("network.features.0.0").weight.zero_()
    assert torch.equal(model(images), expected)
    other.load_state_dict(model.state_dict())
    make_lean(other, INT8)
    assert torch.equal(other(images), expected)
    fresh = adapted("mobilenet_v2", "repnet").eval()
    make_lean(fresh, FAST)
    make_lean(fresh, INT8)
    fresh(images)  # a plan is there when other values come
    fresh.load_state_dict(model.state_dict())
    assert torch.equal(fresh(images), expected)


def test_an_adapter_does_not_hold_rounded_weights_of_the_backbone() -> None:
    model = adapted("mobilenet_v2", "last")
    backbone = load("mobilenet_v2", weights="none", image_size=SIZE, width=0.35)
    model.network.load_state_dict(
        {**model.network.state_dict(), **{k: v for k, v in backbone.module.state_dict().items() if "classif" not in k}}
    )
    head = {"network.classifier.1.weight", "network.classifier.1.bias"}
    assert model.difference().keys() == head
    make_lean(model, INT8)
    assert model.difference().keys() == head
    make_lean(model)
    make_plain(model)
    assert len(model.difference()) == len(head) + 52, "floats that are not the backbone's any more"
    model.network.load_state_dict(
        {**model.network.state_dict(), **{k: v for k, v in backbone.module.state_dict().items() if "classif" not in k}}
    )
    make_lean(model, INT8, pictures(4).split(1))
    corrected = model.difference().keys() - head
    assert corrected
    assert all(name.endswith("running_mean") for name in corrected)
    state = model.state_dict()
    state["network.features.0.0.weight"] += 1
    model.load_state_dict(state)
    assert "network.features.0.0.weight" in model.difference(), "other weights than the backbone's"


def shifts(model: nn.Module, reference: nn.Module, images: Tensor) -> Tensor:
    """By norm, how far the mean of its output has moved, over the output's spread."""
    seen: dict[str, list[Tensor]] = {}

    def watch(network: nn.Module, name: str) -> None:
        for place, norm in network.named_modules():
            if isinstance(norm, nn.BatchNorm2d):
                norm.register_forward_hook(lambda _, __, y, key=f"{name} {place}": seen.setdefault(key, []).append(y))

    for name, network in (("mine", model), ("theirs", reference)):
        twin = copy.deepcopy(network).eval()
        watch(twin, name)
        with torch.no_grad():
            twin(images)
    found = []
    for key, (theirs,) in ((k, v) for k, v in seen.items() if k.startswith("theirs ")):
        (mine,) = seen[key.replace("theirs", "mine", 1)]
        found.append(((mine - theirs).mean((0, 2, 3)).abs() / theirs.std((0, 2, 3)).clamp_min(1e-3)).mean())
    return torch.stack(found)


def test_the_mean_error_is_taken_out_on_other_pictures_too() -> None:
    model = adapt(load("pocket"), METHODS["last"](), ["a", "b"])
    learnt = F.interpolate(pictures(48, seed=3).float(), model.backbone.input.size).to(torch.uint8)
    others = F.interpolate(pictures(48, seed=4).float(), model.backbone.input.size).to(torch.uint8)
    raw, corrected = copy.deepcopy(model), copy.deepcopy(model)
    make_lean(raw, INT8)
    make_lean(corrected, INT8, learnt.split(1))
    modes = [module.training for module in corrected.modules()]
    assert modes == [module.training for module in model.modules()]
    for rounded_model in (raw, corrected):
        make_plain(rounded_model)
    before, after = (shifts(m, model, others) for m in (raw, corrected))
    assert float(after.mean()) < 0.5 * float(before.mean())
    weights = {name: p for name, p in raw.named_parameters()}
    assert all(torch.equal(p, weights[name]) for name, p in corrected.named_parameters())
    means = {name: b for name, b in raw.named_buffers()}
    moved = {name for name, b in corrected.named_buffers() if not torch.equal(b, means[name])}
    assert moved
    assert all(name.endswith("running_mean") for name in moved)


class Mixed(nn.Module):
    """Convolutions with a norm, with a bias, with neither, called twice, sharing a weight, and read by a function."""

    def __init__(self) -> None:
        super().__init__()
        self.normed = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.biased = nn.Conv2d(8, 8, 3, padding=1)
        self.bare = nn.Conv2d(8, 8, 1, bias=False)
        self.twice = nn.Conv2d(8, 8, 3, padding=1)
        self.left, self.right = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1)
        self.right.weight = self.left.weight
        self.read = nn.Conv2d(8, 8, 1)
        self.circular = nn.Conv2d(8, 8, 3, padding=1, padding_mode="circular")
        self.short = nn.Conv2d(8, 8, 1).to(torch.bfloat16)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.normed(x)))
        x = self.bare(F.relu(self.biased(x)))
        x = self.twice(F.relu(self.twice(x)))
        x = F.conv2d(self.right(self.left(x)), self.read.weight) + self.read(x)
        x = self.short(self.circular(x).to(torch.bfloat16)).float()
        logits: Tensor = self.head(x.mean((2, 3)))
        return logits


def test_which_weights_and_what_is_said() -> None:
    torch.manual_seed(0)
    model, images = Mixed().requires_grad_(False).eval(), torch.randn(6, 3, 9, 9)
    model.head.requires_grad_(True)
    expected = model(images)
    before = {name: t.clone() for name, t in model.state_dict().items()}
    (note,) = make_lean(model, INT8, images.split(2))
    assert note.startswith("The mean error of rounding stays in 1 of 4 convolutions, which have neither a bias nor")
    assert note.endswith("(such as bare).")
    held = {name for name, p in model.named_parameters() if p.dtype == torch.int8}
    assert held == {"normed.weight", "biased.weight", "bare.weight", "twice.weight"}
    changed = {name for name, t in model.state_dict().items() if not torch.equal(t, before[name])}
    assert changed == held | {"norm.running_mean", "biased.bias", "twice.bias"}
    assert torch.allclose(model(images), expected, atol=0.05)
    assert make_lean(model, INT8) == ()


def test_a_forward_that_is_not_followed_keeps_32_bits_and_says_so() -> None:
    class Looking(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 6, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(x).mean((2, 3)) if x.sum() > 0 else self.conv(-x).mean((2, 3))

    model = Looking().requires_grad_(False)
    (note,) = make_lean(model, INT8)
    assert note.endswith("as in stock PyTorch, and frozen weights stay in 32 bits.")
    assert model.conv.weight.dtype == torch.float32


def test_a_weight_that_begins_to_train() -> None:
    model, images = adapted("mobilenet_v2", "last"), pictures(3)
    make_lean(model, INT8)
    weight = model.get_parameter("network.features.3.conv.0.0.weight")
    with pytest.raises(RuntimeError, match="only Tensors of floating point"):
        weight.requires_grad_(True)
    make_plain(model)
    weight.requires_grad_(True)
    make_lean(model, INT8)
    assert weight.dtype == torch.float32
    step(model, images)
    assert weight.grad is not None


def test_wrong_values() -> None:
    with pytest.raises(UsageError, match="Lean: frozen_bits is 4; choose one of 8, 32"):
        Lean(frozen_bits=4)
    with pytest.raises(UsageError, match="frozen_bits is 4; choose one of 8, 32"):
        lean_named("off", 4)
    with pytest.raises(UsageError, match="--frozen-bits 8 needs --lean small or fast"):
        lean_named("off", 8)
    assert (lean_named("small", 8), lean_named("fast", 8)) == (INT8, replace(FAST, frozen_bits=8))
    assert lean_named("off") is None
    model = adapted("mobilenet_v2", "last")
    model.get_parameter("network.features.3.conv.0.0.weight").data[0] = float("nan")
    with pytest.raises(EdgewiseError, match=r"The weight of network\.features\.3\.conv\.0\.0 is not finite"):
        make_lean(model, INT8)
    assert {p.dtype for p in model.parameters()} == {torch.float32}, "nothing was done before the check"
