"""``python -m edgewise.jobs.step_process predict|measure``: one training step in a process of its own.

Reads a `StepRequest` as JSON on standard input and writes what it found as JSON.  Measuring wants a
fresh process (the heap counter is loaded before it, and nothing else has used memory); predicting
wants one too, because torch's shape arithmetic brings in 20 MB of libraries.
"""

import dataclasses
import gc
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import torch

from edgewise.core.errors import EdgewiseError, UsageError
from edgewise.cost.dry import OBJECTS, Watch, on_meta, watched
from edgewise.cost.heap import VARIABLE, heap, preload, why_not
from edgewise.cost.kept import KeptBytes
from edgewise.cost.macs import macs_forward
from edgewise.cost.published import published
from edgewise.cost.resident import forget_highest, highest_resident, resident
from edgewise.jobs.training_step import StepRequest, TrainingStep
from edgewise.native.allocator import give_memory_back

STEPS = 5


def in_process(task: str, request: StepRequest) -> dict[str, Any]:
    """Run ``task`` (``predict`` or ``measure``) for ``request`` in a new process.

    Raises `EdgewiseError` with the process's own message.
    """
    environment = {**os.environ, "MKL_DISABLE_FAST_MM": "1", **((preload() or {}) if task == "measure" else {})}
    if request.threads is not None:
        environment["OMP_NUM_THREADS"] = str(request.threads)
    done = subprocess.run(
        [sys.executable, "-m", "edgewise.jobs.step_process", task],
        input=json.dumps(dataclasses.asdict(request)),
        env=environment,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"it ended with status {done.returncode}"])[-1]
        kind = UsageError if done.returncode == UsageError.status else EdgewiseError
        raise kind(last.removeprefix("Error: "))
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def predict(request: StepRequest) -> dict[str, Any]:
    """Run the step on shapes alone and watch every storage."""
    step = TrainingStep(request)
    paper = published(step.model, step.shape)
    macs = macs_forward(step.model, step.shape[1:])
    with on_meta(step.model):
        step.prepare("meta")
        step()  # plans are made in the first step
        watch = Watch()
        watch.own("weights", [*step.model.parameters(), *step.model.buffers()])
        watch.own("optimizer", step.adam.tensors().values())
        watch.own("input", [step.images, step.labels])
        timeline = watched(watch, step)
    name, kinds = timeline.fullest
    return {
        **step.describe(),
        "macs_forward": macs,
        "published_mb": round(paper.total / 1e6, 2),
        "published_kept_mb": round(paper.kept_bytes / 1e6, 2),
        "predicted_mb": round((timeline.peak + OBJECTS) / 1e6, 2),
        "fullest": {"operation": name, "kinds": {kind: round(size / 1e6, 3) for kind, size in kinds.items()}},
        "timeline": [{kind: round(size / 1e6, 3) for kind, size in kinds.items()} for kinds in timeline.thinned()],
    }


def measure(request: StepRequest) -> dict[str, Any]:
    """Run the step a few times and read the heap counter, the resident size and the clock."""
    os.environ.pop(VARIABLE, None)
    if request.threads is not None:
        torch.set_num_threads(request.threads)
    give_memory_back()
    at_import = resident()
    fresh = forget_highest()
    _warm_up(request)
    counter = heap()
    base = counter.live() if counter else 0
    step = TrainingStep(request)
    step.prepare()
    step()
    gc.collect()
    if counter:
        counter.reset()
    times = [_timed(step) for _ in range(STEPS)]
    peak = counter.peak() - base if counter else None
    highest = highest_resident()
    with KeptBytes([step.images, *step.model.parameters(), *step.model.buffers()]) as kept:
        loss = step.loss()
    del loss
    return {
        "kept_mb": round(kept.total / 1e6, 3),
        "measured_peak_mb": None if peak is None else round(peak / 1e6, 2),
        "measured_rss_mb": round((highest - at_import) / 1e6, 1) if fresh and highest and at_import else None,
        "step_ms": round(1e3 * statistics.median(times), 1),
        "threads": torch.get_num_threads(),
        "heap_counter": None if counter else (why_not() or "it was not loaded"),
    }


def _warm_up(request: StepRequest) -> None:
    """A step of a tiny network: what every first step loads and keeps is not this network's cost."""
    small = TrainingStep(dataclasses.replace(request, backbone="pocket", width=None, image_size=None, classes=4))
    small.prepare()
    for _ in range(2):
        small()
    del small
    gc.collect()


def _timed(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main() -> None:
    """Answer on standard output; an error of ours is one line on standard error."""
    tasks = {"predict": predict, "measure": measure}
    try:
        answer = tasks[sys.argv[1]](StepRequest(**json.load(sys.stdin)))
    except EdgewiseError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(error.status)
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
