"""What a training step takes in memory and time: stock PyTorch against the lean pass, in one run.

    python benchmarks/memory_vs_eager.py [--backbone mobilenet_v2] [--image-size 224] [--classes 100]
        [--batch-size 8] [--threads 1] [--methods repnet bias last bn full] [--lean off small fast]
        [--frozen-bits 32] [--adam-bits 32] [--rounds 3]

Every line is a process of its own (`edgewise profile --measure`): the peak is counted by the heap
counter, over the level after import and warm-up; stock PyTorch runs channels_last, which is faster
there for free.  Costs do not depend on values, so no weights are needed.  Prints a table and writes
``benchmarks/results/memory_vs_eager_BACKBONE_SIZE_THREADS_DATE.json``.  Times and resident sizes
are medians over rounds in which the settings take turns, times of medians of a few steps on one machine: read
the ratios.
"""

import argparse
import platform
import statistics
from pathlib import Path
from typing import Any

import torch

from edgewise.core.files import add_result
from edgewise.jobs.profile import profile
from edgewise.jobs.step_process import in_process
from edgewise.jobs.training_step import StepRequest

SHOWN = ("published_mb", "predicted_mb", "measured_peak_mb", "measured_rss_mb", "kept_mb", "step_ms")

REPEATED = ("measured_rss_mb", "step_ms")  # what differs from one process to the next


def measured(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """One row for each method and setting, printed as it comes."""
    print(f"{'method':<8}{'lean':<7}" + "".join(f"{name.removesuffix('_mb'):>16}" for name in SHOWN))
    rows = []
    for method in arguments.methods:
        requests = {
            lean: StepRequest(
                arguments.backbone,
                method=method,
                classes=arguments.classes,
                image_size=arguments.image_size,
                batch_size=arguments.batch_size,
                lean=lean,
                frozen_bits=32 if lean == "off" else arguments.frozen_bits,
                adam_bits=32 if lean == "off" else arguments.adam_bits,
                threads=arguments.threads,
            )
            for lean in arguments.lean
        }
        found = {lean: profile(request, measure=True) for lean, request in requests.items()}
        rounds = {lean: [row] for lean, row in found.items()}
        for _ in range(arguments.rounds - 1):
            for lean, request in requests.items():
                rounds[lean].append(in_process("measure", request))
        for lean, row in found.items():
            del row["timeline"]
            taken = {name: [one[name] for one in rounds[lean]] for name in REPEATED}
            medians = {name: statistics.median(values) for name, values in taken.items() if None not in values}
            every = {f"{name}_rounds": values for name, values in taken.items()}
            row = {"method": method, "lean": lean, **row, **medians}
            rows.append({**row, **every})
            print(f"{method:<8}{lean:<7}" + "".join(f"{_text(row[name]):>16}" for name in SHOWN), flush=True)
    return rows


def _text(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="mobilenet_v2")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--methods", nargs="+", default=["repnet", "bias", "last", "bn", "full"])
    parser.add_argument("--lean", nargs="+", default=["off", "small", "fast"])
    parser.add_argument("--frozen-bits", type=int, default=32)
    parser.add_argument("--adam-bits", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    result = {
        "benchmark": "benchmarks/memory_vs_eager.py",
        "settings": vars(arguments),
        "environment": {
            "torch": torch.__version__,
            "python": platform.python_version(),
            "cpu": torch.backends.cpu.get_cpu_capability(),
        },
        "rows": measured(arguments),
    }
    bits = "" if arguments.frozen_bits == 32 else f"_{arguments.frozen_bits}bit"
    bits += "" if arguments.adam_bits == 32 else f"_adam{arguments.adam_bits}"
    name = f"memory_vs_eager_{arguments.backbone}_{arguments.image_size}_{arguments.threads}t{bits}"
    print(add_result(Path(__file__).parent / "results", name, result))


if __name__ == "__main__":
    main()
