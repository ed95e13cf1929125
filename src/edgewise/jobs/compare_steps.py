"""What a training step of each method takes: predicted together, measured one by one, and remembered.

    python -m edgewise.jobs.compare_steps predict

is the process that predicts them all: torch's shape arithmetic is loaded once.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from edgewise.adapt import METHODS
from edgewise.core.errors import EdgewiseError, UsageError
from edgewise.core.files import read_json, write_json
from edgewise.core.progress import Listener
from edgewise.core.units import megabytes
from edgewise.jobs.child import Report, answer, ask
from edgewise.jobs.step_process import in_process, predict
from edgewise.jobs.training_step import StepRequest

Found = Mapping[str, Any]  # what `predict` and `measure` say, or ``refused`` and ``usage``: can the user mend it?


def predicted(steps: Sequence[StepRequest], out: Path, listener: Listener) -> dict[str, Found]:
    """By method: what the step is predicted to take, and what was measured before in the comparison ``out``."""
    found = {step.method: before for step in steps if (before := _measured_before(out, step))}
    new = [step for step in steps if step.method not in found]
    if new:
        listener.stage(f"Predicting what {'a method takes' if len(new) == 1 else f'{len(new)} methods take'}")
        asked = {"steps": [dataclasses.asdict(step) for step in new]}
        rows = ask("edgewise.jobs.compare_steps", "predict", asked, {"OMP_NUM_THREADS": "1"}, listener)["rows"]
        found.update({step.method: row for step, row in zip(new, rows, strict=True)})
    return found


def measured(step: StepRequest, known: Found, out: Path, listener: Listener) -> Found:
    """``known`` with what is measured, once for a comparison, in a process that has done nothing else."""
    if "step_ms" in known:
        return known
    listener.stage(f"{METHODS[step.method].title}: measuring a training step")
    found = {**known, **in_process("measure", step)}
    write_json(_place(out, step), {"request": dataclasses.asdict(step), "found": found})
    return found


def left_out(found: Mapping[str, Found], budget: int | None) -> dict[str, str]:
    """By method: why it is not trained.

    Raises `EdgewiseError` when that is every method; a `UsageError` where the request must change.
    """
    reasons = {method: str(one["refused"]) for method, one in found.items() if "refused" in one}
    if len(reasons) == len(found):
        kind = UsageError if all(one["usage"] for one in found.values()) else EdgewiseError
        raise kind(in_lines("No method can be used here.", reasons))
    sizes = {method: 1e6 * one["predicted_mb"] for method, one in found.items() if method not in reasons}
    for method, size in sizes.items():
        if budget is not None and size > budget:
            reasons[method] = (
                f"It does not fit: a step is predicted to take {megabytes(size)}, the budget is {megabytes(budget)}."
            )
    if len(reasons) == len(found):
        least = min(sizes, key=lambda method: sizes[method])
        raise EdgewiseError(
            f"No method fits. The smallest step is that of {least}, predicted to take {megabytes(sizes[least])}. "
            "Use a larger --budget, or a smaller --batch-size or --image-size."
        )
    return reasons


def in_lines(begin: str, reasons: Mapping[str, str]) -> str:
    """One line for each method under ``begin``."""
    return "\n  ".join([begin, *(f"{method}: {reason}" for method, reason in reasons.items())])


def _place(out: Path, step: StepRequest) -> Path:
    return out / step.method / "step.json"


def _measured_before(out: Path, step: StepRequest) -> Found | None:
    """None where nothing was measured, another step or with other threads, or the file was cut off."""
    try:
        before = read_json(_place(out, step), "measurement")
        found: Found = before["found"]
        same = before["request"] == json.loads(json.dumps(dataclasses.asdict(step)))
        return found if same and found["threads"] == torch.get_num_threads() else None
    except (EdgewiseError, KeyError, TypeError):
        return None


def _predict(asked: dict[str, Any], report: Report) -> dict[str, Any]:
    rows = []
    for number, settings in enumerate(asked["steps"], 1):
        rows.append(_predicted(StepRequest(**settings)))
        report(number, len(asked["steps"]))
    return {"rows": rows}


def _predicted(step: StepRequest) -> Found:
    try:
        return {key: value for key, value in predict(step).items() if key not in ("timeline", "fullest")}
    except EdgewiseError as error:
        return {"refused": str(error), "usage": isinstance(error, UsageError)}
    except Exception as error:  # a defect of one method does not keep the others from being compared
        return {"refused": f"{type(error).__name__}: {error}", "usage": False}


if __name__ == "__main__":
    answer({"predict": _predict})
