"""The eleven traps of the authors' released code, each with what it would do here and a test that it does not."""

import copy

import pytest
import torch
import torch.nn.functional as F

from edgewise.backbones import load
from edgewise.subnets import RELATIONS, SubNets, Unstructured
from edgewise.subnets.alternating import Alternating
from edgewise.subnets.correction import cosine
from edgewise.subnets.growth import Fixed, PruneAndRegrow
from edgewise.subnets.masks import is_nested, non_overlap, weights_in
from edgewise.subnets.schedule import Timing
from subnets_small import Small, passed, sub_nets

RATES = {"main": 0.1}


def opposed(net, trainer, steps):
    """Batches of one image each that every sub-net is told another class of than the sub-net before."""
    torch.manual_seed(0)
    x = torch.randn(4, 3, 16, 16)
    for step in range(steps):
        (turn,) = trainer.turns()
        net.use(turn)
        with trainer.during_backward(RATES):
            F.cross_entropy(net(x), torch.full((4,), step % 2)).backward()


def test_1_the_gradient_is_corrected_against_the_sub_net_before_not_against_itself():
    """Theirs overwrote the previous gradient with the present one before it compared: no conflict was ever found."""
    net = sub_nets((0.6, 0.5, 0.4))
    trainer = Alternating(net, Fixed(), 100, gc=True)
    seen = []
    step = trainer.sgd.step

    def watched(rates):
        seen.append({name: layer.weight.grad.clone() for name, layer in net.layers.items()})
        step(rates)

    trainer.sgd.step = watched
    raw = []
    for number in range(9):
        opposed(net, trainer, 1) if number % 2 else passed(net, trainer)
        raw.append({name: tensor.clone() for name, tensor in trainer.previous.items()})
    found = trainer.measures()
    assert sum(pair["negative_before"] for pair in found["products"].values()) > 0
    assert sum(pair["negative_after"] for pair in found["products"].values()) == 0
    corrected = 0
    for number in range(1, 9):
        for name, gradient in seen[number].items():
            changed = not torch.equal(gradient, raw[number][name])
            if number % 3 == 0:
                assert not changed, "the first of a group has nothing to agree with"
            else:
                corrected += changed
                assert cosine(gradient, raw[number - 1][name], net.masks(number % 3)[name]) >= -1e-6
    assert corrected > 0


def test_2_regrowth_sees_weights_that_the_sub_net_does_not_have():
    """Theirs had a gradient of 0 there: candidates were only the weights that had just gone."""
    net = sub_nets((0.2,))
    growth = PruneAndRegrow(Timing(1, 0, 1), RELATIONS["nd"], 0.5, 0.5)
    growth.start(net, 0)
    net.put(0, net.patterns[0].pruned(net.weights(), 1.0))
    before = {name: mask.clone() for name, mask in net.masks(0).items()}
    seen = {}

    class Watching:
        def due(self, sub_net, own):
            return 2

        def update(self, net, sub_net, number, progress, gradients):
            seen.update({name: gradient.clone() for name, gradient in gradients.items()})
            growth.update(net, sub_net, number, progress, gradients)

    passed(net, Alternating(net, Watching(), 10))
    for name, mask in before.items():
        assert seen[name][~mask].count_nonzero() > 0, "the dense gradient reaches dormant weights"
    regrown = {name: net.masks(0)[name] & ~mask for name, mask in before.items()}
    assert weights_in(regrown) > 0
    # they are those whose gradient is largest among all that did not survive
    name = "third"
    stayed = net.masks(0)[name] & before[name]
    left_out = ~(net.masks(0)[name] | stayed)
    assert seen[name].abs()[regrown[name]].min() >= seen[name].abs()[left_out].max()


@pytest.mark.parametrize("only_active", [True, False])
def test_3_weights_that_the_sub_net_does_not_have_do_not_move_unless_asked_for(only_active):
    """Theirs masked gradients only: weight decay and momentum moved all weights in every step."""
    net = sub_nets((0.6, 0.3))
    trainer = Alternating(net, Fixed(), 100, only_active=only_active, decay=0.1)
    moved = 0.0
    for _ in range(6):
        (turn,) = trainer.turns()
        before = {name: weight.clone() for name, weight in net.weights().items()}
        velocity = {name: tensor.clone() for name, tensor in trainer.sgd.velocity.items()}
        passed(net, trainer)
        for name, mask in net.masks(turn).items():
            assert (net.weights()[name] != before[name])[mask].float().mean() > 0.9
            moved += float((net.weights()[name] - before[name])[~mask].abs().sum())
            if only_active:
                after = trainer.sgd.velocity[f"network.{name}.weight"]
                assert torch.equal(after[~mask], velocity[f"network.{name}.weight"][~mask])
    assert (moved == 0) == only_active


def test_4_dormant_weights_keep_their_values_and_come_back_by_magnitude():
    """As theirs does, on purpose: other sub-nets own them."""
    net = sub_nets((0.6, 0.3))
    with torch.no_grad():
        net.layers["second"].weight[0, 0] = 9.0
    masks = {name: mask.clone() for name, mask in net.masks(1).items()}
    masks["second"][0, 0] = False
    net.put(1, masks)
    passed(net, Alternating(net, Fixed(), 10), steps=2)
    assert net.weights()["second"][0, 0].abs().min() > 1
    assert net.patterns[1].pruned(net.weights(), 1.0)["second"][0, 0].all()


@pytest.mark.parametrize("relation", ["nd", "cs"])
def test_5_all_sub_nets_start_at_the_start_density(relation):
    """Theirs gave only the first sub-net its ERK mask, and the others were dense."""
    patterns = [Unstructured(density, 0.6) for density in (0.6, 0.4, 0.2)]
    net = SubNets(load(Small(), image_size=16), patterns)
    RELATIONS[relation].start(net, 0)
    counts = {weights_in(net.masks(name)) for name in net.names}
    assert counts == {round(0.6 * net.total())}
    apart = non_overlap(net.masks(0)["third"], net.masks(1)["third"])
    assert (apart > 0.2) == (relation == "nd")


def test_6_the_gradient_for_regrowth_is_the_present_sub_nets_own():
    """Theirs was an alias of the previous iteration's buffer, another sub-net's."""
    net = sub_nets((0.6, 0.5))
    seen = []

    class Watching(Fixed):
        def due(self, sub_net, own):
            return 1

        def update(self, net, sub_net, number, progress, gradients):
            seen.append({name: gradient.clone() for name, gradient in gradients.items()})

    trainer = Alternating(net, Watching(), 10)
    passed(net, trainer)
    twin = copy.deepcopy(net)  # as it is before the second step
    passed(net, trainer)
    twin.use(1)
    twin.dense_gradients(True)
    passed(twin, None)
    for name, layer in twin.layers.items():
        torch.testing.assert_close(seen[1][name], layer.weight.grad)
        assert not torch.allclose(seen[0][name], seen[1][name])


def test_7_a_regrown_mask_is_still_there_after_a_switch():
    """Theirs assigned it to an attribute that the next switch of sub-nets overwrote."""
    net = sub_nets((0.6, 0.3))
    growth = PruneAndRegrow(Timing(1, 0, 5), RELATIONS["nd"], 0.5, 0.5)
    trainer = Alternating(net, growth, 20)
    passed(net, trainer, steps=4)  # both were updated
    before = {name: mask.clone() for name, mask in net.masks(0).items()}
    net.use(1)
    net.use(0)
    assert all(torch.equal(mask, before[name]) for name, mask in net.masks(0).items())
    used = {}
    for name, layer in net.layers.items():
        used[name] = net.plain(0).get_submodule(name).weight != 0
        assert torch.equal(used[name] | (layer.weight == 0), before[name] | (layer.weight == 0))


def test_8_nested_sub_nets_stay_nested_whichever_of_them_is_updated():
    """Their pruners for it crash, so the scheme is the text's."""
    net = sub_nets((0.5, 0.4, 0.2))
    growth = PruneAndRegrow(Timing(2, 1, 6), RELATIONS["cs"], 0.5, 0.1)
    growth.start(net, 0)
    trainer = Alternating(net, growth, 60)
    for _ in range(60):
        passed(net, trainer)
        assert is_nested(net.masks(1), net.masks(0))
        assert is_nested(net.masks(2), net.masks(1))
    assert [weights_in(net.masks(n)) for n in range(3)] == [round(d * net.total()) for d in (0.5, 0.4, 0.2)]


def test_9_the_last_epoch_is_kept_for_all_sub_nets_and_seeds_differ(photos_run):
    """Theirs kept the best epoch on test photos of the sparsest sub-net alone, and all three runs had seed 0."""
    record = photos_run(seed=0)
    assert record["metrics"]["best_epoch"] == record["config"]["epochs"]
    assert record["subnets"]["val_accuracy"] == record["history"][-1]["sub_nets"]
    assert list(record["subnets"]["accuracy"]) == record["subnets"]["names"]
    other = photos_run(seed=1)
    assert [row["train_loss"] for row in other["history"]] != [row["train_loss"] for row in record["history"]]


def test_10_there_may_be_more_than_two_sub_nets():
    """Theirs knew mask0 and mask1 by name on several devices."""
    net = sub_nets((0.6, 0.5, 0.4, 0.3, 0.2))
    growth = PruneAndRegrow(Timing(1, 0, 4), RELATIONS["nd"], 0.5, 0.1)
    trainer = Alternating(net, growth, 50)
    passed(net, trainer, steps=30)
    assert [weights_in(net.masks(n)) for n in range(5)] == [round(d * net.total()) for d in (0.6, 0.5, 0.4, 0.3, 0.2)]
    assert len(trainer.measures()["products"]) == 4


def test_11_no_speed_is_claimed_for_masks(photos_run):
    """Masks only simulate sparsity (google-research/rigl, issue 3), and the record says so."""
    record = photos_run(seed=0)
    assert record["subnets"]["engine"].startswith("masked dense")
    assert record["subnets"]["training_macs"]["without_zeros"] < record["subnets"]["training_macs"]["all"]
