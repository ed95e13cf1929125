"""``edgewise reprogram``: a frozen model serves other photos by what goes in and how its answers are read."""

import contextlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgewise.core.progress import Listener, Silent
from edgewise.core.runs import RunFolder
from edgewise.cost.resident import forget_highest, highest_resident, resident
from edgewise.data.loader import batches
from edgewise.data.sets import Sample
from edgewise.jobs.reprogram_opening import LEDGER
from edgewise.jobs.reprogram_preparing import Prepared, prepare
from edgewise.jobs.reprogram_request import ReprogramRequest as ReprogramRequest
from edgewise.jobs.reprogram_request import resolve_parts, resolved
from edgewise.jobs.reprogram_results import complete, finish
from edgewise.jobs.reprogram_source import reach
from edgewise.reprogram import BlackBox, BudgetExceededError, Ledger, Reprogrammed
from edgewise.reprogram import UnreachableError as UnreachableError
from edgewise.reprogram.base import Source

AT_ONCE = 32


def reprogram(
    request: ReprogramRequest,
    out: Path,
    token: str | None = None,
    resume: bool = False,
    command: str = "",
    listener: Listener | None = None,
) -> dict[str, Any]:
    """Run the request, leave a run folder at ``out`` and return its record.

    What a source that only answers has said lies in ``queries.sqlite``: a run that goes on pays for nothing again but
    the four fixed samples by which the model is known again.  ``token`` is for an address, and is written nowhere.

    Raises `EdgewiseError` with the remedy for everything a user can mend, before anything is asked where that can be
    known; `UnreachableError` where the source has gone away and the run can go on later.
    """
    listener, began, base = listener or Silent(), time.monotonic(), resident()
    fresh = forget_highest()
    resolve_parts(request)  # a mistyped name is told before a model is loaded
    with contextlib.closing(reach(request.asked, token)) as reached:
        prepared = prepare(request, reached, RunFolder(out), resume, listener)
        folder = prepared.folder
        folder.create(resolved(request, prepared.parts), resume)
        folder.say(f"{'resumed' if resume else 'started'}: {command or 'from Python'}")
        for note in prepared.notes:
            listener.note(note)
            folder.say(note)
        with _ledger(prepared) as ledger:
            source = reached.source(ledger)
            if resume and isinstance(source, BlackBox) and source.probed:
                _check_same_model(source, listener)
            model = _trained(prepared, source, resume, listener)
            record = finish(prepared, model, command, listener)
    highest = highest_resident()
    if fresh and base is not None and highest is not None:
        record["cost"]["measured_rss_mb"] = round((highest - base) / 1e6, 1)
    return complete(folder, {**record, "seconds": round(time.monotonic() - began, 2)})


def _check_same_model(source: BlackBox, listener: Listener) -> None:
    try:
        source.check_unchanged()
    except BudgetExceededError:
        listener.note("The budget does not reach to see whether the model is still the same; the run goes on.")


@contextlib.contextmanager
def _ledger(prepared: Prepared) -> Iterator[Ledger | None]:
    """What the run's source is asked through; None where it is here and may be looked into."""
    request = prepared.request
    if not request.answers_only:
        yield None
        return
    with contextlib.closing(Ledger(prepared.folder.root / LEDGER, request.budget, request.price)) as ledger:
        yield ledger


def _trained(prepared: Prepared, source: Source, resume: bool, listener: Listener) -> Reprogrammed:
    request, images, plan = prepared.request, prepared.images, prepared.plan
    listener.stage(f"Reading {len(images.train) + len(images.val):,} photos")
    photos = _decoded(prepared, (*images.train, *images.val), listener)
    train, val = photos[: len(images.train)], photos[len(images.train) :]
    model = Reprogrammed(
        source,
        **prepared.parts,
        epochs=plan.epochs,
        batch_size=request.batch_size,
        seed=request.seed,
        samples=prepared.samples,
        steps=plan.steps,
    )
    checked = (val, _classes_of(images.val, images.classes)) if images.val else None
    return model.fit(
        train, _classes_of(images.train, images.classes), checked, prepared.folder.checkpoint, resume, listener
    )


def _decoded(prepared: Prepared, samples: Sequence[Sample], listener: Listener) -> Tensor:
    """Photos as bytes (N, 3, S, S), all of them in memory."""
    side = prepared.preprocess.size
    found, done = torch.empty(len(samples), 3, side, side, dtype=torch.uint8), 0
    order = range(len(samples))
    for photos, _ in batches(samples, order, AT_ONCE, prepared.preprocess, None, 0, 0, prepared.workers):
        found[done : done + len(photos)] = photos
        done += len(photos)
        listener.progress(done, len(samples))
    return found


def _classes_of(samples: Sequence[Sample], classes: Sequence[str]) -> NDArray[Any]:
    return np.array(classes)[[sample.label for sample in samples]]
