"""Is the predicted peak of a training step the measured one?  Every method on every network, three ways to store it.

    python benchmarks/predicted_vs_measured.py --state DIR [--backbones ...] [--methods ...] [--image-size 128]

For each: ``--lean small``, ``fast``, and ``small`` with frozen weights in 8 bits; batch 8, ten classes, one thread,
128 px or the network's own size where that is smaller.  All predictions of a network are made first, in a process
of their own; then every step is measured in another one, by the heap counter.  Costs do not depend on values, so no
weights are needed.  What is done is kept in ``--state`` and not done again.

Prints what is more than 5 % and more than 2 MB off, and what each method was refused for, and writes
``benchmarks/results/predicted_vs_measured_DATE.json``.  About 50 minutes on one core, which may be busy: peaks are
counted, not timed.
"""

import argparse
import dataclasses
import json
import platform
from pathlib import Path
from typing import Any

import torch

from edgewise.adapt import METHODS
from edgewise.backbones import FAMILIES
from edgewise.core.errors import EdgewiseError
from edgewise.core.files import add_result, write_json
from edgewise.jobs.step_process import in_process
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


def compared(request: StepRequest, place: Path) -> dict[str, Any]:
    """Predicted and measured peak in MB, or what the method was refused for; remembered in ``place``."""
    asked = dataclasses.asdict(request)
    if place.exists() and (known := json.loads(place.read_text()))["request"] == asked:
        return dict(known["found"])
    try:
        predicted = in_process("predict", request)["predicted_mb"]
        measured = in_process("measure", request)["measured_peak_mb"]
        found = {"predicted_mb": predicted, "measured_peak_mb": measured}
    except EdgewiseError as refused:
        found = {"refused": str(refused)}
    write_json(place, {"request": asked, "found": found})
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
    for number, ((backbone, method, way), request) in enumerate(asked.items(), 1):
        place = arguments.state / f"{backbone}-{method}-{way.replace(', ', '-').replace(' ', '')}.json"
        row = {"backbone": backbone, "method": method, "way": way, **compared(request, place)}
        rows.append(row)
        print(f"{number}/{len(asked)}", *row.values(), flush=True)
    measured = [row for row in rows if "refused" not in row]
    missed = [row for row in measured if not within(row)]
    print(f"{len(measured)} steps measured, {len(rows) - len(measured)} refused, {len(missed)} predictions missed")
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


if __name__ == "__main__":
    main()
