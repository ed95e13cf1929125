"""Trainings against computations written out: turns, the joint sum, GraNet's and MEST's masks, what moves."""

import copy
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F

from edgewise.backbones import load
from edgewise.core.errors import UsageError
from edgewise.subnets import RELATIONS, TRAININGS, SubNets, SubNetSettings, trainer
from edgewise.subnets.alternating import Alternating
from edgewise.subnets.growth import SOFT, Fixed, Mutation, PruneAndRegrow
from edgewise.subnets.joint import Joint
from edgewise.subnets.masks import uniform, weights_in
from edgewise.subnets.schedule import Timing
from subnets_small import Small, passed, shapes, sub_nets


def test_alternating_takes_turns_one_pass_each():
    net = sub_nets((0.6, 0.5, 0.4))
    train, seen = Alternating(net, Fixed(), 100), []
    for _ in range(7):
        seen += train.turns()
        passed(net, train)
    assert seen == [0, 1, 2, 0, 1, 2, 0]
    assert train.steps == 7


def test_a_step_of_alternating_is_sgd_on_the_masked_network():
    """Twin: the sub-net as a plain network, torch's SGD, its weights copied back where the mask is."""
    net = sub_nets((0.6, 0.3))
    train = Alternating(net, Fixed(), 100, gc=False, decay=0.01)
    twin = copy.deepcopy(net.network)  # private norms and masks included; number 0 is in use
    optimizer = torch.optim.SGD(twin.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)
    masks = net.masks(0)
    torch.manual_seed(999)
    x, y = torch.randn(8, 3, 16, 16), torch.arange(8) % 2
    F.cross_entropy(twin(x), y).backward()
    before = {name: weight.clone() for name, weight in net.weights().items()}
    optimizer.step()
    passed(net, train)
    for name, weight in net.weights().items():
        torch.testing.assert_close(weight[masks[name]], twin.get_submodule(name).weight[masks[name]])
        assert torch.equal(weight[~masks[name]], before[name][~masks[name]])
    torch.testing.assert_close(net.network.first.weight, twin.first.weight)


def test_a_joint_step_is_the_gradient_of_the_sum_of_all_losses():
    net = sub_nets((0.6, 0.3))
    twin, seen = copy.deepcopy(net), {}
    train = Joint(net, Fixed(), 100)
    step = train.sgd.step

    def watched(rates):
        seen.update({name: p.grad.clone() for name, p in net.named_parameters()})
        step(rates)

    train.sgd.step = watched
    torch.manual_seed(999)
    x, y = torch.randn(8, 3, 16, 16), torch.arange(8) % 2
    total = torch.zeros(())
    for number in (0, 1):
        twin.use(number)
        total = total + F.cross_entropy(twin(x), y)
    total.backward()
    passed(net, train)
    assert train.steps == 1
    for name, parameter in twin.named_parameters():
        torch.testing.assert_close(seen[name], parameter.grad, msg=name)


def test_joint_regrowth_looks_at_each_sub_nets_own_gradient():
    net, seen = sub_nets((0.6, 0.3)), []

    class Watching(Fixed):
        def due(self, sub_net, own):
            return 1

        def update(self, net, sub_net, number, progress, gradients):
            seen.append({name: gradient.clone() for name, gradient in gradients.items()})

    twin = copy.deepcopy(net)
    passed(net, Joint(net, Watching(), 10))
    twin.use(1)
    twin.dense_gradients(True)
    torch.manual_seed(999)
    F.cross_entropy(twin(torch.randn(8, 3, 16, 16)), torch.arange(8) % 2).backward()
    for name, layer in twin.layers.items():
        torch.testing.assert_close(seen[1][name], layer.weight.grad)


def test_one_sub_net_alone_keeps_nothing_outside_its_mask_and_new_weights_start_at_0():
    net = sub_nets((0.3,))
    growth = PruneAndRegrow(Timing(2, 0, 5), RELATIONS["nd"], 0.5, 0.5)
    train = Alternating(net, growth, 40, gc=False, emptied=True)
    for step in range(24):
        before = {name: mask.clone() for name, mask in net.masks(0).items()}
        old = {name: weight.clone() for name, weight in net.weights().items()}
        passed(net, train)
        for name, mask in net.masks(0).items():
            weight, velocity = net.weights()[name], train.sgd.velocity[f"network.{name}.weight"]
            if step >= 2:  # since the first update
                assert not weight[~mask].any()
                assert not velocity[~mask].any()
            if step >= 4:
                assert not old[name][mask & ~before[name]].any(), "what comes back starts at 0"


@pytest.mark.parametrize("relation", ["nd", "cs"])
@pytest.mark.parametrize("start", [1.0, 0.7])
def test_every_sub_net_ends_at_its_density_exact_to_one_weight(relation, start):
    densities = (0.7, 0.45, 0.21)
    settings = SubNetSettings(densities=densities, relation=relation, start=start, every=2, offset=1)
    net = SubNets(load(Small(), image_size=16), settings.sub_nets)
    train = trainer(net, settings, 60, 0.0, 0)
    counts = []
    for _ in range(60):
        counts.append([weights_in(net.masks(n)) for n in range(3)])
        passed(net, train)
    assert counts[0] == [round(start * net.total())] * 3
    assert [weights_in(net.masks(n)) for n in range(3)] == [round(d * net.total()) for d in densities]
    for row, following in pairwise(counts):
        assert all(later <= one for one, later in zip(row, following, strict=True)), "densities only fall"


def test_after_pruning_every_layer_keeps_its_number_and_weights_go_on_being_exchanged():
    net = sub_nets((0.4, 0.3))
    growth = PruneAndRegrow(Timing(1, 0, 2), RELATIONS["nd"], 0.4, 0.2)
    train = Alternating(net, growth, 30)
    passed(net, train, steps=6)  # own steps 0, 1 and 2 of both: updates 1 and 2
    before = {name: mask.clone() for name, mask in net.masks(0).items()}
    passed(net, train, steps=10)
    after = net.masks(0)
    assert {name: int(mask.sum()) for name, mask in after.items()} == {n: int(m.sum()) for n, m in before.items()}
    assert any(not torch.equal(after[name], before[name]) for name in before)


def test_mest_is_at_its_soft_bound_between_mutations_and_at_its_density_in_the_end():
    net = sub_nets((0.25,))
    growth = Mutation(0.25, 4, seed=0)
    growth.start(net, 0)
    assert {name: int(m.sum()) for name, m in net.masks(0).items()} == uniform(shapes(net), 0.25 * SOFT[0][1])
    train, seen = Alternating(net, growth, 64, gc=False, emptied=True), {}
    for step in range(64):
        passed(net, train)
        seen[step] = net.densities()["75%"]
    assert [round(seen[step], 2) for step in (10, 40, 63)] == [0.3, 0.28, 0.25]
    assert {name: int(m.sum()) for name, m in net.masks(0).items()} == uniform(shapes(net), 0.25)


def test_every_training_makes_a_trainer_that_steps():
    several = {"ast", "joint"}
    for name, kind in TRAININGS.items():
        assert kind.several == (name in several)
        if name == "srste":  # tests/subnets/test_sr_ste.py
            continue
        densities = (0.5, 0.3) if kind.several else (1.0,) if name == "dense" else (0.3,)
        settings, net = SubNetSettings(training=name, densities=densities, every=2, offset=1), sub_nets(densities)
        train = trainer(net, settings, 24, 5e-4, 0)
        passed(net, train, steps=24)
        assert list(net.densities().values()) == pytest.approx(densities, abs=0.002)
        assert train.steps == 24


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"densities": (0.5, float("nan"))}, "nan is no share"),
        ({"densities": (-0.1,)}, "-0.1 is no share"),
        ({"densities": (0.1, 0.1 - 1e-9)}, "name each once"),
        ({"start": 0.05}, "--start 0.05 is less than the largest density, 0.1"),
        ({"exchange": 1.5}, "exchange is 1.5; it must be from 0 to 1"),
        ({"every": 0}, "every is 0"),
        ({"norms": "own"}, "norms is 'own'; choose one of private, shared"),
        ({"training": "granit"}, "Did you mean 'granet'"),
    ],
)
def test_bad_settings_are_refused(settings, said):
    with pytest.raises(UsageError) as error:
        SubNetSettings(**settings)
    assert said in str(error.value)
