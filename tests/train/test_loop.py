"""The loop alone, on a task small enough to follow by hand."""

import math
import os
import signal
from dataclasses import dataclass, field

import pytest
import torch

from edgewise.core.errors import EdgewiseError, InterruptedRun
from edgewise.core.progress import Silent
from edgewise.train import loop
from edgewise.train.loop import Scores, StepResult, run


@dataclass
class Walk:
    """Adds a position-dependent number to one weight; 'validates' with a scripted score."""

    steps: int = 4
    validations: tuple[float, ...] | None = None
    interrupt_at: tuple[int, int] | None = None
    nan_at: tuple[int, int] | None = None
    identity: dict = field(default_factory=lambda: {"task": "walk"})
    weight: torch.Tensor = field(default_factory=lambda: torch.zeros(1, dtype=torch.double))
    momentum: torch.Tensor = field(default_factory=lambda: torch.zeros(1, dtype=torch.double))
    seen: list = field(default_factory=list)
    updates: int = 0
    validated: int = 0

    def batches(self, epoch, start):
        yield from (epoch * 10.0 + i for i in range(start, self.steps))

    def step(self, batch, epoch, index, progress):
        if self.nan_at == (epoch, index):
            return StepResult(math.nan, 0, 1)
        self.momentum.mul_(0.9).add_(batch)
        self.weight.add_(self.momentum * progress)
        self.seen.append((epoch, index))
        self.updates += 1
        if self.interrupt_at == (epoch, index):
            os.kill(os.getpid(), signal.SIGINT)
        return StepResult(float(batch), 1, 2)

    def describe(self, epoch, index):
        return f"photo-{epoch}-{index}.jpg"

    def validate(self):
        if self.validations is None:
            return None
        self.validated += 1
        return Scores(1.0, self.validations[self.updates // self.steps - 1])

    def rate(self, progress):
        return 1 - progress

    def model_tensors(self):
        return {"w": self.weight}

    def optimizer_tensors(self):
        return {"m": self.momentum}

    def set_updates(self, updates):
        self.updates = updates


@pytest.mark.parametrize("at", [(0, 0), (0, 3), (1, 1), (2, 2), (2, 3)])
def test_interrupted_anywhere_and_resumed_ends_with_the_same_bits(tmp_path, at):
    whole = Walk(validations=(0.5, 0.4, 0.6))
    end = run(whole, 3, tmp_path / "whole", Silent(), resume=False)
    first = Walk(validations=(0.5, 0.4, 0.6), interrupt_at=at)
    with pytest.raises(InterruptedRun, match="everything is saved"):
        run(first, 3, tmp_path / "cut", Silent(), resume=False)
    second = Walk(validations=(0.5, 0.4, 0.6))
    resumed = run(second, 3, tmp_path / "cut", Silent(), resume=True)
    assert first.seen + second.seen == whole.seen
    assert torch.equal(second.weight, whole.weight)
    assert second.updates == whole.updates
    strip = [{k: v for k, v in row.items() if k != "seconds"} for row in resumed.history]
    assert strip == [{k: v for k, v in row.items() if k != "seconds"} for row in end.history]


def test_ends_with_the_tensors_of_the_best_epoch(tmp_path):
    only_two = Walk(validations=(0.5, 0.9))
    run(only_two, 2, tmp_path / "two", Silent(), resume=False)
    task = Walk(validations=(0.5, 0.9, 0.9))
    place = run(task, 3, tmp_path / "three", Silent(), resume=False)
    assert place.best_epoch == 2, "a later epoch that is only as good does not replace it"
    # Progress, and with it the walk, depends on the number of epochs: repeat the first two of three.
    again = Walk(validations=(0.5, 0.9, 0.1))
    run(again, 3, tmp_path / "again", Silent(), resume=False)
    assert torch.equal(task.weight, again.weight)
    assert not torch.equal(task.weight, only_two.weight)


def test_without_validation_the_last_epoch_is_kept(tmp_path):
    place = run(Walk(), 3, tmp_path, Silent(), resume=False)
    assert place.best_epoch == 3
    assert place.history[0]["val_accuracy"] is None


def test_a_loss_that_is_not_finite_stops_and_names_the_batch(tmp_path):
    task = Walk(nan_at=(1, 2))
    with pytest.raises(EdgewiseError, match=r"became nan in epoch 2, batch 3 \(photo-1-2.jpg\).*lower --lr"):
        run(task, 3, tmp_path, Silent(), resume=False)
    kept = Walk()
    run_to = run(kept, 3, tmp_path, Silent(), resume=True)
    assert kept.seen[0] == (1, 0), "the checkpoint of the first epoch survived"
    assert run_to.epoch == 3


def test_a_checkpoint_of_other_photos_is_not_resumed(tmp_path):
    run(Walk(identity={"photos": "a"}), 1, tmp_path, Silent(), resume=False)
    with pytest.raises(EdgewiseError, match="cannot be resumed: its photos changed"):
        run(Walk(identity={"photos": "b"}), 2, tmp_path, Silent(), resume=True)


def test_saves_inside_an_epoch_when_time_has_passed(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_CHECKPOINTS", -1.0)
    with pytest.raises(EdgewiseError, match="became nan"):
        run(Walk(nan_at=(0, 3)), 1, tmp_path, Silent(), resume=False)
    resumed = Walk()
    run(resumed, 1, tmp_path, Silent(), resume=True)
    assert resumed.seen == [(0, 3)]


def test_signal_handlers_are_put_back(tmp_path):
    before = signal.getsignal(signal.SIGINT)
    run(Walk(), 1, tmp_path, Silent(), resume=False)
    assert signal.getsignal(signal.SIGINT) is before


def test_what_is_measured_after_an_epoch_joins_its_row(tmp_path):
    walk = Walk()
    place = run(walk, 2, tmp_path, Silent(), False, measures=lambda: {"weight": float(walk.weight)})
    assert [row["weight"] for row in place.history] != [0.0, 0.0]
    assert place.history[-1]["weight"] == float(walk.weight)


def test_the_last_epoch_is_kept_where_it_is_asked_for(tmp_path):
    scores = (0.9, 0.5, 0.4)
    best, last = Walk(validations=scores), Walk(validations=scores)
    assert run(best, 3, tmp_path / "best", Silent(), False).best_epoch == 1
    assert run(last, 3, tmp_path / "last", Silent(), False, last=True).best_epoch == 3
    assert not torch.equal(best.weight, last.weight)
    assert torch.equal(last.weight, _walked(3))


def _walked(epochs):
    walk = Walk()
    for epoch in range(epochs):
        for index, batch in enumerate(walk.batches(epoch, 0)):
            walk.step(batch, epoch, index, (epoch * walk.steps + index) / (epochs * walk.steps))
    return walk.weight
