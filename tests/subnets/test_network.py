"""The network of several sub-nets: what it computes, switches, holds and refuses."""

import copy
import threading

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edgewise.backbones import load
from edgewise.core.errors import UsageError
from edgewise.subnets import SubNets, Unstructured
from edgewise.subnets.layers import Active, PrivateNorm, kept
from edgewise.subnets.places import places_in
from subnets_small import Small, passed, sub_nets


def test_a_kept_weight_has_its_gradient_and_a_dormant_one_only_when_asked_for():
    torch.manual_seed(0)
    weight = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    mask, active = torch.rand(3, 4) < 0.5, Active()
    assert torch.autograd.gradcheck(lambda w: kept(w, mask, active) ** 2, (weight,))
    assert torch.equal(kept(weight, mask, active), weight * mask)
    x = torch.randn(5, 4, dtype=torch.float64)
    effective = (weight.detach() * mask).requires_grad_()  # the twin: the gradient of the masked weight itself
    F.linear(x, effective).square().sum().backward()
    for dense in (False, True):
        weight.grad, active.dense = None, dense
        F.linear(x, kept(weight, mask, active)).square().sum().backward()
        torch.testing.assert_close(weight.grad, effective.grad if dense else effective.grad * mask)
        assert bool(weight.grad[~mask].any()) == dense


def test_a_dormant_weight_that_is_not_finite_does_no_harm():
    weight = torch.tensor([1.0, float("nan"), float("inf")])
    assert kept(weight, torch.tensor([True, False, False]), Active()).tolist() == [1, 0, 0]


def test_every_sub_net_computes_as_a_plain_network_with_its_weights_and_norms():
    net = sub_nets((0.6, 0.3))
    for number in (0, 1):
        net.use(number)
        passed(net, None)  # moves the statistics of its own norms
    x = torch.randn(4, 3, 16, 16)
    net.eval()
    for name in net.names:
        net.use(name)
        twin = Small().eval()
        twin.load_state_dict(net.plain(name).state_dict())
        torch.testing.assert_close(net(x), twin(x))
        assert all(
            type(module).__module__.startswith(("torch", "subnets_small")) for module in net.plain(name).modules()
        )
        density = sum(int((twin.get_submodule(layer).weight != 0).sum()) for layer in net.layers) / net.total()
        assert density == net.densities()[name]


def test_switching_is_one_assignment_and_changes_nothing_else():
    net = sub_nets((0.6, 0.3))
    before = {name: (tensor.data_ptr(), tensor.clone()) for name, tensor in net.state_dict().items()}
    x = torch.randn(2, 3, 16, 16)
    net.eval()
    first = net(x)
    net.use("70%")
    assert (net.active, torch.equal(net(x), first)) == ("70%", False)
    net.use("40%")
    assert torch.equal(net(x), first)
    assert all(t.data_ptr() == before[n][0] and torch.equal(t, before[n][1]) for n, t in net.state_dict().items())


def test_norms_are_each_sub_nets_own_or_one_for_all():
    private, shared = sub_nets((0.6, 0.3)), sub_nets((0.6, 0.3), norms="shared")
    assert private.norms == ("bn1", "bn2", "bn3")
    assert isinstance(private.network.bn1, PrivateNorm)
    assert type(shared.network.bn1) is nn.BatchNorm2d
    private.use(1)
    passed(private, None)
    ours, other = private.network.bn2.own[1], private.network.bn2.own[0]
    assert (int(ours.num_batches_tracked), int(other.num_batches_tracked)) == (1, 0)
    assert ours.weight.grad is not None
    assert other.weight.grad is None


def test_shared_statistics_are_wrong_for_every_sub_net_and_private_ones_are_right():
    """The collapse: two sub-nets whose activations differ average their statistics; on the training photos
    themselves the answers in eval mode are then far from those in training mode."""
    off = {}
    for norms in ("private", "shared"):
        net = sub_nets((0.9, 0.05), norms=norms)
        torch.manual_seed(1)
        x = torch.randn(64, 3, 16, 16)
        for _ in range(200):
            for number in (0, 1):
                net.use(number)
                net.train()(x)
        net.use(1)
        with torch.no_grad():
            batch, running = net.train()(x), net.eval()(x)
        off[norms] = float((batch - running).abs().max() / batch.abs().max())
    assert off["private"] < 0.05
    assert off["shared"] > 4 * off["private"]


def test_a_copy_switches_by_itself():
    net = sub_nets((0.6, 0.3))
    twin = copy.deepcopy(net)
    twin.use(1)
    assert (net.active, twin.active) == ("40%", "70%")
    x = torch.randn(1, 3, 16, 16)
    assert not torch.equal(net.eval()(x), twin.eval()(x))


def test_the_state_dict_holds_masks_and_loads():
    net, other = sub_nets((0.6, 0.3)), sub_nets((0.5, 0.2))
    other.load_state_dict(net.state_dict())
    assert other.densities() == dict(zip(("50%", "80%"), net.densities().values(), strict=True))
    assert net.changing().keys() == net.state_dict().keys()


def test_the_first_convolution_is_dense_and_the_head_where_asked_for():
    found = places_in(Small(), "head", 16)
    assert list(found.layers) == ["second", "third", "head"]
    assert list(places_in(Small(), "head", 16, dense_head=True).layers) == ["second", "third"]
    assert found.positions == {"first": 64, "second": 64, "third": 16, "head": 1}
    assert list(found.norms) == ["bn1", "bn2", "bn3"]


def test_multiply_adds_by_hand():
    net = SubNets(load(Small(), image_size=16), [Unstructured(1.0)])
    whole = 8 * 27 * 64 + 8 * 72 * 64 + 16 * 72 * 16 + 32
    assert net.macs(0) == net.dense_macs() == whole
    masks = {name: torch.zeros_like(mask) for name, mask in net.masks(0).items()}
    masks["third"][0, 0, 0, 0] = True
    net.put(0, masks)
    assert net.macs(0) == 8 * 27 * 64 + 16
    assert net.dense_macs() == whole


def test_depthwise_convolutions_and_odd_layers_stay_dense_with_a_note():
    class Odd(nn.Conv2d):
        pass

    module = Small()
    module.second, module.third = nn.Conv2d(8, 8, 3, 1, 1, groups=8), Odd(8, 16, 3, 2, 1)
    found = places_in(module, "head", 16)
    assert list(found.layers) == ["head"]
    assert found.notes == (
        "Dense in every sub-net: 1 depthwise or grouped convolutions (second).",
        "Dense in every sub-net: 1 layers of a kind of their own, Odd (third).",
    )
    with pytest.raises(UsageError, match="nothing to make sparse in Small"):
        places_in(module, "head", 16, dense_head=True)


def test_a_density_that_would_kill_a_layer_is_refused_by_name_and_nothing_is_changed():
    module = Small()
    with pytest.raises(UsageError, match=r"0.01 leaves less than one weight of head \(32\)"):
        SubNets(load(module, image_size=16), [Unstructured(0.5), Unstructured(0.01)])
    assert type(module.second) is nn.Conv2d


@pytest.mark.parametrize(("name", "hint"), [("95", "40%"), ("70", "Did you mean '70%'"), ("small", "Known: 40%, 70%")])
def test_a_sub_net_that_there_is_not_is_answered_with_the_nearest(name, hint):
    with pytest.raises(UsageError, match=f"There is no sub-net '{name}'.*{hint}"):
        sub_nets((0.6, 0.3)).use(name)


def test_on_networks_of_other_families():
    for family, size in (("mobilenet_v2", 64), ("resnet18", 64), ("pocket", 32)):
        backbone = load(family, weights="none", image_size=size)
        plain = copy.deepcopy(backbone.module).eval()
        x = torch.randn(2, 3, size, size)
        net = SubNets(backbone, [Unstructured(1.0), Unstructured(0.2)]).eval()
        torch.testing.assert_close(net(x), plain(x))  # all have all weights at first
        net.put(1, Unstructured(0.2).pruned(net.weights(), 1.0))
        net.use("80%")
        assert (net(x) - plain(x)).abs().max() > 1e-3 * plain(x).abs().max()
        assert net.densities()["80%"] == round(0.2 * net.total()) / net.total()


def test_other_threads_may_read_names_while_one_switches():
    net, seen = sub_nets((0.6, 0.3)), []
    reader = threading.Thread(target=lambda: seen.extend(net.active for _ in range(1000)))
    reader.start()
    for number in range(1000):
        net.use(number % 2)
    reader.join()
    assert set(seen) <= {"40%", "70%"}
