"""``edgewise fit``: adapt a backbone to a folder of photos, and leave a run folder behind."""

import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from edgewise.adapt import METHODS, Adapted, Method, adapt
from edgewise.backbones import load
from edgewise.core.errors import EdgewiseError, unknown
from edgewise.core.progress import Listener, Silent
from edgewise.core.runs import RunFolder
from edgewise.core.settings import check, setting, with_texts
from edgewise.core.units import megabytes
from edgewise.cost import Cost, cost
from edgewise.cost.resident import forget_highest, highest_resident, resident
from edgewise.data import open_data
from edgewise.data.loader import default_workers
from edgewise.data.sets import ImageSet
from edgewise.data.transforms import Augment
from edgewise.data.verify import verify
from edgewise.jobs.environment import environment
from edgewise.jobs.results import evaluate_run, save_artifact
from edgewise.report import write_report
from edgewise.train.classify import ClassifyTask, TrainSettings
from edgewise.train.loop import Position, run

IMBALANCE_WORTH_SAYING = 5.0


@dataclass(frozen=True)
class FitRequest:
    """Everything ``edgewise fit`` can be told; the defaults are the command's."""

    data: str
    backbone: str = "mobilenet_v2"
    width: float | None = None
    weights: str | None = None
    method: str = "repnet"
    method_settings: Mapping[str, str] = field(default_factory=dict)
    epochs: int = setting(10, "times every photo is seen", low=1, high=100_000)
    batch_size: int = setting(8, "photos in a step", low=1, high=65_536)
    image_size: int | None = setting(None, "side of the network's input in pixels", low=8, high=4096)
    lr: float | None = setting(None, "learning rate of the head", low=0)
    side_lr: float | None = setting(None, "learning rate of the method's own part", low=0)
    label_smoothing: float = setting(0.0, "share of the target spread over all classes", low=0, high=0.99)
    val_fraction: float = setting(0.15, "share of train that becomes val where there is none", low=0, high=0.9)
    balance: bool = False
    colour: str = setting("none", "colour jitter", choices=("none", "torch", "tf"))
    flip: bool = True
    crop_scale: float = setting(0.22, "smallest share of a photo that a training crop shows", low=0.01, high=1)
    max_bad: float = setting(0.01, "share of unreadable photos to put up with", low=0, high=1)
    workers: int | None = setting(None, "processes that decode photos", low=0, high=256)
    seed: int = setting(0, "seed of everything random", low=0, high=2**31 - 1)

    def __post_init__(self) -> None:
        check(self)


def fit(
    request: FitRequest, out: Path, resume: bool = False, command: str = "", listener: Listener | None = None
) -> dict[str, Any]:
    """Run the request in a fresh process and return its record, resident memory included.

    Raises `EdgewiseError` with the remedy for everything a user can mend; see `fit_run`.
    """
    base = resident()
    fresh = forget_highest()
    record = fit_run(request, out, resume, command, listener)
    highest = highest_resident()
    if fresh and base is not None and highest is not None:
        record["cost"]["measured_rss_mb"] = round((highest - base) / 1e6, 1)
        folder = RunFolder(out)
        folder.write_record(record)
        write_report(out)
    return record


def fit_run(
    request: FitRequest, out: Path, resume: bool = False, command: str = "", listener: Listener | None = None
) -> dict[str, Any]:
    """The same inside a process that did other things before (no resident memory in the record)."""
    began = time.monotonic()
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
    folder.create(_config(request, method), resume)
    folder.say(f"{'resumed' if resume else 'started'}: {command or 'from Python'}")
    notes = list(backbone.notes)
    workers = default_workers() if request.workers is None else request.workers

    images = open_data(Path(request.data), request.val_fraction, request.seed)
    total = len(images.train) + len(images.val) + len(images.test)
    listener.stage(f"Looking at {total:,} photos of {len(images.classes)} classes")
    images = verify(images, request.max_bad, workers, listener)
    notes += _data_notes(images, request.balance)
    for note in notes:
        listener.note(note)
        folder.say(note)

    model = adapt(backbone, method, images.classes, request.seed)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    sizes = model.sizes()
    listener.note(
        f"{method.title}: {sizes['trainable_params']:,} of {sizes['total_params']:,} parameters train "
        f"({100 * sizes['trainable_params'] / sizes['total_params']:.1f} %)."
    )
    settings = TrainSettings(
        method.lr,
        method.side_lr,
        request.epochs,
        request.batch_size,
        request.label_smoothing,
        request.balance,
        workers,
        request.seed,
    )
    listener.stage(f"Training for {request.epochs} epochs on {len(images.train):,} photos")
    place = _train(model, images, settings, request, folder, listener, resume)

    listener.stage("Scoring, saving and checking the adapter")
    scored = evaluate_run(model, images, folder, workers)
    batch = (request.batch_size, 3, backbone.input.size, backbone.input.size)
    measured = cost(model, batch)
    metrics = {
        **scored.metrics,
        "val_accuracy": place.history[place.best_epoch - 1]["val_accuracy"],
        "best_epoch": place.best_epoch,
    }
    artifact_bytes = save_artifact(model, request.backbone, request.weights, metrics, images, folder)
    record = {
        "kind": "fit",
        "command": command,
        "config": {**_config(request, method), "image_size": backbone.input.size},
        "environment": environment(),
        "seeds": {"seed": request.seed},
        "data": _data_record(images),
        "metrics": metrics,
        "cost": measured.to_json(),
        "sizes": {**sizes, "artifact_bytes": artifact_bytes, "backbone_bytes": _bytes_of(model)},
        "history": place.history,
        "notes": notes,
        "mistakes": scored.mistakes,
        "seconds": round(time.monotonic() - began, 2),
    }
    folder.write_metrics(place.history)
    folder.write_record(record)
    folder.say(f"finished: {metrics['split']} accuracy {metrics['accuracy']:.4f}, adapter {megabytes(artifact_bytes)}")
    write_report(out)
    return record


def resolve_method(request: FitRequest) -> Method:
    """The method with its settings; raises `UsageError` for a name or value it does not know."""
    kind = METHODS.get(request.method)
    if kind is None:
        raise unknown("method", request.method, METHODS)
    method = with_texts(kind(), request.method_settings)
    rates = {"lr": request.lr, "side_lr": request.side_lr}
    return dataclasses.replace(method, **{k: v for k, v in rates.items() if v is not None})  # type: ignore[type-var]


def _train(
    model: Adapted,
    images: ImageSet,
    settings: TrainSettings,
    request: FitRequest,
    folder: RunFolder,
    listener: Listener,
    resume: bool,
) -> Position:
    task = ClassifyTask(
        model,
        model.groups,
        model.changing(),
        images.train,
        images.val,
        model.backbone.input,
        Augment(request.crop_scale, request.flip, request.colour),
        settings,
        {"backbone": model.backbone.fingerprint},
    )
    return run(task, request.epochs, folder.checkpoint, listener, resume)


def _config(request: FitRequest, method: Method) -> dict[str, Any]:
    values = dataclasses.asdict(request)
    del values["method_settings"]
    fields = dataclasses.asdict(method)  # type: ignore[call-overload]
    return {**values, "lr": fields.pop("lr"), "side_lr": fields.pop("side_lr"), "settings": fields}


def _data_record(images: ImageSet) -> dict[str, Any]:
    return {
        "train": len(images.train),
        "val": len(images.val),
        "test": len(images.test),
        "classes": list(images.classes),
        "counts": images.counts(),
        "skipped": [{"file": str(path), "reason": reason} for path, reason in images.skipped],
    }


def _data_notes(images: ImageSet, balance: bool) -> list[str]:
    notes = []
    counts = images.counts()["train"]
    if images.imbalance() > IMBALANCE_WORTH_SAYING and not balance:
        most, least = max(counts, key=lambda k: counts[k]), min(counts, key=lambda k: counts[k])
        notes.append(
            f"The classes are uneven: {most} has {counts[most]} training photos, {least} {counts[least]}. "
            "--balance draws every class equally often."
        )
    if images.skipped:
        notes.append(f"{len(images.skipped)} unreadable photos were skipped; record.json names them.")
    if not images.val:
        notes.append("There is no validation set, so the last epoch is kept.")
    return notes


def _bytes_of(model: Adapted) -> int:
    return sum(t.numel() * t.element_size() for t in model.network.state_dict().values())
