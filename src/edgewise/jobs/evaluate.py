"""``edgewise eval``: how well a run does on labelled photos."""

from contextlib import closing
from pathlib import Path
from typing import Any

from edgewise.core.progress import Listener, Silent
from edgewise.data.sets import ImageSet, open_labelled
from edgewise.data.verify import verify
from edgewise.data.workers import default_workers
from edgewise.jobs.any_opening import open_run
from edgewise.jobs.opening import Opened
from edgewise.jobs.reprogram_opening import asked_now
from edgewise.train.classify import predict
from edgewise.train.scores import evaluation


def evaluate(
    run: Path,
    data: Path,
    weights: str | None = None,
    max_bad: float = 0.01,
    listener: Listener | None = None,
    source: str | None = None,
    token: str | None = None,
    sub_net: str | None = None,
) -> dict[str, Any]:
    """Score the run's artifact on ``data``: its test part where it has one.

    ``source`` and ``token`` are for a reprogrammed model, ``sub_net`` for a run with several, see `open_run`.  Returns
    ``accuracy`` (0-1), ``n``, ``per_class``, ``confusion``, ``classes``, ``split``, ``skipped``, and ``asked`` where a
    source only answers.
    Raises `EdgewiseError` when the classes of ``data`` are not the run's.
    """
    with closing(open_run(run, weights, source, token, sub_net)) as opened:
        found = score(opened, data, max_bad, listener or Silent())
        return {**found, **asked_now(opened)}


def score(opened: Opened, data: Path, max_bad: float, listener: Listener) -> dict[str, Any]:
    """The same for an artifact that is open already."""
    samples, split = open_labelled(data, opened.classes)
    listener.stage(f"Looking at {len(samples):,} photos")
    whole = verify(ImageSet(data, opened.classes, (), (), tuple(samples)), max_bad, default_workers(), listener)
    listener.stage(f"Scoring {len(whole.test):,} photos")
    probabilities = predict(opened.model, whole.test, opened.preprocess, default_workers())
    scores = evaluation(probabilities, [sample.label for sample in whole.test], opened.classes)
    skipped = [{"file": str(path), "reason": reason} for path, reason in whole.skipped]
    return {**scores.to_json(), "split": split, "skipped": skipped}
