"""``edgewise profile``: the memory of one training step, published, predicted and measured."""

from typing import Any

from edgewise.core.progress import Listener, Silent
from edgewise.jobs.step_process import in_process
from edgewise.jobs.training_step import StepRequest as StepRequest


def profile(request: StepRequest, measure: bool = False, listener: Listener | None = None) -> dict[str, Any]:
    """The three numbers side by side (MB), what is in the fullest moment, and the line of memory over a step.

    The prediction runs first, in a process of its own, and knows nothing of the measurement, which
    runs (with ``measure``) in another one.
    """
    listener = listener or Silent()
    listener.stage("Predicting")
    predicted = in_process("predict", request)
    measured: dict[str, Any] = {}
    if measure:
        listener.stage("Measuring")
        measured = in_process("measure", request)
    empty = dict.fromkeys(("kept_mb", "measured_peak_mb", "measured_rss_mb", "step_ms"))
    return {**empty, **predicted, **measured}
