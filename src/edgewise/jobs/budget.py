"""``edgewise fit --budget``: the plan's first choice, and a ceiling that holds it.

The budget bounds the live heap of the whole command over import: loading, training, evaluation, the
check of what was saved.  Photos are then decoded in this process, one batch at a time.

A watchdog looks at the highest resident size after every step.  And the system holds a ceiling of its
own (``RLIMIT_DATA``): what is far beyond is refused to the process within a step, so that it ends with a
message and its last checkpoint, not by the kernel's choice of whom to kill.
"""

import dataclasses
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

try:
    import resource
except ImportError:  # not on Windows
    resource = None  # type: ignore[assignment]

from edgewise.core.errors import EdgewiseError
from edgewise.core.progress import Listener
from edgewise.core.runs import RunFolder
from edgewise.core.units import megabytes
from edgewise.cost.resident import highest_resident
from edgewise.data import open_data
from edgewise.jobs.plan import PlanRequest, described, predictions
from edgewise.jobs.request import FitRequest
from edgewise.lean import Lean
from edgewise.plan import BESIDES, RESIDENT_SLACK, Prediction, methods_by_grade, ranked, rounded_up, smallest

# The ceiling counts address space: stacks of threads and holes in the heap too, of which nothing is resident.
RESERVED = 64_000_000
STATUS = Path("/proc/self/status")
# How torch, its kernel libraries and Python say that they were refused memory.
REFUSED = re.compile(r"allocate|not enough memory|out of memory|could not create a (primitive|memory)", re.IGNORECASE)


def within_budget(
    request: FitRequest, budget: int, any_method: bool, folder: RunFolder, resume: bool, listener: Listener
) -> tuple[FitRequest, dict[str, Any]]:
    """``request`` with the method and the way to store it that a plan for ``budget`` bytes puts first.

    The method is chosen too where ``any_method``, unless it was given settings.  A resumed run keeps what
    was chosen when it began.
    Returns the choice for ``record.json`` as well.  Raises `EdgewiseError` when nothing fits, naming
    the smallest budget that would do.
    """
    if not resume:
        folder.started({}, resume)  # a folder in use is an error before minutes of planning
    request = dataclasses.replace(request, workers=0)
    any_method = any_method and not request.method_settings  # a setting belongs to its method
    if resume and folder.config.exists():
        before = folder.read_config()
        if isinstance(before.get("lean"), dict) and isinstance(before.get("method"), str):
            # a method that was named is not exchanged in silence: the run folder compares it
            method, lean = before["method"] if any_method else request.method, Lean(**before["lean"])
            kept = {"budget_mb": round(budget / 1e6, 2), "method": method, "lean": before["lean"]}
            return dataclasses.replace(request, method=method, lean=lean), kept
    classes = len(open_data(Path(request.data), request.val_fraction, request.seed).classes)
    methods = methods_by_grade() if any_method else (request.method,)
    found: list[Prediction] = []
    for method in methods:  # the best grade first: what comes after the first that fits need not be known
        asked = PlanRequest(
            request.backbone, request.width, (method,), request.method_settings, classes,
            request.image_size, request.batch_size, request.weights, request.adam_bits,
        )  # fmt: skip
        found += predictions(asked, budget - BESIDES, listener)
        choices = ranked(found, budget - BESIDES)
        if choices:
            best = choices[0]
            listener.note(_in_words(best, budget))
            chosen = dataclasses.replace(request, method=best.option.method, lean=best.option.lean)
            return chosen, {"budget_mb": round(budget / 1e6, 2), **described(best)}
    least = smallest(found)
    raise EdgewiseError(
        f"{'No method' if any_method else f'Nothing of {request.method}'} fits a budget of {megabytes(budget)}. The "
        f"smallest that would do is {megabytes(rounded_up(least.peak + BESIDES))}: {least.option.method}, "
        f"{_stored(least.option.lean)}. Or use a smaller --batch-size or --image-size."
    )


@contextmanager
def ceiling(budget: int, base: int | None) -> Iterator[Callable[[], str | None]]:
    """Hold the process below ``budget`` bytes and the slack, over ``base`` resident bytes.

    Gives the watchdog to call after every step: a complaint, or None.
    Raises `EdgewiseError` in place of whatever says that memory was refused.
    """
    torch.ones(100_000).add_(1)  # threads and their stacks exist from now on
    whole = budget + RESIDENT_SLACK
    undo = _limit(whole + RESERVED)

    def complaint() -> str | None:
        highest = highest_resident()
        if base is None or highest is None or highest - base <= whole:
            return None
        return f"The process grew to {megabytes(highest - base)} over import; {_remedy(budget)}"

    try:
        yield complaint
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, MemoryError) or REFUSED.search(str(error)):
            said = str(error) or type(error).__name__  # Python's own says nothing
            raise EdgewiseError(f"More memory was needed than the budget allows ({said}); {_remedy(budget)}") from error
        raise
    finally:
        undo()


def _limit(room: int) -> Callable[[], None]:
    """Let this process's data grow by ``room`` bytes at most; returns what takes the limit away again."""
    if resource is None:
        return lambda: None
    try:
        sizes = dict(line.split(":", 1) for line in STATUS.read_text().splitlines())
        held = 1024 * int(sizes["VmData"].split()[0])
        soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (held + room if hard < 0 else min(held + room, hard), hard))
    except (OSError, ValueError, KeyError):
        return lambda: None
    return lambda: resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _remedy(budget: int) -> str:
    return (
        f"the budget is {megabytes(budget)}, and up to {megabytes(RESIDENT_SLACK)} beside it. The last checkpoint is "
        "kept: repeat the command with --resume and a larger --budget, or begin anew with a smaller --batch-size."
    )


def _in_words(best: Prediction, budget: int) -> str:
    return (
        f"For {megabytes(budget)}: {best.option.method} (grade {best.grade}), {_stored(best.option.lean)}; a training "
        f"step is predicted to take {megabytes(best.peak)}, the rest of the command up to {megabytes(BESIDES)} more."
    )


def _stored(lean: Lean) -> str:
    images = "the whole batch" if lean.chunk == 0 else f"{lean.chunk} photo{'s' if lean.chunk > 1 else ''}"
    again = ", computing again what is cheap" if lean.recompute else ""
    return f"{images} at a time, frozen weights in {lean.frozen_bits} bits{again}"
