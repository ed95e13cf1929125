"""Does a fit within 48 MB reach what a fit without a budget reaches, and does it stay within?

    python recipes/fit_within_budget.py --shared DIR --state DIR [--epochs 4] [--budget 48MB] [--seeds 3]

Runs ``edgewise fit`` on flowers5 at 224 px with MobileNetV2 1.0, with and without the budget, one
process each, one thread.  From outside: the highest resident size of the command and of every process
it starts, over that of a process that only imports.  From inside: the peak of the live heap over import,
by the counter (`edgewise.cost.heap`).  Finished runs are not repeated.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from grid import WEIGHTS, mean_std, prepare, write_result

from edgewise.cost.heap import preload

# What the command does, with the heap's peak over the level after import written where it is told.
INSIDE = """
import os, sys
os.environ.pop("LD_PRELOAD", None)
import edgewise.jobs.fit
from edgewise.cost.heap import heap
from edgewise.cli.main import main
counter = heap()
base = counter.live()
counter.reset()
try:
    main(sys.argv[2:])
finally:
    open(sys.argv[1], "w").write(str(counter.peak() - base))
"""
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "MKL_DISABLE_FAST_MM": "1", "THP_MEM_ALLOC_ENABLE": "1"}


def highest(command: list[str], extra: dict[str, str]) -> int:
    """Run ``command``; the highest resident size of it or of any process it waited for, in bytes."""
    process = subprocess.Popen(command, env={**os.environ, **ENVIRONMENT, **extra})
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} ended with status {status}.")
    return 1024 * usage.ru_maxrss


def one(arguments: argparse.Namespace, seed: int, budget: str | None) -> dict[str, Any]:
    """One fit, measured."""
    out = arguments.state / f"within-{budget or 'none'}-{arguments.epochs}-{seed}"
    done = out.with_suffix(".json")
    if done.exists():
        found: dict[str, Any] = json.loads(done.read_text())
        return found
    peak = out.with_suffix(".peak")
    weights = arguments.shared / "data" / "weights" / WEIGHTS[1.0]
    words = [
        "fit", str(arguments.state / "images" / "flowers5"), "--weights", str(weights), "--image-size", "224",
        "--epochs", str(arguments.epochs), "--seed", str(seed), "--out", str(out), "--quiet", "--resume",
        *(["--budget", budget] if budget else ["--workers", "0"]),
    ]  # fmt: skip
    began = time.monotonic()
    top = highest([sys.executable, "-c", INSIDE, str(peak), *words], preload() or {})
    record = json.loads((out / "record.json").read_text())
    row = {
        "seed": seed,
        "budget": budget,
        "test_accuracy": record["metrics"]["test_accuracy"],
        "heap_peak_mb": round(int(peak.read_text()) / 1e6, 1),
        "resident_over_import_mb": round(
            (top - highest([sys.executable, "-c", "import edgewise.jobs.fit"], {})) / 1e6, 1
        ),
        "seconds": round(time.monotonic() - began),
        "lean": record["config"]["lean"],
        "method": record["config"]["method"],
    }
    done.write_text(json.dumps(row))
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, required=True)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--budget", default="48MB")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    prepare(arguments.shared, arguments.state, ["flowers5"])
    rows = []
    for seed in range(arguments.seeds):
        for budget in (arguments.budget, None):
            rows.append(one(arguments, seed, budget))
            print(rows[-1], flush=True)
    means = {
        str(budget): mean_std([100 * row["test_accuracy"] for row in rows if row["budget"] == budget])
        for budget in (arguments.budget, None)
    }
    print(write_result(
        "fit_within_budget",
        {
            "recipe": "recipes/fit_within_budget.py",
            "settings": {"epochs": arguments.epochs, "budget": arguments.budget, "image_size": 224, "width": 1.0},
            "environment": {"torch": torch.__version__, "python": platform.python_version(), "threads": 1},
            "test_accuracy_percent": means,
            "rows": rows,
        },
    ))  # fmt: skip


if __name__ == "__main__":
    main()
