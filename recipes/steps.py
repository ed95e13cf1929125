"""What a training step takes, for the recipes: predicted together, measured one by one in turns, and remembered.

    python -m steps predict

is the process that predicts, with this folder in PYTHONPATH: it counts the operations of MobileTL's profiler besides.
"""

import dataclasses
import hashlib
import json
import os
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from grid import Job

from edgewise.core.files import write_json
from edgewise.cost.mobiletl_profile import profile
from edgewise.jobs.child import Report, answer, ask
from edgewise.jobs.step_process import in_process, predict
from edgewise.jobs.training_step import StepRequest, TrainingStep

CLASSES = 10
PREDICTED = (
    "trainable_params", "total_params", "published_mb", "published_kept_mb", "predicted_mb",
    "macs_forward", "macs_backward", "macs_again", "flops_forward", "flops_backward", "stored_mb", "uncovered",
)  # fmt: skip
STOCK = ("measured_peak_mb", "kept_mb", "step_ms")
MEASURED = ("measured_peak_mb", "measured_rss_mb", "kept_mb", "threads")


def step_of(job: Job, shared: Path) -> StepRequest:
    """The training step of a job's runs, on one thread and with ten classes, whatever its set has."""
    return StepRequest(
        job.family,
        job.width,
        job.method,
        {name: value for name, value in job.settings.items() if not name.endswith("lr")},  # rates cost nothing
        classes=CLASSES,
        image_size=job.image_size,
        frozen_bits=job.frozen_bits,
        threads=1,
        weights=str(job.weights_in(shared)),
    )


def steps_of(jobs: Sequence[Job], shared: Path, state: Path, rounds: int) -> list[dict[str, Any]]:
    """What each job's training step takes, as `measured` says it; with ``stock_``, what stock PyTorch takes for it."""
    steps = [step_of(job, shared) for job in jobs]
    stock = [dataclasses.replace(step, lean="off", frozen_bits=32) for step in steps]
    found = measured([*steps, *stock], state, rounds)
    return [
        {**own, **{f"stock_{key}": other[key] for key in STOCK}}
        for own, other in zip(found[: len(steps)], found[len(steps) :], strict=True)
    ]


def measured(requests: Sequence[StepRequest], state: Path, rounds: int) -> list[dict[str, Any]]:
    """What each step takes, by `PREDICTED`, `MEASURED`, ``step_ms`` and ``step_ms_rounds``.

    Rounds, in which the steps take turns, are kept in ``state``; a time is the median over them.  Nothing else
    should be running.
    """
    known = {_place(state, request): request for request in requests}
    found = {place: _read(place, request) for place, request in known.items()}
    if new := [place for place, one in found.items() if one["predicted"] is None]:
        asked = {"steps": [dataclasses.asdict(known[place]) for place in new]}
        here = os.pathsep.join(filter(None, (str(Path(__file__).parent), os.environ.get("PYTHONPATH"))))
        rows = ask("steps", "predict", asked, {"PYTHONPATH": here, "OMP_NUM_THREADS": "1"})["rows"]
        for place, row in zip(new, rows, strict=True):
            found[place]["predicted"] = row
            write_json(place, found[place])
    for number in range(rounds):
        for place, one in found.items():
            if len(one["rounds"]) <= number:
                one["rounds"].append(in_process("measure", known[place]))
                write_json(place, one)
                print(f"step {number + 1}/{rounds}: {_named(known[place])}", flush=True)
    return [_row(found[_place(state, request)]) for request in requests]


def _row(found: dict[str, Any]) -> dict[str, Any]:
    rounds = found["rounds"]
    times = [one["step_ms"] for one in rounds]
    measured = {key: rounds[0][key] for key in MEASURED} if rounds else {}
    median = round(statistics.median(times), 1) if times else None
    predicted = found["predicted"]
    flops = predicted["flops_forward"] + predicted["flops_backward"]
    return {**predicted, "flops": flops, **measured, "step_ms": median, "step_ms_rounds": times}


def _read(place: Path, request: StepRequest) -> dict[str, Any]:
    fresh = {"request": dataclasses.asdict(request), "predicted": None, "rounds": []}
    return json.loads(place.read_text()) if place.exists() else fresh


def _place(state: Path, request: StepRequest) -> Path:
    values = {**dataclasses.asdict(request), "weights": Path(request.weights or "none").name}
    digest = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]
    return state / "steps" / f"{request.backbone}-{request.method}-{digest}.json"


def _named(request: StepRequest) -> str:
    settings = "".join(f" {name}={value}" for name, value in request.method_settings.items())
    return f"{request.backbone} {request.method}{settings} lean={request.lean} threads={request.threads}"


def _predict(asked: dict[str, Any], report: Report) -> dict[str, Any]:
    rows = []
    for number, settings in enumerate(asked["steps"], 1):
        request = StepRequest(**settings)
        plain = TrainingStep(dataclasses.replace(request, lean="off", frozen_bits=32))
        counted = profile(plain.model, plain.shape)
        flops = {
            "flops_forward": counted.forward_flops,
            "flops_backward": counted.backward_flops,
            "stored_mb": round(counted.stored_bytes / 1e6, 3),
        }
        found = {**predict(request), **flops}
        rows.append({key: found[key] for key in PREDICTED})
        report(number, len(asked["steps"]))
    return {"rows": rows}


if __name__ == "__main__":
    answer({"predict": _predict})
