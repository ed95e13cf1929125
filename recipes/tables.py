"""How the recipes of the papers' tables run: from arms to rows, with what their training steps take, to a result.

A recipe is three plain functions: its arms (`arms`), further training steps whose cost it measures, and its
claims (`claims`), comparisons that are evaluated on the numbers and written down, true or false.  The
protocol is that of ``transfer_small``: 128 px, batch 8, the whole training part, the last epoch scored once
on the test part, one torch thread a job.
"""

import argparse
import platform
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from arms import Arm, Costed
from estimate import listed
from grid import RESULTS, mean_std, run_grid
from steps import measured, steps_of

from edgewise.core.files import add_result

HERE = Path(__file__).resolve().parent

Row = Mapping[str, Any]
Rows = Sequence[Row]


def run(
    script: str,
    doc: str | None,
    arms: Callable[[bool], Sequence[Arm]] = lambda quick: (),
    costs: Callable[[bool], Sequence[Costed]] = lambda quick: (),
    claims: Callable[[Rows, Rows], Sequence[Row]] = lambda rows, costs: (),
    rounds: int = 1,
) -> None:
    """The recipe's command.  ``arms`` and ``costs`` are told whether it is to be quick, ``claims`` gets their rows.

    ``rounds``: how often the time of a step is measured; more than once where a claim is about time.
    """
    arguments = asked(doc)
    rounds = 1 if arguments.quick else rounds
    to_train, to_measure = arms(arguments.quick), costs(arguments.quick)
    if arguments.list:
        listed(to_train, arguments.seeds, to_measure, rounds)
        return
    rows = trained(to_train, arguments, rounds)
    found = measured([one.step for one in to_measure], arguments.state, rounds)
    measures = [{**described(one), **took} for one, took in zip(to_measure, found, strict=True)]
    write(script, arguments, {"rows": rows, "costs": measures, "claims": claims(rows, measures)})


def asked(doc: str | None, seeds: int = 3) -> argparse.Namespace:
    """What a recipe is told; ``--quick`` is one seed."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, required=True, help="folder with data/ and tools/")
    parser.add_argument("--state", type=Path, required=True, help="where unpacked sets and finished jobs are kept")
    parser.add_argument("--seeds", type=int, default=seeds, help="runs of every arm")
    parser.add_argument("--quick", action="store_true", help="one seed, the smallest set and network, fewer arms")
    parser.add_argument("--list", action="store_true", help="run nothing: print the jobs and about how long they take")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.seeds = 1
    return arguments


def trained(arms: Sequence[Arm], arguments: argparse.Namespace, rounds: int) -> list[dict[str, Any]]:
    """Run what has not run yet, first seeds first; one row an arm, with what its training step takes."""
    if not arms:
        return []
    jobs = [job for turn in zip(*(one.jobs(arguments.seeds) for one in arms), strict=True) for job in turn]
    done = {row["key"]: row for row in run_grid(jobs, arguments.shared, arguments.state)}
    costs = steps_of([one.job for one in arms], arguments.shared, arguments.state, rounds)
    return [
        {**summary(one, [done[job.key] for job in one.jobs(arguments.seeds)]), **cost}
        for one, cost in zip(arms, costs, strict=True)
    ]


def described(one: Costed) -> dict[str, Any]:
    """What a measured step is, and what the paper prints of it."""
    step = one.step
    return {
        "network": one.network,
        "arm": one.name,
        "method": step.method,
        "method_settings": dict(step.method_settings),
        "image_size": step.image_size,
        "lean": step.lean,
        "frozen_bits": step.frozen_bits,
        "printed": dict(one.printed),
    }


def summary(one: Arm, runs: Rows) -> dict[str, Any]:
    """One row of an arm: mean and standard deviation of the test accuracy in percent, and what was set."""
    mean, std = mean_std([100 * run["test"] for run in runs])
    curves = [[100 * epoch["train_accuracy"] for epoch in run["history"]] for run in runs if "history" in run]
    sparse = [run["sparsity"] for run in runs if run.get("sparsity")]
    return {
        "set": one.job.data,
        "network": one.network,
        "arm": one.name,
        "method": one.job.method,
        "method_settings": dict(one.job.settings),
        "frozen_bits": one.job.frozen_bits,
        "epochs": one.job.epochs,
        "lr": runs[0]["lr_used"],
        "side_lr": runs[0]["side_lr_used"],
        "test_mean": round(mean, 2),
        "test_std": None if std is None else round(std, 2),
        "test": [round(100 * run["test"], 2) for run in runs],
        "artifact_bytes": runs[0]["artifact_bytes"],
        "train_curve": [round(statistics.fmean(epoch), 2) for epoch in zip(*curves, strict=True)],
        "sparsity": {key: statistics.fmean(run[key] for run in sparse) for key in sparse[0]} if sparse else None,
        "seconds": round(statistics.fmean(run["seconds"] for run in runs), 1),
    }


def write(script: str, arguments: argparse.Namespace, result: Row) -> Path:
    """Add the result of ``script``, and print its claims; that of ``--quick`` stays in the state folder."""
    for claim in result.get("claims", ()):
        verdict = {True: "holds", False: "DOES NOT HOLD", None: "was not tried"}[claim["holds"]]
        print(f"{claim['claim']}: {verdict} ({claim['held_in']})")
    path = Path(script).resolve().relative_to(HERE.parent)
    full = {
        "recipe": path.as_posix(),
        "settings": {"seeds": arguments.seeds, "quick": arguments.quick},
        "environment": {"torch": torch.__version__, "python": platform.python_version(), "cpu": _processor()},
        **result,
    }
    folder = arguments.state / "results" if arguments.quick else RESULTS
    written = add_result(folder, result_name(path), full)
    print(written)
    return written


def result_name(path: Path) -> str:
    """``recipes/repnet/table1_connect.py`` writes ``repnet_table1_connect_DATE.json``."""
    return "_".join((*path.parts[1:-1], path.stem))


def _processor() -> str:
    described = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.*)", described.read_text()) if described.exists() else None
    return found[1] if found else platform.processor()
