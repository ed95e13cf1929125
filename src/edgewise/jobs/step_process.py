"""``python -m edgewise.jobs.step_process predict|measure``: one training step in a process of its own.

Reads a `StepRequest` as JSON on standard input and writes what it found as JSON.  Measuring wants a
fresh process (the heap counter is loaded before it, and nothing else has used memory); predicting
wants one too, because torch's shape arithmetic brings in 20 MB of libraries.
"""

import dataclasses
import gc
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from edgewise.core.startup import SETTINGS
from edgewise.cost.dry import on_meta
from edgewise.cost.heap import VARIABLE, heap, preload, why_not
from edgewise.cost.kept import KeptBytes
from edgewise.cost.macs import macs_forward
from edgewise.cost.published import published
from edgewise.cost.resident import forget_highest, highest_resident, resident
from edgewise.jobs.child import answer, ask
from edgewise.jobs.training_step import StepRequest, TrainingStep, dry_run
from edgewise.lean import Lean, is_lean, lean_named, make_lean
from edgewise.native.allocator import forget_code, give_memory_back

WARM, STEPS = 3, 9  # the allocator has what it uses again only after some steps


def in_process(task: str, request: StepRequest) -> dict[str, Any]:
    """Run ``task`` (``predict`` or ``measure``) for ``request`` in a new process.

    Raises `EdgewiseError` with the process's own message.
    """
    lean = request.lean != "off"  # stock PyTorch is measured as it comes
    environment = {**(SETTINGS if lean else {}), **((preload() or {}) if task == "measure" else {})}
    if request.threads is not None:
        environment["OMP_NUM_THREADS"] = str(request.threads)
    return ask("edgewise.jobs.step_process", task, dataclasses.asdict(request), environment)


def predict(request: StepRequest) -> dict[str, Any]:
    """Run the step on shapes alone and watch every storage."""
    step = TrainingStep(request)
    paper = published(step.model, step.shape)
    macs = macs_forward(step.model, step.shape[1:])
    with on_meta(step.model):
        timeline, work = dry_run(step)
    if not is_lean(step.model):  # the same arithmetic, which only the lean pass declares
        make_lean(step.model, Lean(chunk=0, recompute=False))
        with on_meta(step.model):
            work = dry_run(step)[1]
    name, kinds = timeline.fullest
    return {
        **step.describe(),
        "macs_forward": macs,
        "macs_backward": work.backward or None,
        "macs_again": work.again,
        "published_mb": round(paper.total / 1e6, 2),
        "published_kept_mb": round(paper.kept_bytes / 1e6, 2),
        "predicted_mb": round(timeline.peak / 1e6, 2),
        "fullest": {"operation": name, "kinds": {kind: round(size / 1e6, 3) for kind, size in kinds.items()}},
        "timeline": [{kind: round(size / 1e6, 3) for kind, size in kinds.items()} for kinds in timeline.thinned()],
    }


def measure(request: StepRequest, change: Callable[[TrainingStep], None] | None = None) -> dict[str, Any]:
    """Run the step a few times and read the heap counter, the resident size and the clock.

    To be called in a process that has done nothing else.  ``change`` is done to the step before: to
    measure another way of computing it.
    """
    os.environ.pop(VARIABLE, None)
    if request.threads is not None:
        torch.set_num_threads(request.threads)
    at_import = resident()
    lean = lean_named(request.lean)
    if lean is not None:
        give_memory_back()
        forget_code()
    fresh = forget_highest()
    _warm_up(request)
    counter = heap()
    base = counter.live() if counter else 0
    step = TrainingStep(request)
    if change is not None:
        change(step)
    step.prepare()
    if lean is not None:
        give_memory_back(lean.chunk or request.batch_size, step.planned_to_keep())
    for _ in range(WARM):
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
    small = TrainingStep(
        dataclasses.replace(request, backbone="pocket", width=None, image_size=None, classes=4, weights="none")
    )
    small.prepare()
    for _ in range(2):
        small()
    del small
    gc.collect()


def _timed(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    answer(
        {
            "predict": lambda request, _: predict(StepRequest(**request)),
            "measure": lambda request, _: measure(StepRequest(**request)),
        }
    )
