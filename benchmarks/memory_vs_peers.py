"""What other ways to save memory reach on the same training step, and what each of Edgewise's ideas takes away.

    python benchmarks/memory_vs_peers.py [--backbone mobilenet_v2] [--image-size 224] [--threads 1]

``torch.utils.checkpoint`` (part of torch) computes parts of the network again instead of keeping their
results: here once per block, and once per quarter of the blocks.  Batch norms that train then update their
statistics twice in a step.  Every line is a process of its own, measured as `edgewise profile --measure`
does, Edgewise's with the allocator as it is set for ``small``.  memsave_torch, a library with the same aim
as Edgewise's lean pass, could not be installed from the package index and is named, not imitated.  Writes
``benchmarks/results/memory_vs_peers_….json``.
"""

import argparse
import dataclasses
import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from edgewise.backbones.stages import blocks_of
from edgewise.core.files import add_result
from edgewise.core.startup import SETTINGS
from edgewise.cost.heap import preload
from edgewise.jobs.step_process import measure
from edgewise.jobs.training_step import StepRequest, TrainingStep
from edgewise.lean import Lean, make_lean

# What each idea takes away: bits and fused layers, fewer photos at a time, values computed again, 8 bits.
OURS = {
    "edgewise, whole batch": Lean(0, 32, recompute=False),
    "edgewise, 4 photos (fast)": Lean(4, 32, recompute=False),
    "edgewise, 1 photo": Lean(1, 32, recompute=False),
    "edgewise, again (small)": Lean(1, 32),
    "edgewise, 8 bits": Lean(1, 8),
}
SHOWN = ("measured_peak_mb", "measured_rss_mb", "kept_mb", "step_ms")


def each_block(step: TrainingStep) -> None:
    """Keep the blocks' inputs; compute what is inside again."""
    network = step.model.network
    for block in blocks_of(network, step.model.backbone.input.size):
        module = network.get_submodule(block.name)
        module.forward = partial(checkpoint, module.forward, use_reentrant=False)


def four_parts(step: TrainingStep) -> None:
    """Keep three maps along a network that is one `nn.Sequential` of blocks; compute the rest again."""
    features = step.model.network.get_submodule("features")
    assert isinstance(features, nn.Sequential)
    layers, size = list(features), -(-len(features) // 4)
    parts = [layers[i : i + size] for i in range(0, len(layers), size)]

    def forward(x: torch.Tensor) -> torch.Tensor:
        for part in parts:
            x = checkpoint(_through, part, x, use_reentrant=False)
        return x

    features.forward = forward  # type: ignore[method-assign]


def _through(layers: Sequence[nn.Module], x: torch.Tensor) -> torch.Tensor:
    for layer in layers:
        x = layer(x)
    return x


PEERS = {"stock": None, "checkpoint each block": each_block, "checkpoint 4 parts": four_parts}


def one(way: str, request: StepRequest) -> dict[str, Any]:
    """Measure one way in a new process."""
    environment = {**os.environ, **(SETTINGS if way in OURS else {}), **(preload() or {})}
    environment["OMP_NUM_THREADS"] = str(request.threads)
    command = [sys.executable, __file__, "--inside", way]
    done = subprocess.run(
        command, input=json.dumps(dataclasses.asdict(request)), env=environment, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"{way}: {done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def inside(way: str) -> None:
    """The new process."""
    request = StepRequest(**json.load(sys.stdin))
    if way in PEERS:
        print(json.dumps(measure(dataclasses.replace(request, lean="off"), PEERS[way])))
        return

    def store_so(step: TrainingStep) -> None:
        make_lean(step.model, OURS[way])

    print(json.dumps(measure(request, store_so)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="mobilenet_v2")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--methods", nargs="+", default=["repnet", "bias", "full"])
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        inside(arguments.inside)
        return
    print(f"{'method':<8}{'way':<27}" + "".join(f"{name.removesuffix('_mb'):>15}" for name in SHOWN))
    rows = []
    for method in arguments.methods:
        for way in (*PEERS, *OURS):
            if (method, way) == ("repnet", "checkpoint 4 parts"):
                continue  # its side network attaches to every block and cannot be run again from outside
            request = StepRequest(
                arguments.backbone,
                method=method,
                classes=arguments.classes,
                image_size=arguments.image_size,
                batch_size=arguments.batch_size,
                threads=arguments.threads,
            )
            row = one(way, request)
            rows.append({"method": method, "way": way, **row})
            cells = ("–" if row[name] is None else f"{row[name]:.1f}" for name in SHOWN)
            print(f"{method:<8}{way:<27}" + "".join(f"{cell:>15}" for cell in cells), flush=True)
    result = {
        "benchmark": "benchmarks/memory_vs_peers.py",
        "settings": {name: value for name, value in vars(arguments).items() if name != "inside"},
        "environment": {"torch": torch.__version__, "python": platform.python_version()},
        "not_installable": {"memsave_torch": "not found on the package index"},
        "rows": rows,
    }
    name = f"memory_vs_peers_{arguments.backbone}_{arguments.image_size}_{arguments.threads}t"
    print(add_result(Path(__file__).parent / "results", name, result))


if __name__ == "__main__":
    main()
