"""Trainers: estimates against the true gradient, what they cost, and that a broken step moves nothing."""

import math

import pytest
import torch
from torch import Tensor, nn

from edgewise.core.errors import UsageError
from edgewise.reprogram.trainers import TRAINERS, trainer_class
from edgewise.reprogram.trainers.base import Losses, Stepper, Trainer
from edgewise.reprogram.trainers.estimators import sphere_gradient, spsa_gradient


def drawn(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_both_estimates_are_right_in_the_mean() -> None:
    """For a linear loss, whose gradient is the slope everywhere: the mean of many estimates comes to it."""
    slope, at = torch.tensor([1.0, -2.0, 0.5, 3.0]), torch.tensor([0.3, 0.1, -0.2, 0.9])

    def loss(w: Tensor) -> float:
        return float(slope @ w)

    for estimate in (sphere_gradient, spsa_gradient):
        mean = torch.stack([estimate(loss, at, 4, 0.1, drawn(seed)) for seed in range(2000)]).mean(0)
        assert float((mean - slope).norm() / slope.norm()) < 0.05


@pytest.mark.parametrize(("numbers", "directions"), [(100, 25), (1000, 25)])
def test_how_far_an_estimate_is_off(numbers: int, directions: int) -> None:
    """cosine ~ sqrt(q / (d + q)), length ~ sqrt((d + q) / q): why a black box wants a small program."""
    slope = torch.randn(numbers, generator=drawn(1))
    found = [
        sphere_gradient(lambda w: float(slope @ w), torch.zeros(numbers), directions, 0.1, drawn(s)) for s in range(60)
    ]
    cosines = torch.stack([f @ slope / f.norm() / slope.norm() for f in found])
    lengths = torch.stack([f.norm() / slope.norm() for f in found])
    expected = math.sqrt(directions / (numbers + directions))
    assert float(cosines.mean()) == pytest.approx(expected, rel=0.1)
    assert float(lengths.mean()) == pytest.approx(1 / expected, rel=0.15)


TARGET = torch.tensor([[0.5, -1.0], [2.0, 0.25]])


class Bowl:
    """A loss with its least at `TARGET`, that counts how often it is asked."""

    def __init__(self) -> None:
        self.asked, self.weight = 0, nn.Parameter(torch.zeros(2, 2))

    def __call__(self) -> Losses:
        self.asked += 1
        return Losses((self.weight - TARGET).square().sum().expand(3))


def stepper(trainer: Trainer, bowl: Bowl) -> Stepper:
    return trainer.build([("weight", bowl.weight)])


@pytest.mark.parametrize("name", sorted(TRAINERS))
def test_contract(name: str) -> None:
    """It finds the least, asks as often as it says, answers with the loss before, and repeats itself to the bit."""
    ends = []
    for _ in range(2):
        trainer, bowl = trainer_class(name)(), Bowl()
        steps = stepper(trainer, bowl)
        first = steps.step(bowl, 0.0, 7)
        assert first == pytest.approx(float(TARGET.square().sum()), rel=0.1)
        assert bowl.asked == trainer.evaluations()
        began = steps.rate(0.0)
        place = bowl.weight.data_ptr()
        for number in range(299):
            steps.step(bowl, number / 300, number)
        assert float((bowl.weight.detach() - TARGET).abs().max()) < 0.1
        assert bowl.weight.data_ptr() == place, "a checkpoint holds on to the parameter's memory"
        assert 0 < steps.rate(0.9) < began, "the table shows the rate in use, which falls"
        ends.append(bowl.weight.detach().clone())
        assert all(torch.is_tensor(value) for value in steps.tensors().values())
    assert torch.equal(*ends)
    assert set(TRAINERS) == {"gradient", "sphere", "spsa", "policy"}
    with pytest.raises(UsageError, match="sphere"):
        trainer_class("spere")


@pytest.mark.parametrize("name", sorted(TRAINERS))
def test_a_step_that_fails_moves_nothing(name: str) -> None:
    """Not finite, or an exception in the middle, such as a budget that is used up."""
    bowl = Bowl()
    with torch.no_grad():
        bowl.weight.fill_(0.25)
    steps = stepper(trainer_class(name)(), bowl)
    before = bowl.weight.detach().clone()
    assert not math.isfinite(steps.step(lambda: Losses(bowl().each * math.inf), 0.0, 1))
    assert torch.equal(bowl.weight.detach(), before)

    def used_up() -> Losses:
        if bowl.asked > 3:
            raise UsageError("no more")
        return bowl()

    while bowl.asked + trainer_class(name)().evaluations() <= 4:
        steps.step(used_up, 0.0, 1)
    before = bowl.weight.detach().clone()
    with pytest.raises(UsageError, match="no more"):
        steps.step(used_up, 0.0, 1)
    assert torch.equal(bowl.weight.detach(), before)


@pytest.mark.parametrize("name", sorted(TRAINERS))
def test_it_goes_on_where_it_was(name: str) -> None:
    trainer = trainer_class(name)()
    whole, halves = Bowl(), Bowl()
    through, first = stepper(trainer, whole), stepper(trainer, halves)
    for number in range(6):
        through.step(whole, number / 6, number)
    for number in range(3):
        first.step(halves, number / 6, number)
    second = stepper(trainer, halves)
    for key, value in second.tensors().items():
        value.copy_(first.tensors()[key])
    second.set_updates(3)
    for number in range(3, 6):
        second.step(halves, number / 6, number)
    assert torch.equal(whole.weight.detach(), halves.weight.detach())
