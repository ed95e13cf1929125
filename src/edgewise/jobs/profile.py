"""``edgewise profile``: how much memory one training step takes, before you train anything.

A training step is one batch of photos forward, backward, and the update of what trains.  The answer is
three numbers: **published** (counted by the rule of the methods' papers), **predicted** (the real code,
run on shapes without values) and **measured** (a real step, its memory counted while it runs).
"""

import time
from pathlib import Path
from typing import Any

from edgewise.core.progress import Listener, Silent
from edgewise.jobs.memory_report import check_place, write_report
from edgewise.jobs.step_process import in_process
from edgewise.jobs.training_step import StepRequest as StepRequest


def profile(
    request: StepRequest,
    measure: bool = False,
    listener: Listener | None = None,
    report: Path | None = None,
    command: str = "",
) -> dict[str, Any]:
    """The three numbers side by side (MB), what is in the fullest moment, and the line of memory over a step.

    The prediction runs first, in a process of its own, and knows nothing of the measurement, which
    runs (with ``measure``) in another one.  Where nothing is measured, the measured values are None.

    ``report`` is a file for a page with pictures, which takes some twenty predictions more; ``command``
    is what the page names as its origin.  Raises `UsageError`, before any work, where that file could
    not be written.
    """
    began = time.monotonic()
    listener = listener or Silent()
    if report is not None:
        check_place(report)
    listener.stage("Predicting")
    predicted = in_process("predict", request)
    measured: dict[str, Any] = {}
    if measure:
        listener.stage("Measuring")
        measured = in_process("measure", request)
    empty = dict.fromkeys(("kept_mb", "measured_peak_mb", "measured_rss_mb", "step_ms"))
    found = {**empty, **predicted, **measured}
    if report is not None:
        write_report(request, found, report, command, listener, began)
        found["report"] = str(report)
    return found
