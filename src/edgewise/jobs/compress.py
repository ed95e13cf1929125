"""``edgewise compress``: train a network into ternary weights with empty groups, and leave a run folder behind."""

import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edgewise.backbones import load, with_classes
from edgewise.compress import Compressed, in_all, lowered, places_in, to_bytes
from edgewise.compress import Compression as Compression
from edgewise.core.progress import Listener, Silent
from edgewise.core.runs import RunFolder
from edgewise.data.sets import ImageSet
from edgewise.data.transforms import Augment
from edgewise.data.workers import default_workers
from edgewise.jobs.compress_request import CompressRequest as CompressRequest
from edgewise.jobs.compress_request import resolved
from edgewise.jobs.compress_results import finish
from edgewise.jobs.photos import counts_in_words, data_notes, look_at
from edgewise.train.classify import ClassifyTask, TrainSettings
from edgewise.train.loop import Position, run
from edgewise.train.schedule import SCHEDULES
from edgewise.train.sgd import Sgd

SHOWN = ("epoch", "train_loss", "penalty", "val_loss", "val_accuracy", "group_sparsity", "seconds")


def compress(
    request: CompressRequest,
    out: Path,
    resume: bool = False,
    command: str = "",
    listener: Listener | None = None,
    module: nn.Module | None = None,
) -> dict[str, Any]:
    """Run the request and return its record.

    ``module``: a classifier of the user's in place of the named backbone (`edgewise.backbones.load` says what it must
    be); it is trained in place.  A run that was killed and is resumed ends with the same bits as one that was not.

    Raises `UsageError`, before any work is done, for settings that do not fit the network, and `EdgewiseError` for
    everything else a user can mend.
    """
    began, listener = time.monotonic(), listener or Silent()
    backbone = load(
        request.backbone if module is None else module,
        weights=request.weights,
        width=request.width,
        image_size=request.image_size,
        seed=request.seed,
    )
    # what does not fit the network is refused before photos are read
    places_in(backbone.module, backbone.head, backbone.input.size, request.compression)
    folder, settings = RunFolder(out), resolved(request)
    folder.started(settings, resume)
    images = look_at(request, listener)
    model = Compressed(
        with_classes(backbone, images.classes, request.head == "fresh", request.seed), request.compression
    )
    to_bytes(lowered(model.network, backbone.input, images.classes))  # what cannot be written is refused now
    folder.create(settings, resume)
    folder.say(f"{'resumed' if resume else 'started'}: {command or 'from Python'}")
    notes = [*model.backbone.notes, *model.notes, *data_notes(images, None)]
    for note in [counts_in_words(images), *notes]:
        listener.note(note)
        folder.say(note)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    listener.stage(f"{request.compression.kind.title}: {request.epochs} epochs on {len(images.train):,} photos")
    place = _train(model.train(), images, request, folder, resume, listener)
    model.settle()
    return finish(model, images, request, place, notes, folder, command, began, listener)


def _train(
    model: Compressed, images: ImageSet, request: CompressRequest, folder: RunFolder, resume: bool, listener: Listener
) -> Position:
    named = list(model.named_parameters())
    task = ClassifyTask(
        model,
        {"main": [name for name, _ in named]},
        {"main": request.lr},
        model.changing(),
        images.train,
        images.val,
        model.backbone.input,
        Augment(request.crop_scale, request.flip, pad=request.pad),
        TrainSettings(
            epochs=request.epochs,
            batch_size=request.batch_size,
            workers=default_workers() if request.workers is None else request.workers,
            seed=request.seed,
            precision=request.precision,
        ),
        {"backbone": model.backbone.fingerprint},
        Sgd({"main": named}, decay=request.weight_decay),
        SCHEDULES[request.schedule],
        model.penalty if request.compression.weight else None,
    )
    watching = Watching(listener, folder)
    return run(task, request.epochs, folder.checkpoint, watching, resume, measures=partial(measured, model), last=True)


@torch.no_grad()
def measured(model: Compressed) -> dict[str, Any]:
    """What an epoch's row tells besides loss and accuracy, of the weights as they are after it."""
    layers = model.look()
    whole = in_all(layers)
    return {
        "penalty": model.penalty().item(),
        "group_sparsity": whole.group_sparsity if whole else 0.0,
        "overall_sparsity": whole.overall_sparsity if whole else 0.0,
        "layers": {name: [layer.delta, layer.zeros.group_sparsity] for name, layer in layers.items()},
    }


class Watching:
    """A listener between the loop and the user: shows the columns that matter here, and tells of empty layers."""

    def __init__(self, listener: Listener, folder: RunFolder) -> None:
        self._listener, self._folder = listener, folder
        self._told: set[str] = set()

    def stage(self, text: str) -> None:
        self._listener.stage(text)

    def progress(self, done: int, total: int) -> None:
        self._listener.progress(done, total)

    def note(self, text: str) -> None:
        self._listener.note(text)

    def epoch(self, row: Mapping[str, Any], epochs: int) -> None:
        self._listener.epoch({name: row[name] for name in SHOWN}, epochs)
        empty = [name for name, (_, sparsity) in row["layers"].items() if sparsity == 1 and name not in self._told]
        for name in empty:
            self._told.add(name)
            text = f"No weight of {name} is left after epoch {row['epoch']}: --lambda is too large for this layer."
            self.note(text)
            self._folder.say(text)
