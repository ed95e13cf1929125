"""``edgewise compare``: many methods on the same photos, side by side, each run in a process of its own.

::

    OUT/  METHOD/seed-K      a run folder, as `edgewise fit` leaves it    record.json, report.html
          METHOD/step.json   what a training step of the method takes     metrics.csv   one row a method
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgewise.adapt import METHODS
from edgewise.backbones import load
from edgewise.core.errors import EdgewiseError
from edgewise.core.progress import Listener, Silent
from edgewise.core.runs import RunFolder
from edgewise.core.units import duration, percent
from edgewise.jobs.compare_request import CompareRequest as CompareRequest
from edgewise.jobs.compare_request import methods_named as methods_named
from edgewise.jobs.compare_rows import IN_PICTURES, best, in_order, row
from edgewise.jobs.compare_steps import Found, in_lines, left_out, measured, predicted
from edgewise.jobs.environment import environment
from edgewise.jobs.fit_process import fit_in_process
from edgewise.jobs.photos import look_at
from edgewise.jobs.request import FitRequest
from edgewise.plan import parse_budget as parse_budget
from edgewise.report import write_report

Record = dict[str, Any]


def compare(
    request: CompareRequest,
    out: Path,
    budget: int | None = None,
    resume: bool = False,
    command: str = "",
    listener: Listener | None = None,
) -> Record:
    """Measure a step of every method, train it on every seed, and write record, page and table into ``out``.

    A method that cannot be used here, whose step is predicted to take more than ``budget`` bytes, or whose
    training fails, is a row with its ``reason``; the others go on.  With ``resume`` finished runs are not
    repeated, others are finished, and methods or seeds that are new are added.

    Returns the record, kind ``compare``.  Raises `EdgewiseError` when no method is left: a `UsageError`,
    with nothing done, where none can be used.
    """
    listener = listener or Silent()
    methods, folder = request.names(), RunFolder(out)
    folder.started(request.shared(), resume)
    # What is wrong with the network or the photos is said once, and not by every method.
    load(request.backbone, weights=request.weights, width=request.width, image_size=request.image_size)
    images = look_at(FitRequest(**request.run(methods[0], request.seed)), listener)
    steps = {method: request.step(method, len(images.classes)) for method in methods}
    costs = predicted(list(steps.values()), out, listener)
    reasons = left_out(costs, budget)
    folder.create(request.shared(), resume)
    folder.say(f"{'resumed' if resume else 'started'}: {command or 'from Python'}")

    records: dict[str, list[Record]] = {}
    turns = _Turns(listener, (len(methods) - len(reasons)) * request.seeds)
    for method in [method for method in methods if method not in reasons]:
        try:
            costs[method] = measured(steps[method], costs[method], out, listener)
            records[method] = _runs(request, method, out, turns)
        except EdgewiseError as error:
            reasons[method] = str(error)
            listener.note(f"{METHODS[method].title} is left out. {error}")
            folder.say(f"{method} is left out: {error}")
    if not records:
        raise EdgewiseError(in_lines("No method could be trained.", reasons))

    rows = in_order([row(m, costs[m], reasons.get(m), records.get(m, [])) for m in methods])
    one = next(iter(records.values()))[0]
    record = {
        "kind": "compare",
        "command": command,
        "config": {
            **dataclasses.asdict(request),
            "methods": list(methods),
            "image_size": one["config"]["image_size"],
            "budget_mb": None if budget is None else round(budget / 1e6, 2),
        },
        "environment": environment(),
        "seeds": {"first": request.seed, "runs": request.seeds},
        "data": one["data"],
        "metrics": {key: one["metrics"][key] for key in ("split", "n")},
        "best": best(rows),
        "rows": rows,
        "notes": _notes(costs),
        "seconds": round(sum(run["seconds"] for runs in records.values() for run in runs), 2),
    }
    folder.write_record(record)
    folder.write_metrics([{key: one[key] for key in one if key not in IN_PICTURES} for one in rows])
    write_report(out)
    folder.say(f"finished: {len(records)} of {len(methods)} methods")
    return record


class _Turns(Silent):
    """Turns the epochs of one run into those of all ``runs``."""

    def __init__(self, listener: Listener, runs: int) -> None:
        self.listener, self._runs, self._turn = listener, runs, 0

    def next(self, title: str, seed: int) -> None:
        """The run of ``title`` with ``seed`` begins."""
        self._turn += 1
        self.listener.stage(f"{title}: training with seed {seed} (run {self._turn} of {self._runs})")

    def progress(self, done: int, total: int) -> None:
        self.listener.progress((self._turn - 1) * total + done, self._runs * total)


def _runs(request: CompareRequest, method: str, out: Path, turns: _Turns) -> list[Record]:
    """The records of a method's runs, one a seed."""
    title, records = METHODS[method].title, []
    for seed in range(request.seed, request.seed + request.seeds):
        turns.next(title, seed)
        records.append(fit_in_process(request.run(method, seed), out / method / f"seed-{seed}", turns))
        metrics, seconds = records[-1]["metrics"], records[-1]["seconds"]
        turns.listener.note(f"{percent(metrics['accuracy'])} right ({metrics['split']}), in {duration(seconds)}.")
    return records


def _notes(costs: Mapping[str, Found]) -> list[str]:
    why = {str(cost["heap_counter"]) for cost in costs.values() if cost.get("heap_counter")}
    return [f"The measured peak could not be counted: {text}. The prediction stands for it." for text in sorted(why)]
