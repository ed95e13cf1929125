"""``edgewise subnets``: train several sparse networks in one set of weights, and leave a run folder behind."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edgewise.backbones import load, with_classes
from edgewise.core.progress import Listener, Silent
from edgewise.core.runs import RunFolder
from edgewise.core.units import percent
from edgewise.data.sets import ImageSet
from edgewise.data.transforms import Augment
from edgewise.data.workers import default_workers
from edgewise.jobs.photos import counts_in_words, data_notes, look_at
from edgewise.jobs.subnets_request import SubNetsRequest as SubNetsRequest
from edgewise.jobs.subnets_request import resolved
from edgewise.jobs.subnets_results import finish
from edgewise.subnets import SubNets, SubNetTask, places_for, trainer
from edgewise.subnets import SubNetSettings as SubNetSettings
from edgewise.train.classify import ClassifyTask, TrainSettings
from edgewise.train.loop import run
from edgewise.train.schedule import SCHEDULES

SHOWN = ("epoch", "train_loss")  # and the validation accuracy of every sub-net


def subnets(
    request: SubNetsRequest,
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
    chosen = request.subnets
    backbone = load(
        request.backbone if module is None else module,
        weights=request.weights,
        width=request.width,
        image_size=request.image_size,
        seed=request.seed,
    )
    places_for(backbone, chosen.sub_nets, chosen.dense_head)  # what does not fit is refused before photos are read
    folder, settings = RunFolder(out), resolved(request)
    folder.started(settings, resume)
    images = look_at(request, listener)
    backbone = with_classes(backbone, images.classes, request.head == "fresh", request.seed)
    net = SubNets(backbone, chosen.sub_nets, chosen.norms, chosen.dense_head)
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # before the task holds its tensors
    task = _task(net, images, request)  # what the run is too short for is refused now
    folder.create(settings, resume)
    folder.say(f"{'resumed' if resume else 'started'}: {command or 'from Python'}")
    notes = [*backbone.notes, *net.notes, *data_notes(images, None)]
    for note in [counts_in_words(images), *notes]:
        listener.note(note)
        folder.say(note)
    listener.stage(
        f"{chosen.kind.title}: {', '.join(net.names)} sparse; {request.epochs} epochs on {len(images.train):,} photos"
    )
    place = run(task, request.epochs, folder.checkpoint, Watching(listener), resume, measures=task.measures, last=True)
    return finish(task, images, request, place, notes, folder, command, began, listener)


def _task(net: SubNets, images: ImageSet, request: SubNetsRequest) -> SubNetTask:
    in_epoch = -(-len(images.train) // request.batch_size)
    training = trainer(net, request.subnets, in_epoch * request.epochs, request.weight_decay, request.seed)
    passes = ClassifyTask(
        net,
        {},
        {"main": request.lr},
        net.changing(),
        images.train,
        images.val,
        net.backbone.input,
        Augment(request.crop_scale, request.flip, pad=request.pad),
        TrainSettings(
            epochs=request.epochs,
            batch_size=request.batch_size,
            label_smoothing=request.label_smoothing,
            workers=default_workers() if request.workers is None else request.workers,
            seed=request.seed,
            precision=request.precision,
        ),
        {"backbone": net.backbone.fingerprint},
        training,
        SCHEDULES[request.schedule],
    )
    return SubNetTask(net, training, passes)


class Watching:
    """A listener between the loop and the user: shows the columns that matter here, a sub-net each."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    def stage(self, text: str) -> None:
        self._listener.stage(text)

    def progress(self, done: int, total: int) -> None:
        self._listener.progress(done, total)

    def note(self, text: str) -> None:
        self._listener.note(text)

    def epoch(self, row: Mapping[str, Any], epochs: int) -> None:
        own = {name: percent(accuracy) for name, accuracy in row["sub_nets"].items()}
        self._listener.epoch({**{name: row[name] for name in SHOWN}, **own, "seconds": row["seconds"]}, epochs)
