"""``edgewise fit``: adapt a backbone to a folder of photos, and leave a run folder behind."""

import gc
import time
from pathlib import Path
from typing import Any

import torch

from edgewise.adapt import Adapted, adapt_in_place
from edgewise.backbones import load
from edgewise.core.progress import Listener, Silent
from edgewise.core.runs import RunFolder
from edgewise.core.units import megabytes
from edgewise.cost import cost
from edgewise.cost.resident import forget_highest, highest_resident, resident
from edgewise.data.sets import ImageSet
from edgewise.data.transforms import Augment
from edgewise.data.workers import default_workers
from edgewise.jobs.budget import ceiling, within_budget
from edgewise.jobs.environment import environment
from edgewise.jobs.frozen import Rounding, round_frozen
from edgewise.jobs.photos import counts_in_words, data_notes, data_record, look_at
from edgewise.jobs.process import OURS, USERS, Process
from edgewise.jobs.request import FitRequest, resolve_method, resolved
from edgewise.jobs.results import check_artifact, evaluate_run, finish_artifact, promise, save_adapter
from edgewise.lean import kept_bytes, make_lean, make_plain
from edgewise.lean import lean_named as lean_named
from edgewise.native.allocator import forget_code, give_memory_back
from edgewise.plan import parse_budget as parse_budget
from edgewise.report import write_report
from edgewise.train.classify import ClassifyTask, TrainSettings
from edgewise.train.loop import Position, Watchdog, run


def fit(
    request: FitRequest,
    out: Path,
    resume: bool = False,
    command: str = "",
    listener: Listener | None = None,
    budget: int | None = None,
    any_method: bool = False,
) -> dict[str, Any]:
    """Run the request in a fresh process and return its record, resident memory included.

    With a ``budget`` in bytes it chooses how to store the backward pass (and the method, where
    ``any_method``) by a plan, and is held below it (`edgewise.jobs.budget`).

    Raises `EdgewiseError` with the remedy for everything a user can mend; see `fit_run`.
    """
    base = resident()
    forget_code()
    fresh = forget_highest()
    if budget is None:
        record = fit_run(request, out, resume, command, listener, OURS if request.lean is not None else USERS)
    else:
        listener = listener or Silent()
        request, choice = within_budget(request, budget, any_method, RunFolder(out), resume, listener)
        with ceiling(budget, base) as watchdog:
            frugal = Process(lambda images, kept: give_memory_back(), watchdog)
            record = fit_run(request, out, resume, command, listener, frugal)
        record["budget"] = choice
        RunFolder(out).write_record(record)
    highest = highest_resident()
    if fresh and base is not None and highest is not None:
        record["cost"]["measured_rss_mb"] = round((highest - base) / 1e6, 1)
        RunFolder(out).write_record(record)
        write_report(out)
    return record


def fit_run(
    request: FitRequest,
    out: Path,
    resume: bool = False,
    command: str = "",
    listener: Listener | None = None,
    process: Process = USERS,
) -> dict[str, Any]:
    """The same inside a process that did other things before (no resident memory in the record)."""
    listener = listener or Silent()
    method = resolve_method(request)
    backbone = load(
        request.backbone,
        weights=request.weights,
        width=request.width,
        image_size=request.image_size,
        seed=request.seed,
    )
    folder = RunFolder(out)
    folder.started(resolved(request, method), resume)
    images = look_at(request, listener)
    folder.create(resolved(request, method), resume)
    folder.say(f"{'resumed' if resume else 'started'}: {command or 'from Python'}")
    model = [adapt_in_place(backbone, method, images.classes, request.seed)]
    del backbone  # nobody but `train_and_save` holds the network, so that it can let go of it
    return train_and_save(model.pop(), images, request, folder, resume, command, listener, process)


def train_and_save(
    model: Adapted,
    images: ImageSet,
    request: FitRequest,
    folder: RunFolder,
    resume: bool,
    command: str,
    listener: Listener,
    process: Process = USERS,
) -> dict[str, Any]:
    """Train ``model``, score it once, save and check the artifact, write record and report."""
    began = time.monotonic()
    uneven = None if request.balance else "--balance draws every class equally often."
    sizes, notes = model.sizes(), [*model.backbone.notes, *data_notes(images, uneven)]
    for note in [counts_in_words(images), *notes]:
        listener.note(note)
        folder.say(note)
    listener.note(
        f"{model.method.title}: {sizes['trainable_params']:,} of {sizes['total_params']:,} parameters train "
        f"({100 * sizes['trainable_params'] / sizes['total_params']:.1f} %)."
    )
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    process.settle(0, 0)
    rounding, said = _made_lean(model, images, request, listener)
    for note in said:
        listener.note(note)
        notes.append(note)
    listener.stage(f"Training for {request.epochs} epochs on {len(images.train):,} photos")
    process.settle(*_at_once(model, request))
    place = _train(model, images, request, folder, resume, listener, process.watchdog)

    listener.stage("Scoring, saving and checking the adapter")
    scored = evaluate_run(model, model.backbone.input, images, folder, _workers(request))
    metrics = {
        **scored.metrics,
        "val_accuracy": place.history[place.best_epoch - 1]["val_accuracy"],
        "best_epoch": place.best_epoch,
    }
    adapter = save_adapter(model, folder)
    size = model.backbone.input.size
    record = {
        "kind": "fit",
        "command": command,
        "config": {**resolved(request, model.method), "image_size": size},
        "environment": environment(),
        "seeds": {"seed": request.seed},
        "data": data_record(images),
        "metrics": metrics,
        "lean": rounding.to_json(),
        "cost": cost(model, (request.batch_size, 3, size, size)).to_json(),
        "sizes": {**sizes, "artifact_bytes": adapter["bytes"], "backbone_bytes": model.backbone_bytes()},
        "history": place.history,
        "notes": notes,
        "mistakes": scored.mistakes,
        "seconds": round(time.monotonic() - began, 2),
    }
    finish_artifact(model, request.weights, adapter, record, folder)
    promised = promise(model, images)
    del model  # the artifact is opened beside nothing
    gc.collect()
    check_artifact(promised, folder.artifact, request.lean)
    folder.write_metrics(place.history)
    folder.write_record(record)
    folder.say(
        f"finished: {metrics['split']} accuracy {metrics['accuracy']:.4f}, adapter {megabytes(adapter['bytes'])}"
    )
    write_report(folder.root)
    return record


def _made_lean(
    model: Adapted, images: ImageSet, request: FitRequest, listener: Listener
) -> tuple[Rounding, tuple[str, ...]]:
    """How the frozen weights are held from now on, and what the user should know about it."""
    if request.lean is None:
        make_plain(model)
        return Rounding(), ()
    if request.lean.frozen_bits == 32:
        return Rounding(), make_lean(model, request.lean)
    listener.stage("Rounding the frozen weights to 8 bits")
    rounding, notes = round_frozen(model, request.lean, images.train, model.backbone.input)
    return rounding, (rounding.in_words(), *notes)


def _at_once(model: Adapted, request: FitRequest) -> tuple[int, int]:
    """Images that a step takes at once, and bytes that it keeps."""
    size = model.backbone.input.size
    chunk = request.batch_size if request.lean is None else request.lean.chunk or request.batch_size
    return chunk, kept_bytes(model.train(), torch.empty(request.batch_size, 3, size, size, dtype=torch.uint8))


def _train(
    model: Adapted,
    images: ImageSet,
    request: FitRequest,
    folder: RunFolder,
    resume: bool,
    listener: Listener,
    watchdog: Watchdog,
) -> Position:
    settings = TrainSettings(
        epochs=request.epochs,
        batch_size=request.batch_size,
        label_smoothing=request.label_smoothing,
        balance=request.balance,
        adam_bits=request.adam_bits,
        workers=_workers(request),
        seed=request.seed,
    )
    named = {"main": request.lr, "side": request.side_lr}
    task = ClassifyTask(
        model,
        model.groups,
        {**model.rates, **{group: rate for group, rate in named.items() if rate is not None}},
        model.changing(),
        images.train,
        images.val,
        model.backbone.input,
        Augment(request.crop_scale, request.flip, request.colour),
        settings,
        {"backbone": model.backbone.fingerprint},
    )
    return run(task, request.epochs, folder.checkpoint, listener, resume, watchdog)


def _workers(request: FitRequest) -> int:
    return default_workers() if request.workers is None else request.workers
