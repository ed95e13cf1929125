"""Plans of a network that is quick to plan: what they say, what they leave out, and that it is what is predicted."""

import json
from typing import Any

import pytest

from edgewise.adapt import METHODS
from edgewise.core.errors import EdgewiseError, UsageError
from edgewise.core.progress import Silent
from edgewise.jobs.plan import PlanRequest, described, plan, predictions
from edgewise.jobs.step_process import predict
from edgewise.jobs.training_step import StepRequest
from edgewise.plan import Prediction, needs_at_least, ranked

ENORMOUS = 10**15
# What bn keeps of eight photos is worth cutting; of a smaller step every way to store it is the same.
REQUEST = PlanRequest("pocket", methods=("bn",), classes=4, batch_size=8)


class Heard(Silent):
    def __init__(self) -> None:
        self.said: list[object] = []

    def stage(self, text: str) -> None:
        self.said.append(text)

    def progress(self, done: int, total: int) -> None:
        self.said.append((done, total))


@pytest.fixture(scope="module")
def everything() -> list[Prediction]:
    return predictions(REQUEST, ENORMOUS)


def test_with_an_enormous_budget_nothing_is_left_out(everything: list[Prediction]) -> None:
    assert len({p.option for p in everything}) == len(everything) == 2 * 2 * 4
    assert len(ranked(everything, ENORMOUS)) == len(everything)


def test_predictions_are_those_of_profile(everything: list[Prediction]) -> None:
    """``--lean small`` is one image at a time, computing again: the same step, asked in another way."""
    of_profile = {
        (p.option.method, p.option.lean.frozen_bits): described(p)
        for p in everything
        if p.option.lean.chunk == 1 and p.option.lean.recompute
    }
    assert len(of_profile) == 2
    for (method, bits), row in of_profile.items():
        asked = StepRequest("pocket", method=method, classes=4, batch_size=8, lean="small", frozen_bits=bits)
        found = predict(asked)
        same = ("predicted_mb", "macs_forward", "macs_backward", "macs_again", "trainable_params")
        assert {key: row[key] for key in same} == {key: found[key] for key in same}, (method, bits)
        kinds = found["fullest"]["kinds"]
        assert kinds[row["binds"]] == max(kinds.values())


@pytest.mark.slow
@pytest.mark.parametrize("method", sorted(METHODS))
def test_predictions_of_every_method_are_those_of_profile(method: str) -> None:
    for p in predictions(PlanRequest("pocket", methods=(method,), batch_size=2), ENORMOUS):
        if p.option.lean.chunk == 1 and p.option.lean.recompute:
            bits = p.option.lean.frozen_bits
            found = predict(StepRequest("pocket", method=method, batch_size=2, frozen_bits=bits))
            assert described(p)["predicted_mb"] == found["predicted_mb"], bits


def assert_plain(found: dict[str, Any]) -> None:
    """As docs/interfaces.md has it."""
    assert json.loads(json.dumps(found)) == found
    assert set(found) == {"budget_mb", "considered", "choices", "smallest_mb", "smallest"}
    for choice in (*found["choices"], found["smallest"]):
        assert set(choice) == {
            "grade", "method", "lean", "predicted_mb", "step_ms_estimate", "macs_forward", "macs_backward",
            "macs_again", "trainable_params", "binds",
        }  # fmt: skip
        assert set(choice["lean"]) == {"chunk", "frozen_bits", "recompute"}
        assert choice["binds"] in {"weights", "kept", "transient", "optimizer", "input"}


def test_a_plan_leaves_out_nothing_that_fits(everything: list[Prediction]) -> None:
    heard = Heard()
    budget = sorted(p.peak for p in everything)[len(everything) // 2]
    found = plan(REQUEST, budget, heard)
    assert found["choices"] == [described(p) for p in ranked(everything, budget)]
    assert found["budget_mb"] == round(budget / 1e6, 2)
    assert 0 < len(found["choices"]) <= found["considered"] < len(everything), "something was left out"
    assert heard.said == ["Predicting what every method takes", *((n, 16) for n in range(1, 17))]
    assert_plain(found)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "width", "size"),
    [("mobilenet_v2", 0.35, 224), ("mobilenet_v3_small", None, 128), ("resnet18", None, 64)],
)
def test_plans_of_larger_networks_leave_out_nothing_that_fits(backbone: str, width: float | None, size: int) -> None:
    request = PlanRequest(backbone, width, ("bn", "repnet"), image_size=size)
    whole = predictions(request, ENORMOUS)
    assert len(whole) == 2 * 16
    peaks = sorted(p.peak for p in whole)
    for place in (1, 12, 20):
        budget = peaks[place]
        assert plan(request, budget)["choices"] == [described(p) for p in ranked(whole, budget)], budget


def test_more_images_at_once_never_take_less(everything: list[Prediction]) -> None:
    """What leaving out relies on."""
    peaks = {p.option: p.peak for p in everything}
    compared = [(peaks[smaller], peaks[option]) for option in peaks if (smaller := needs_at_least(option, 8)) in peaks]
    assert len(compared) == 12
    assert sum(smaller < larger for smaller, larger in compared) > 3, "cutting did something"
    assert all(smaller <= larger for smaller, larger in compared)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"methods": ("last", "repnt")}, "There is no method 'repnt'. Did you mean 'repnet'?"),
        ({"classes": 1}, "plan: classes is 1; it must be from 2 to 100000."),
        ({"batch_size": 0, "image_size": 4}, "plan: image_size is 4; it must be from 8 to 4096; batch_size is 0; it"),
    ],
)
def test_bad_requests(changes: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        PlanRequest(**changes)  # type: ignore[arg-type]
    assert str(caught.value).startswith(said)


def test_what_only_the_other_process_knows() -> None:
    with pytest.raises(EdgewiseError) as caught:
        predictions(PlanRequest("pockt"), ENORMOUS)
    assert type(caught.value) is UsageError
    assert str(caught.value).startswith("There is no backbone 'pockt'. Did you mean 'pocket'?")


def test_unasked_methods_are_those_that_fit_the_network_and_are_more_than_a_comparison() -> None:
    """With nearly no budget only the smallest of every method is predicted: two widths of a weight, twice."""
    found = predictions(PlanRequest("mobilenet_v1", 0.25, classes=4, image_size=32), budget=1)
    methods = {p.option.method for p in found}
    assert {"repnet", "bias", "last"} <= methods
    assert not methods & {name for name, kind in METHODS.items() if kind.grade == "for comparison"}
    assert "mobiletl" not in methods, "it needs residual blocks"
    with pytest.raises(UsageError, match="Methods that fit: blocks"):
        predictions(PlanRequest("mobilenet_v1", 0.25, ("mobiletl",), classes=4, image_size=32), budget=1)
