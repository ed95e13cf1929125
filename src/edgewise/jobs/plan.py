"""``edgewise plan``: every method and every way to store it that a budget of memory allows, the best first.

    python -m edgewise.jobs.plan predict

is the process that predicts: torch's shape arithmetic brings in libraries that a run under a budget
must not hold.
"""

import dataclasses
import gc
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from edgewise.adapt import METHODS, method_class
from edgewise.core.errors import UsageError
from edgewise.core.progress import Listener, Silent
from edgewise.core.settings import check, setting
from edgewise.cost.dry import on_meta
from edgewise.jobs.child import Report, answer, ask
from edgewise.jobs.training_step import StepRequest, TrainingStep, dry_run
from edgewise.lean import Lean, Work, arrangement, make_lean
from edgewise.native.allocator import forget_code, give_memory_back
from edgewise.plan import BESIDES as BESIDES
from edgewise.plan import Option, Prediction, needs_at_least, options, ranked, rounded_up, smallest
from edgewise.plan import parse_budget as parse_budget


@dataclass(frozen=True)
class PlanRequest:
    """What is to be trained; ``methods`` empty: all that fit the backbone and are not only for comparison."""

    backbone: str = "mobilenet_v2"
    width: float | None = None
    methods: Sequence[str] = ()
    method_settings: Mapping[str, str] = field(default_factory=dict)
    classes: int = setting(10, "classes of the head", low=2, high=100_000)
    image_size: int | None = setting(None, "side of the network's input in pixels", low=8, high=4096)
    batch_size: int = setting(8, "photos in a step", low=1, high=65_536)
    weights: str | None = "none"  # a file says the width; values do not matter
    adam_bits: int = setting(32, "bits of Adam's moments", choices=(8, 32))

    def __post_init__(self) -> None:
        check(self, "plan")
        for method in self.methods:
            method_class(method)


def plan(request: PlanRequest, budget: int, listener: Listener | None = None) -> dict[str, Any]:
    """The plan for a training step within ``budget`` bytes (see `ranked`), as plain values.

    ``choices`` are ranked; where there is none, ``smallest_mb`` says which budget would do.
    """
    found = predictions(request, budget, listener)
    least = smallest(found)
    return {
        "budget_mb": round(budget / 1e6, 2),
        "considered": len(found),
        "choices": [described(p) for p in ranked(found, budget)],
        "smallest_mb": rounded_up(least.peak) / 1e6,
        "smallest": described(least),
    }


def predictions(request: PlanRequest, budget: int, listener: Listener | None = None) -> list[Prediction]:
    """Every option, predicted in another process; those larger than one that does not fit are left out."""
    listener = listener or Silent()
    listener.stage("Predicting what every method takes")
    asked = {**dataclasses.asdict(request), "methods": list(request.methods), "budget": budget}
    rows = ask("edgewise.jobs.plan", "predict", asked, {"OMP_NUM_THREADS": "1"}, listener)["rows"]
    return [
        Prediction(
            Option(row["method"], Lean(**row["lean"])),
            request.batch_size,
            row["peak"],
            row["trainable_params"],
            Work(**row["work"]),
            row["fullest"],
        )
        for row in rows
    ]


def described(prediction: Prediction) -> dict[str, Any]:
    """A prediction for JSON and tables; multiply-adds are per photo."""
    option, work = prediction.option, prediction.work
    return {
        "grade": prediction.grade,
        "method": option.method,
        "lean": dataclasses.asdict(option.lean),
        "predicted_mb": round(prediction.peak / 1e6, 2),
        "step_ms_estimate": round(1e3 * prediction.seconds, 1),
        "macs_forward": work.forward,
        "macs_backward": work.backward,
        "macs_again": work.again,
        "trainable_params": prediction.trainable_params,
        "binds": prediction.binds,
    }


def _predict(asked: dict[str, Any], report: Report) -> dict[str, Any]:
    give_memory_back()  # a budget is for this process too
    forget_code()
    budget = asked.pop("budget")
    request = PlanRequest(**asked)
    methods = request.methods or tuple(name for name, kind in METHODS.items() if kind.grade != "for comparison")
    each = len(list(options(methods[:1], request.batch_size)))
    rows: list[dict[str, Any]] = []
    refused: UsageError | None = None
    for number, method in enumerate(methods):
        gc.collect()
        try:
            step = _step(request, method)
        except UsageError as error:
            if request.methods:
                raise
            refused = error  # nobody asked for this one, and the network cannot take it
            continue
        too_large: set[Option] = set()
        known: dict[Hashable, dict[str, Any]] = {}
        for place, option in enumerate(options((method,), request.batch_size), 1):
            report(number * each + place, len(methods) * each)
            if needs_at_least(option, request.batch_size) in too_large:
                too_large.add(option)
                continue
            rows.append(_row(step, option, known))
            if rows[-1]["peak"] > budget:
                too_large.add(option)
        del step
    if refused is not None and not rows:
        raise refused
    return {"rows": rows}


def _step(request: PlanRequest, method: str) -> TrainingStep:
    return TrainingStep(
        StepRequest(
            request.backbone,
            request.width,
            method,
            request.method_settings,
            request.classes,
            request.image_size,
            request.batch_size,
            weights=request.weights,
            adam_bits=request.adam_bits,
        )
    )


def _row(step: TrainingStep, option: Option, known: dict[Hashable, dict[str, Any]]) -> dict[str, Any]:
    """The prediction of one option; ``known`` are those so far, since many come to the same arrangement."""
    make_lean(step.model, option.lean)
    with on_meta(step.model):
        step.prepare("meta")
        same = (option.lean.frozen_bits, arrangement(step.model.train(), step.images))
        if same not in known:
            known[same] = _predicted(step)
    return {"method": option.method, "lean": dataclasses.asdict(option.lean), **known[same]}


def _predicted(step: TrainingStep) -> dict[str, Any]:
    timeline, work = dry_run(step)
    return {
        "peak": timeline.peak,
        "fullest": dict(timeline.fullest[1]),
        "trainable_params": step.model.sizes()["trainable_params"],
        "work": dataclasses.asdict(work),
    }


if __name__ == "__main__":
    answer({"predict": _predict})
