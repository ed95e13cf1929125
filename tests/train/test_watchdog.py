"""A watchdog's complaint ends a run like an interruption: with everything saved, to be resumed to the same bits."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch

from edgewise.core.errors import EdgewiseError, InterruptedRun
from edgewise.core.progress import Silent
from edgewise.train.loop import Scores, StepResult, run, unwatched


@dataclass
class Count:
    """Each step adds its number to one weight, more each time."""

    steps: int = 4
    weight: torch.Tensor = field(default_factory=lambda: torch.zeros(1, dtype=torch.double))
    seen: list[tuple[int, int]] = field(default_factory=list)
    identity: dict[str, str] = field(default_factory=lambda: {"task": "count"})
    updates: int = 0

    def batches(self, epoch: int, start: int) -> Iterator[int]:
        yield from range(start, self.steps)

    def step(self, batch: int, epoch: int, index: int, progress: float) -> StepResult:
        self.weight.mul_(1.5).add_(batch + progress)
        self.seen.append((epoch, index))
        return StepResult(1.0, 1, 2)

    def describe(self, epoch: int, index: int) -> str:
        return f"{epoch}-{index}"

    def validate(self) -> Scores | None:
        return None

    def rate(self, progress: float) -> float:
        return 1 - progress

    def model_tensors(self) -> dict[str, torch.Tensor]:
        return {"w": self.weight}

    def optimizer_tensors(self) -> dict[str, torch.Tensor]:
        return {}

    def set_updates(self, updates: int) -> None:
        self.updates = updates


class ComplainsAt:
    """Too much memory from call number ``number`` on."""

    def __init__(self, number: int) -> None:
        self.number, self.calls = number, 0

    def __call__(self) -> str | None:
        self.calls += 1
        return "The process grew to 99.00 MB over import." if self.calls >= self.number else None


def test_without_a_complaint_it_is_asked_after_every_step(tmp_path: Path) -> None:
    watchdog = ComplainsAt(99)
    run(Count(), 3, tmp_path, Silent(), resume=False, watchdog=watchdog)
    assert watchdog.calls == 12
    assert unwatched() is None


@pytest.mark.parametrize("number", [1, 3, 4, 7, 12])
def test_a_complaint_ends_the_run_which_is_resumed_to_the_same_bits(number: int, tmp_path: Path) -> None:
    whole = Count()
    run(whole, 3, tmp_path / "whole", Silent(), resume=False)
    first = Count()
    with pytest.raises(EdgewiseError) as caught:
        run(first, 3, tmp_path / "cut", Silent(), resume=False, watchdog=ComplainsAt(number))
    assert not isinstance(caught.value, InterruptedRun)
    assert str(caught.value) == "The process grew to 99.00 MB over import."
    assert len(first.seen) == number, "not one step more"
    assert json.loads((tmp_path / "cut" / "state.json").read_text())["position"]["updates"] == number
    second = Count()
    run(second, 3, tmp_path / "cut", Silent(), resume=True)
    assert first.seen + second.seen == whole.seen
    assert torch.equal(second.weight, whole.weight)


class Fails(Count):
    def step(self, batch: int, epoch: int, index: int, progress: float) -> StepResult:
        raise MemoryError("the first step")


def test_there_is_a_checkpoint_before_the_first_step(tmp_path: Path) -> None:
    """A step that is refused its memory leaves something to go on from as well."""
    with pytest.raises(MemoryError):
        run(Fails(), 2, tmp_path, Silent(), resume=False)
    assert json.loads((tmp_path / "state.json").read_text())["position"]["updates"] == 0
    resumed, whole = Count(), Count()
    run(resumed, 2, tmp_path, Silent(), resume=True)
    run(whole, 2, tmp_path / "whole", Silent(), resume=False)
    assert torch.equal(resumed.weight, whole.weight)
