"""SR-STE as a training: every step against Equation 9, written with autograd and torch's own optimizer."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edgewise.backbones import load
from edgewise.core.errors import UsageError
from edgewise.subnets.network import SubNets
from edgewise.subnets.nm import NM, has_pattern, nm_mask
from edgewise.subnets.sr_ste import LAMBDA, SrSte


def small(classes=8):
    return load("resnet20", weights="none", seed=1, classes=classes)


def plain_step(network, optimizer, images, labels, pattern, layers):
    """Zhou et al.'s layer as a detached difference, and its decay as a penalty on what is cut."""
    weights, masks = {}, {}
    for name in layers:
        module = network.get_submodule(name)
        weights[name], masks[name] = module.weight, nm_mask(module.weight, pattern)
        effective = module.weight + (module.weight * masks[name] - module.weight).detach()
        del module.weight
        module.weight = effective
    loss = F.cross_entropy(network(images), labels)
    loss = loss + LAMBDA / 2 * sum((weights[name] * ~masks[name]).square().sum() for name in layers)
    loss.backward()
    for name in layers:
        module = network.get_submodule(name)
        del module.weight
        module.weight = weights[name]
    optimizer.step()
    optimizer.zero_grad()


def test_steps_are_those_of_equation_9():
    torch.manual_seed(0)
    pattern, backbone = NM(1, 4), small()
    twin = copy.deepcopy(backbone.module).train()
    net = SubNets(backbone, [pattern])
    net.normalise = nn.Identity()
    trainer = SrSte(net, decay=5e-4)
    optimizer = torch.optim.SGD(twin.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    first = {name: mask.clone() for name, mask in net.masks(0).items()}
    for _ in range(3):
        images, labels = torch.randn(8, 3, 32, 32), torch.randint(8, (8,))
        loss = F.cross_entropy(net(images), labels)
        with trainer.during_backward({"main": 0.1}):
            loss.backward()
        plain_step(twin, optimizer, images, labels, pattern, net.layers)
        for name, layer in net.layers.items():
            torch.testing.assert_close(layer.weight, twin.get_submodule(name).weight, rtol=2e-4, atol=2e-5)
    assert has_pattern(net.masks(0), pattern)
    assert net.densities() == {"75%": 0.25}
    assert any((mask & ~first[name]).any() for name, mask in net.masks(0).items()), "weights that were cut came back"
    assert trainer.steps == 3


def test_a_network_whose_channels_do_not_divide_is_refused_before_anything_is_changed():
    backbone = small()
    with pytest.raises(UsageError, match=r"1:32 needs input channels that 32 divides.*layer1.0.conv1 \(16\)"):
        SubNets(backbone, [NM(1, 32)])
    assert type(backbone.module.layer1[0].conv1) is nn.Conv2d
