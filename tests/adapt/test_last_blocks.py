"""Fine-tuning of the last blocks: MobileTL's FT-3BLKs to the unit."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edgewise.adapt import Blocks, adapt
from edgewise.backbones import load
from edgewise.core.errors import UsageError


@pytest.fixture(scope="module")
def proxyless():
    return load("proxylessnas_mobile", weights="none", image_size=64)


@pytest.mark.parametrize(("classes", "trained"), [(100, 1_695_972), (10, 1_580_682)])
def test_trainable_parameters_as_published(proxyless, classes, trained):
    sizes = adapt(proxyless, Blocks(), [str(i) for i in range(classes)]).sizes()
    assert sizes["trainable_params"] == trained
    assert sizes["total_params"] == 2_799_512 + 1281 * classes


def test_blocks_train_with_batch_statistics_and_nothing_below_moves(proxyless):
    model = adapt(proxyless, Blocks(blocks=2), ["a", "b"])
    norms = {name: m.training for name, m in model.network.named_modules() if isinstance(m, nn.BatchNorm2d)}
    awake = {name for name, training in norms.items() if training}
    assert awake == {name for name in norms if name.startswith(("blocks.20.", "blocks.21.", "feature_mix_layer."))}
    seen: list[bool] = []
    model.network.blocks[19].register_forward_hook(lambda m, a, y: seen.append(y.requires_grad))
    model(torch.randn(4, 3, 64, 64))
    assert seen == [False], "no gradient goes below"


def test_a_step_is_that_of_a_network_cut_in_two():
    """The same gradients as autograd's when the blocks are trained on the frozen part's features."""
    backbone = load("resnet20", weights="none")
    model = adapt(backbone, Blocks(), ["a", "b"])
    images, labels = torch.randn(4, 3, 32, 32), torch.tensor([0, 1, 0, 1])
    F.cross_entropy(model(images), labels).backward()
    net = model.network
    with torch.no_grad():
        features = net.layer2(net.layer1(F.relu(net.bn1(net.conv1(images)))))
    top = nn.Sequential(net.layer3, nn.AdaptiveAvgPool2d(1), nn.Flatten(), net.linear)
    own = dict(top.named_parameters())
    expected = torch.autograd.grad(F.cross_entropy(top(features), labels), list(own.values()))
    assert {id(p) for p in own.values()} == {id(p) for p in model.trainable().values()}
    for (name, parameter), gradient in zip(own.items(), expected, strict=True):
        assert torch.allclose(parameter.grad, gradient, rtol=1e-4, atol=1e-6), name


def test_any_network_with_blocks_will_do():
    model = adapt(load("mobilenet_v1", weights="none", width=0.25, image_size=64), Blocks(blocks=1), ["a", "b"])
    trained = {name.removeprefix("network.").rpartition(".")[0] for name in model.trainable()}
    assert trained == {"features.13.0", "features.13.1", "features.13.3", "features.13.4", "classifier"}


@pytest.mark.parametrize("number", [21, 1000])
def test_more_blocks_than_there_are(proxyless, number):
    with pytest.raises(UsageError, match=f"Last blocks \\+ head: blocks is {number}, and ProxylessNAS has 20 blocks"):
        adapt(proxyless, Blocks(blocks=number), ["a", "b"])


def test_a_network_without_blocks():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    with pytest.raises(UsageError, match=r"has none: no part .* Methods that fit: repnet, bias, bn, last, full\."):
        adapt(load(net, image_size=16), Blocks(), ["a", "b"])


def test_settings_out_of_range():
    with pytest.raises(UsageError, match=r"Blocks: blocks is 0; it must be at least 1; side_lr is -1\.0"):
        Blocks(blocks=0, side_lr=-1.0)
