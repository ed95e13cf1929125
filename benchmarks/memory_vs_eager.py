"""What a training step takes in memory and time: stock PyTorch against the lean pass, in one run.

    python benchmarks/memory_vs_eager.py [--backbone mobilenet_v2] [--image-size 224] [--classes 100]
        [--batch-size 8] [--threads 1] [--methods repnet bias last bn full] [--lean off small fast]

Every line is a process of its own (`edgewise profile --measure`): the peak is counted by the heap
counter, over the level after import and warm-up; stock PyTorch runs channels_last, which is faster
there for free.  Costs do not depend on values, so no weights are needed.  Prints a table and writes
``benchmarks/results/memory_vs_eager_BACKBONE_SIZE_THREADS_DATE.json``; times are medians of a few
steps of one run on one machine: read the ratios.
"""

import argparse
import platform
from pathlib import Path
from typing import Any

import torch

from edgewise.core.files import add_result
from edgewise.jobs.profile import profile
from edgewise.jobs.training_step import StepRequest

SHOWN = ("published_mb", "predicted_mb", "measured_peak_mb", "measured_rss_mb", "kept_mb", "step_ms")


def measured(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """One row for each method and setting, printed as it comes."""
    print(f"{'method':<8}{'lean':<7}" + "".join(f"{name.removesuffix('_mb'):>16}" for name in SHOWN))
    rows = []
    for method in arguments.methods:
        for lean in arguments.lean:
            request = StepRequest(
                arguments.backbone,
                method=method,
                classes=arguments.classes,
                image_size=arguments.image_size,
                batch_size=arguments.batch_size,
                lean=lean,
                threads=arguments.threads,
            )
            found = profile(request, measure=True)
            del found["timeline"]
            rows.append({"method": method, "lean": lean, **found})
            print(f"{method:<8}{lean:<7}" + "".join(f"{_text(found[name]):>16}" for name in SHOWN), flush=True)
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
    name = f"memory_vs_eager_{arguments.backbone}_{arguments.image_size}_{arguments.threads}t"
    print(add_result(Path(__file__).parent / "results", name, result))


if __name__ == "__main__":
    main()
