"""MobileTL: published counts and memory, what each variant trains, gradients against a block written by hand."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgewise.adapt import Blocks, MobileTL, adapt, adapt_in_place
from edgewise.backbones import load
from edgewise.core.errors import UsageError
from edgewise.cost.kept import KeptBytes
from edgewise.cost.published import published
from edgewise.layers.signed_activation import SignedActivation
from edgewise.lean import make_lean

BATCH = (8, 3, 224, 224)


def classes(count: int) -> list[str]:
    return [str(i) for i in range(count)]


@pytest.fixture(scope="module")
def proxyless():
    return load("proxylessnas_mobile", weights="none", image_size=224)


@pytest.mark.parametrize(("count", "trained"), [(100, 1_691_364), (10, 1_576_074)])
def test_trainable_parameters_as_published(proxyless, count, trained):
    model = adapt(proxyless, MobileTL(), classes(count))
    assert model.sizes()["trainable_params"] == trained
    vanilla = adapt(proxyless, Blocks(), classes(count))
    missing = set(vanilla.trainable()) - set(model.trainable())
    assert sum(vanilla.trainable()[name].numel() for name in missing) == 4_608
    assert {name.split(".", 3)[3] for name in missing} == {
        "mobile_inverted_conv.inverted_bottleneck.bn.weight",
        "mobile_inverted_conv.depth_conv.bn.weight",
    }


@pytest.mark.parametrize(("count", "megabytes"), [(10, 33.2), (100, 33.7)])
def test_published_memory(proxyless, count, megabytes):
    """The papers' formula, with a forward pass of the frozen layers that keeps nothing.

    TinyTL's profiler, which `published` is, charges a bit for a ReLU as soon as anything but the head trains,
    frozen layers below included, where no gradient passes: 0.8 MB more here.
    """
    model = adapt(proxyless, MobileTL(), classes(count))
    found = published(model, BATCH)
    widest = found.inference_bytes - model.sizes()["total_params"]  # one byte a parameter: activations alone
    assert round((found.parameters_bytes + widest) / 1e6, 1) == megabytes
    bits_below = BATCH[0] * 2 * 32 * 112 * 112 // 8  # the stem's and the first block's ReLU6, before the widest layer
    assert found.total - bits_below == found.parameters_bytes + widest


# variant: for each role, does the scale train (and with it the statistics)?
VARIANTS = {
    "proj-bn": {"exp": False, "dw": False, "proj": True},
    "exp-bn": {"exp": True, "dw": False, "proj": False},
    "dw-bn": {"exp": False, "dw": True, "proj": False},
    "all-bn": {"exp": True, "dw": True, "proj": True},
    "all-bn-shift": {"exp": False, "dw": False, "proj": False},
}
PLACES = {"conv.0.1": "exp", "conv.1.1": "dw", "conv.3": "proj"}


@pytest.fixture(scope="module")
def small():
    return load("mobilenet_v2", weights="none", width=0.35, image_size=64)


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_a_variant_trains(small, variant):
    model = adapt(small, MobileTL(blocks=2, norms=variant), classes(3))
    trained = {name.removeprefix("network.") for name in model.trainable()}
    for block in ("features.16", "features.17"):
        for place, role in PLACES.items():
            norm = model.network.get_submodule(f"{block}.{place}")
            whole = VARIANTS[variant][role]
            assert (f"{block}.{place}.weight" in trained, norm.training) == (whole, whole)
            assert f"{block}.{place}.bias" in trained
        assert {f"{block}.conv.0.0.weight", f"{block}.conv.1.0.weight", f"{block}.conv.2.weight"} <= trained
    assert {"features.18.0.weight", "features.18.1.weight", "features.18.1.bias"} <= trained
    assert model.network.features[18][1].training
    assert not any(name.startswith("features.15.") for name in trained)
    assert not any(m.training for block in model.network.features[:16] for m in block.modules())


SIGNED = {"activations": {nn.Hardswish}, "gates": {nn.Hardswish, nn.Hardsigmoid}, "none": set()}


@pytest.mark.parametrize("which", SIGNED)
def test_whose_gradient_is_a_sign(which):
    backbone = load("mobilenet_v3_small", weights="none", image_size=64)
    model = adapt(backbone, MobileTL(signed=which), classes(3))
    found = {name: m.activation for name, m in model.network.named_modules() if isinstance(m, SignedActivation)}
    assert {type(activation) for activation in found.values()} == SIGNED[which]
    assert all(name.startswith(("features.9.", "features.10.", "features.11.")) for name in found)
    assert len(found) == {"activations": 6, "gates": 9, "none": 0}[which]
    assert model.state_dict().keys() == adapt(backbone, Blocks(), classes(3)).state_dict().keys()


def test_merging_puts_the_activations_back():
    backbone = load("mobilenet_v3_small", weights="none", image_size=64)
    model = adapt(backbone, MobileTL(signed="gates"), classes(3))
    images = torch.randn(4, 3, 64, 64)
    F.cross_entropy(model(images), torch.tensor([0, 1, 2, 0])).backward()
    with torch.no_grad():
        for p in model.trainable().values():
            p -= 1e-3 * p.grad.sign()
    plain = model.eval().merged()
    assert [type(m) for m in plain.modules()] == [
        type(m) for m in adapt(backbone, Blocks(), classes(3)).network.modules()
    ]
    assert torch.equal(plain(images), model.network(images))


class Sign(torch.autograd.Function):
    """ReLU6 with the backward pass of Table 2, written again."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.clamp(0, 6)

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return torch.where(x >= 0, grad, 0.0)


def frozen_norm(x: Tensor, norm: nn.BatchNorm2d) -> Tensor:
    """Eq. 1 with frozen statistics and scale: only the shift has a gradient."""
    wide = (1, -1, 1, 1)
    scale = (norm.weight / (norm.running_var + norm.eps).sqrt()).detach()
    return (x - norm.running_mean.view(wide)) * scale.view(wide) + norm.bias.view(wide)


def test_gradients_of_a_block_written_by_hand(small):
    """One inverted residual, float64: convolutions, both shifts, the projection's norm in training."""
    model = adapt(small, MobileTL(blocks=1), classes(3)).double()
    random = torch.Generator().manual_seed(0)
    for m in model.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.weight.data.uniform_(1, 3, generator=random)  # so that some inputs lie above 6
            m.bias.data.normal_(1, 2, generator=random)
    block = model.network.features[17]
    (expand, norm1, _), (depthwise, norm2, _) = block.conv[0], block.conv[1]
    project, norm3 = block.conv[2], block.conv[3]
    x = torch.randn(5, expand.in_channels, 6, 6, dtype=torch.float64, generator=random, requires_grad=True)
    grad = torch.randn(5, project.out_channels, 6, 6, dtype=torch.float64, generator=random)
    trained = [p for p in block.parameters() if p.requires_grad]
    assert len(trained) == 7
    found = torch.autograd.grad(block(x), [x, *trained], grad)
    y = frozen_norm(F.conv2d(x, expand.weight), norm1)
    assert y.max() > 6
    y = frozen_norm(F.conv2d(Sign.apply(y), depthwise.weight, padding=1, groups=depthwise.groups), norm2)
    y = F.conv2d(Sign.apply(y), project.weight)
    mean, variance = y.mean((0, 2, 3), keepdim=True), y.var((0, 2, 3), keepdim=True, correction=0)
    wide = (1, -1, 1, 1)
    y = (y - mean) / (variance + norm3.eps).sqrt() * norm3.weight.view(wide) + norm3.bias.view(wide)
    for gradient, truth in zip(found, torch.autograd.grad(y, [x, *trained], grad), strict=True):
        torch.testing.assert_close(gradient, truth, rtol=1e-9, atol=1e-9)


def test_the_shift_of_a_frozen_norm_passes_gradcheck(small):
    model = adapt(small, MobileTL(blocks=1, signed="none"), classes(3)).double()
    norm = model.network.features[17].conv[0][1]
    x = torch.randn(3, norm.num_features, 2, 2, dtype=torch.float64)

    def of_shift(shift: Tensor) -> Tensor:
        return torch.func.functional_call(norm, {"bias": shift}, x)

    assert not norm.training
    assert torch.autograd.gradcheck(of_shift, norm.bias.detach().clone().requires_grad_(), fast_mode=True)


def step(model: nn.Module, images: Tensor) -> dict[str, Tensor]:
    for m in model.modules():
        if isinstance(m, nn.Dropout):
            m.p = 0.0
    model.zero_grad()
    F.cross_entropy(model(images), torch.arange(len(images)) % 3).backward()
    return {name: p.grad.double().clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("family", ["mobilenet_v2", "mobilenet_v3_small", "resnet18"])
@pytest.mark.parametrize(
    "settings", [{"norms": n} for n in ("dw-bn", "all-bn", "all-bn-shift")] + [{"signed": "gates"}], ids=str
)
def test_lean_gradients_are_plain_ones(family, settings, monkeypatch):
    monkeypatch.setattr("edgewise.lean.planning.ROOM", 0)
    width = {"width": 0.35} if family == "mobilenet_v2" else {}
    model = adapt(load(family, weights="none", image_size=64, **width), MobileTL(**settings), classes(3))
    images = torch.randn(5, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    exact = step(copy.deepcopy(model).double(), images.double())
    plain = step(copy.deepcopy(model), images)
    assert make_lean(model) == (), "nothing is left uncovered"
    lean = step(model, images)
    assert exact.keys() == plain.keys() == lean.keys()
    truth, both = _flat(exact), [_flat(g) for g in (plain, lean)]
    noise, error = (float((g - truth).norm() / truth.norm()) for g in both)
    assert error <= max(3 * noise, 1e-5)


def _flat(gradients: dict[str, Tensor]) -> Tensor:
    return torch.cat([gradients[name].flatten() for name in sorted(gradients)])


def kept(model: nn.Module, images: Tensor) -> int:
    with KeptBytes([images, *model.parameters(), *model.buffers()]) as counter:
        loss = F.cross_entropy(model(images), torch.arange(len(images)) % 3)
    del loss
    return counter.total


@pytest.mark.parametrize(("family", "ratio"), [("mobilenet_v2", 0.65), ("mobilenet_v3_small", 0.6)])
def test_it_keeps_much_less_than_fine_tuning_the_same_blocks(family, ratio):
    images = torch.randn(8, 3, 64, 64).contiguous(memory_format=torch.channels_last)
    backbone = load(family, weights="none", image_size=64)
    lean = []
    for method in (Blocks(), MobileTL()):
        model = adapt(backbone, method, classes(3))
        make_lean(model)
        lean.append(kept(model, images))
    assert lean[1] < ratio * lean[0]


def test_the_masks_take_one_bit_an_element_of_the_real_network(small):
    """Between no mask at all and exact ReLU6 the difference is counted in elements."""
    images = torch.randn(8, 3, 64, 64).contiguous(memory_format=torch.channels_last)
    model = adapt(small, MobileTL(), classes(3))
    elements = []
    for m in model.modules():
        if isinstance(m, SignedActivation):
            m.register_forward_hook(lambda m, args, y: elements.append(y.numel()))
    model(images)
    hooked = sum(elements)
    assert hooked == 8 * sum(2 * 2 * c * 2 for c in (336, 336, 336))
    free = adapt(small, MobileTL(), classes(3))
    for block in free.network.features[15:18]:
        for pair in block.conv[:2]:
            pair[2] = nn.Identity()
    signed = adapt(small, MobileTL(), classes(3))
    for either in (free, signed):
        make_lean(either)
    assert kept(signed, images) - kept(free, images) == hooked // 8


RESNETS = {
    "resnet18": {"bn1": False, "bn2": True, "downsample.1": True},
    "resnet50": {"bn1": False, "bn2": False, "bn3": True, "downsample.1": True},
}


@pytest.mark.parametrize(("family", "roles"), RESNETS.items())
def test_residual_blocks_of_resnets(family, roles):
    model = adapt(load(family, weights="none", image_size=64), MobileTL(blocks=3), classes(3))
    block = model.network.layer4[0]
    for name, whole in roles.items():
        norm = block.get_submodule(name)
        assert (norm.weight.requires_grad, norm.training) == (whole, whole)
        assert norm.bias.requires_grad
    assert not any(isinstance(m, SignedActivation) for m in model.modules()), "ReLU's gradient is the sign already"


def test_a_backbone_without_residual_blocks_is_refused_unchanged():
    backbone = load("mobilenet_v1", weights="none", width=0.25, image_size=64)
    with pytest.raises(
        UsageError, match=r"MobileTL works on the residual or inverted-residual blocks .* MobileNetV1 has none"
    ):
        adapt(backbone, MobileTL(), classes(3))


def test_refusals_come_before_any_change():
    backbone = load("mobilenet_v2", weights="none", width=0.35, image_size=64)
    with pytest.raises(UsageError, match="MobileTL: blocks is 18"):
        adapt_in_place(backbone, MobileTL(blocks=18), None)
    assert not any(isinstance(m, SignedActivation) for m in backbone.module.modules())


def test_fields_out_of_range_all_at_once():
    with pytest.raises(UsageError) as refused:
        MobileTL(blocks=0, norms="last-bn", signed="some", lr=-1.0)
    assert all(f"{name} is" in str(refused.value) for name in ("blocks", "norms", "signed", "lr"))


def test_a_variant_that_the_blocks_cannot_have(small):
    with pytest.raises(
        UsageError, match=r"norms is exp-bn, .* no norm behind a 1x1 convolution .* choose one of dw-bn"
    ):
        adapt(load("resnet20", weights="none"), MobileTL(norms="exp-bn"), classes(3))
    assert adapt(small, MobileTL(norms="exp-bn", blocks=17), classes(3)), "one block of seventeen has no expansion"
