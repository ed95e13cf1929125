"""How the recipes of reprogramming run: every run once, kept in STATE, a few at a time.

A recipe lists its `Run`s; each is a plain function of the recipe with settings, and answers with numbers.  What has
run is kept in ``STATE/runs/KEY.json`` and not run again, so the same command goes on after a kill.  `rows` averages
over seeds.  Test accuracy is written and never printed while a recipe runs: whoever chooses may be watching.
"""

import argparse
import hashlib
import inspect
import json
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from grid import mean_std
from tables import asked as asked
from tables import write as write

from edgewise.core.files import write_text

Numbers = Mapping[str, Any]
Work = Callable[..., Numbers]


@dataclass(frozen=True)
class Run:
    """``work(shared, state, seed=seed, **settings)`` under the names of a table's row: ``task`` and ``arm``."""

    work: Work
    task: str
    arm: str
    seed: int
    settings: Mapping[str, Any]

    @property
    def key(self) -> str:
        home = Path(inspect.getfile(self.work)).stem  # not __module__: a script has another in a process of its own
        text = json.dumps([home, self.work.__name__, self.seed, dict(self.settings)], sort_keys=True)
        name = f"{self.task}-{self.arm}-{self.seed}".replace(" ", "_").replace("/", "_")
        return f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def over_seeds(work: Work, task: str, arm: str, seeds: int, **settings: Any) -> list[Run]:
    """One run a seed."""
    return [Run(work, task, arm, seed, settings) for seed in range(seeds)]


def collected(runs: Sequence[Run], arguments: argparse.Namespace, processes: int = 2) -> list[dict[str, Any]]:
    """Run what has not run yet, first seeds first; the numbers of all runs, in order, with what they are of."""
    kept = {run.key: arguments.state / "runs" / f"{run.key}.json" for run in runs}
    todo = sorted((run for run in runs if not kept[run.key].exists()), key=lambda run: run.seed)
    print(f"{len(runs)} runs, {len(todo)} to do", flush=True)
    if todo:
        with multiprocessing.get_context("spawn").Pool(processes, _one_thread, maxtasksperchild=8) as pool:
            for run, seconds in pool.imap_unordered(_done, [(run, arguments.shared, arguments.state) for run in todo]):
                print(f"{run.task}, {run.arm}, seed {run.seed}: {seconds:.0f} s", flush=True)
    said = [json.loads(kept[run.key].read_text()) for run in runs]
    return [{"task": run.task, "arm": run.arm, "seed": run.seed, **one} for run, one in zip(runs, said, strict=True)]


def rows(found: Sequence[Mapping[str, Any]], *numbers: str) -> list[dict[str, Any]]:
    """One row a task and arm: ``NAME_mean`` and ``NAME_std`` of ``numbers`` over seeds, each seed's in ``NAME``."""
    table = []
    for task, arm in dict.fromkeys((one["task"], one["arm"]) for one in found):
        own = [one for one in found if (one["task"], one["arm"]) == (task, arm)]
        row: dict[str, Any] = {"task": task, "arm": arm, "seeds": len(own)}
        for name in numbers:
            values = [one[name] for one in own if one.get(name) is not None]
            if values:
                mean, std = mean_std(values)
                row |= {f"{name}_mean": round(mean, 4), f"{name}_std": None if std is None else round(std, 4)}
                row[name] = [round(value, 4) for value in values]
        table.append({**row, "seconds": round(statistics.fmean(one["seconds"] for one in own), 1)})
    return table


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)
    os.nice(10)


def _done(task: tuple[Run, Path, Path]) -> tuple[Run, float]:
    run, shared, state = task
    began = time.monotonic()
    numbers = run.work(shared, state, seed=run.seed, **run.settings)
    seconds = time.monotonic() - began
    path = state / "runs" / f"{run.key}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps({**numbers, "seconds": round(seconds, 1)}))
    return run, seconds
