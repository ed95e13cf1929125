"""Is the predicted peak of a training step the measured one?  Every method on every network, three ways to store it.

    python benchmarks/predicted_vs_measured.py --state DIR [--backbones ...] [--methods ...] [--image-size 128]

For each: ``--lean small``, ``fast``, and ``small`` with frozen weights in 8 bits; batch 8, ten classes, one thread,
128 px or the network's own size where that is smaller.  All predictions of a network are made first, in a process
of their own; then every step is measured in another one, by the heap counter.  Costs do not depend on values, so no
weights are needed.  Measurements are kept in ``--state`` and not repeated; predictions are always made anew.

Prints what is more than 5 % and more than 2 MB off, and what each method was refused for, and writes
``benchmarks/results/predicted_vs_measured_DATE.json``.  About 50 minutes on one core, which may be busy: peaks are
counted, not timed.
"""

import argparse
import dataclasses
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

import torch

from edgewise.adapt import METHODS
from edgewise.backbones import FAMILIES
from edgewise.core.errors import EdgewiseError
from edgewise.core.files import add_result, write_json
from edgewise.jobs.child import Report, answer, ask
from edgewise.jobs.step_process import in_process, predict
from edgewise.jobs.training_step import StepRequest

WAYS = {"small": ("small", 32), "fast": ("fast", 32), "small, 8 bit": ("small", 8)}
SHARE, BYTES = 0.05, 2.0  # the larger of the two is allowed: of the measurement, and in MB


def requests(backbones: list[str], methods: list[str], size: int) -> dict[tuple[str, str, str], StepRequest]:
    """Every step, by network, method and way."""
    return {
        (backbone, method, way): StepRequest(
            backbone,
            method=method,
            image_size=min(size, FAMILIES[backbone].size),
            lean=lean,
            frozen_bits=bits,
            threads=1,
        )
        for backbone in backbones
        for method in methods
        for way, (lean, bits) in WAYS.items()
    }


def predicted(requests: list[StepRequest]) -> list[dict[str, Any]]:
    """The predicted peaks in MB, or what a method was refused for, from one process for all."""
    here = os.pathsep.join(filter(None, (str(Path(__file__).parent), os.environ.get("PYTHONPATH"))))
    asked = {"steps": [dataclasses.asdict(one) for one in requests]}
    return list(ask(Path(__file__).stem, "predict", asked, {"PYTHONPATH": here, "OMP_NUM_THREADS": "1"})["rows"])


def measured(request: StepRequest, place: Path) -> float:
    """The measured peak in MB; remembered in ``place``."""
    asked = dataclasses.asdict(request)
    if place.exists() and (known := json.loads(place.read_text()))["request"] == asked:
        return float(known["measured_peak_mb"])
    found = float(in_process("measure", request)["measured_peak_mb"])
    write_json(place, {"request": asked, "measured_peak_mb": found})
    return found


def within(row: dict[str, Any]) -> bool:
    """Whether the prediction is within 5 % or 2 MB."""
    off = abs(row["predicted_mb"] - row["measured_peak_mb"])
    return bool(off <= max(BYTES, SHARE * row["measured_peak_mb"]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--state", type=Path, required=True, help="where finished measurements are kept")
    parser.add_argument("--backbones", nargs="+", default=list(FAMILIES))
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--image-size", type=int, default=128)
    arguments = parser.parse_args()
    asked = requests(arguments.backbones, arguments.methods, arguments.image_size)
    rows = []
    for wanted in arguments.backbones:
        own = {names: request for names, request in asked.items() if names[0] == wanted}
        for (names, request), found in zip(own.items(), predicted(list(own.values())), strict=True):
            place = arguments.state / f"{'-'.join(names).replace(', ', '-').replace(' ', '')}.json"
            peak = {} if "refused" in found else {"measured_peak_mb": measured(request, place)}
            rows.append({**dict(zip(("backbone", "method", "way"), names, strict=True)), **found, **peak})
            print(f"{len(rows)}/{len(asked)}", *rows[-1].values(), flush=True)
    done = [row for row in rows if "refused" not in row]
    missed = [row for row in done if not within(row)]
    print(f"{len(done)} steps measured, {len(rows) - len(done)} refused, {len(missed)} predictions missed")
    result = {
        "benchmark": "benchmarks/predicted_vs_measured.py",
        "settings": {"image_size": arguments.image_size, "share": SHARE, "mb": BYTES},
        "environment": {
            "torch": torch.__version__,
            "python": platform.python_version(),
            "cpu": torch.backends.cpu.get_cpu_capability(),
        },
        "missed": missed,
        "rows": rows,
    }
    print(add_result(Path(__file__).parent / "results", "predicted_vs_measured", result))


def _predict(asked: dict[str, Any], report: Report) -> dict[str, Any]:
    rows: list[dict[str, Any]] = []
    for number, step in enumerate(asked["steps"], 1):
        try:
            rows.append({"predicted_mb": predict(StepRequest(**step))["predicted_mb"]})
        except EdgewiseError as refused:
            rows.append({"refused": str(refused)})
        report(number, len(asked["steps"]))
    return {"rows": rows}


if __name__ == "__main__":
    answer({"predict": _predict}) if sys.argv[1:] == ["predict"] else main()
