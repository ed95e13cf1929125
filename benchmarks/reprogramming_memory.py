"""What a step of reprogramming takes, with the frozen source as torch computes it and by a lean plan.

    python benchmarks/reprogramming_memory.py [--backbone mobilenet_v2] [--image-size 224] [--batch-size 8]

The source is frozen, yet stock PyTorch keeps what every layer reads, since the program's gradient passes through
them all.  One step: a canvas of trained pixels around the samples, the source, ten of its labels, Adam.  Each line is
a process of its own; random weights, since costs do not depend on values.  Measured: the highest heap above that before
the network was made, the highest resident size above that after importing, and the median time of a step with one
thread.  Writes ``benchmarks/results/reprogramming_memory_….json``.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

import edgewise as ew
from edgewise.core.files import add_result
from edgewise.core.startup import SETTINGS
from edgewise.cost.heap import heap, preload
from edgewise.cost.resident import forget_highest, highest_resident, resident
from edgewise.lean import make_plain
from edgewise.reprogram import FirstLabels, Gradient, Pad, Space, of_network
from edgewise.reprogram.pipeline import Pipeline
from edgewise.reprogram.trainers.base import Losses

WAYS = ("stock", "lean")
WARM, STEPS, CLASSES, LABELS = 3, 9, 10, 1000


def measured(way: str, backbone: str, size: int, batch: int) -> dict[str, Any]:
    """One way, in a process that has done nothing else."""
    torch.set_num_threads(1)
    at_import, fresh, counter = resident(), forget_highest(), heap()
    base = counter.live() if counter else 0
    network = ew.load(backbone, weights="none", image_size=size)
    source = of_network(network.module, network.input, LABELS)
    if way == "stock":
        make_plain(network.module)
    program = Pad().build(Space((3, size // 2, size // 2), 0.0, 1.0), source.takes)
    mapping = FirstLabels()
    reader = mapping.fit(torch.empty(0, LABELS), torch.empty(0, dtype=torch.long), CLASSES)
    work = Pipeline(program, source, reader, mapping.domain)
    steps = Gradient().build(work.parameters())
    samples, targets = torch.rand(batch, 3, size // 2, size // 2), torch.arange(batch) % CLASSES

    def loss() -> Losses:
        return Losses(torch.nn.functional.cross_entropy(work(samples), targets, reduction="none"))

    def step() -> float:
        began = time.perf_counter()
        steps.step(loss, 0.0, 0)
        return time.perf_counter() - began

    for _ in range(WARM):
        step()
    if counter:
        counter.reset()
    times = [step() for _ in range(STEPS)]
    highest = highest_resident()
    return {
        "source": way,
        "measured_peak_mb": round((counter.peak() - base) / 1e6, 2) if counter else None,
        "measured_rss_mb": round((highest - at_import) / 1e6, 1) if fresh and highest and at_import else None,
        "step_ms": round(1e3 * statistics.median(times), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="mobilenet_v2")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.inside:
        print(json.dumps(measured(asked.inside, asked.backbone, asked.image_size, asked.batch_size)))
        return
    rows = []
    for way in WAYS:
        environment = {**os.environ, **(SETTINGS if way == "lean" else {}), **(preload() or {}), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, __file__, *sys.argv[1:], "--inside", way]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        print(rows[-1], flush=True)
    result = {
        "benchmark": "benchmarks/reprogramming_memory.py",
        "settings": {name: value for name, value in vars(asked).items() if name != "inside"},
        "environment": {"torch": torch.__version__, "python": platform.python_version()},
        "rows": rows,
    }
    print(add_result(Path(__file__).parent / "results", "reprogramming_memory", result))


if __name__ == "__main__":
    main()
