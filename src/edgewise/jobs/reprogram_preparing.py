"""Everything about a reprogramming that is settled before its source is asked anything."""

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from edgewise.core.errors import UsageError
from edgewise.core.preprocess import Preprocess
from edgewise.core.progress import Listener
from edgewise.core.runs import RunFolder
from edgewise.core.units import megabytes
from edgewise.data import open_data
from edgewise.data.sets import ImageSet
from edgewise.data.verify import verify
from edgewise.data.workers import default_workers
from edgewise.jobs.doctor import available_memory
from edgewise.jobs.photos import counts_in_words, data_notes
from edgewise.jobs.reprogram_plan import QueryPlan, amounts, in_words, within
from edgewise.jobs.reprogram_request import (
    COARSE,
    EPOCHS,
    Parts,
    ReprogramRequest,
    resolve_parts,
    resolved,
    settled,
    side_of,
)
from edgewise.jobs.reprogram_source import Reached, check_reads_photos
from edgewise.reprogram import Space, first_program

SHARE_OF_MEMORY = 0.8
VAGUE = 0.15
"""Cosine of an estimate with the gradient below which training without gradients gets nowhere soon."""


@dataclass(frozen=True)
class Prepared:
    """A request with its parts, photos and source; ``compared``: the mapping alone is scored too."""

    request: ReprogramRequest
    parts: Parts
    reached: Reached
    folder: RunFolder
    images: ImageSet
    preprocess: Preprocess
    plan: QueryPlan
    compared: bool
    notes: tuple[str, ...]

    @property
    def samples(self) -> Space:
        """What a photo is before the program gets it."""
        return photos_of(self.preprocess)

    @property
    def workers(self) -> int:
        """Processes that decode."""
        return default_workers() if self.request.workers is None else self.request.workers


def prepare(
    request: ReprogramRequest, reached: Reached, folder: RunFolder, resume: bool, listener: Listener
) -> Prepared:
    """Settle what the run does; touches nothing on the disk.

    Raises `UsageError` where the parts, the source and the photos do not go together, the photos have no room, or the
    budget does not reach for the least that must be asked.
    """
    check_reads_photos(reached)
    parts = settled(resolve_parts(request), reached.takes)
    preprocess = Preprocess(side_of(parts, reached.takes))
    program = first_program(parts, photos_of(preprocess), reached.takes, not request.answers_only)
    folder.started(resolved(request, parts), resume)
    images = open_data(Path(request.data), request.val_fraction, request.seed)
    nothing = torch.zeros(0, reached.classes), torch.zeros(0, dtype=torch.long)
    reader = parts["mapping"].fit(*nothing, len(images.classes))
    compared = not list(reader.parameters()) or parts["mapping"].needs_scores
    total = len(images.train) + len(images.val) + len(images.test)
    listener.stage(f"Looking at {total:,} photos of {len(images.classes)} classes")
    images = verify(images, request.max_bad, request.workers, listener)
    check_room(len(images.train) + len(images.val), preprocess.size, available_memory())
    plan, said = _planned(request, parts, images, compared)
    assert isinstance(program, nn.Module)
    count = sum(parameter.numel() for parameter in program.parameters())
    notes = [
        *reached.notes,
        *data_notes(images, "Look at the accuracy of each class."),
        f"Photos are read at {preprocess.size} x {preprocess.size} pixels; the program has {count:,} numbers to train.",
        *_vague(parts, count),
        *said,
    ]
    return Prepared(
        request, parts, reached, folder, images, preprocess, plan, compared, (counts_in_words(images), *notes)
    )


def photos_of(preprocess: Preprocess) -> Space:
    """Colour images of its size, 0 to 1."""
    return Space((3, preprocess.size, preprocess.size), 0.0, 1.0)


def check_room(photos: int, side: int, available: int | None) -> None:
    """Raise `UsageError` where ``photos`` of ``side`` x ``side`` pixels do not fit into the memory that is there."""
    needed = photos * 3 * side * side
    if available is not None and needed > SHARE_OF_MEMORY * available:
        raise UsageError(
            f"{photos:,} training and validation photos at {side} x {side} pixels take {megabytes(needed)} of memory, "
            f"and {megabytes(available)} are free: use fewer photos, or smaller ones (--set pad.size=N)."
        )


def _planned(request: ReprogramRequest, parts: Parts, images: ImageSet, compared: bool) -> tuple[QueryPlan, list[str]]:
    counts = len(images.train), len(images.val), len(images.test)
    has = amounts(counts, parts["mapping"], parts["trainer"], request.batch_size, compared)
    plan = within(has, request.epochs, EPOCHS, request.budget)
    if not request.answers_only:
        return plan, []
    return plan, in_words(plan, has, request.epochs, request.budget, request.price)


def _vague(parts: Parts, count: int) -> list[str]:
    """That an estimate of so many numbers is worth little, where it is (`reprogram.trainers.estimators`)."""
    trainer = parts["trainer"]
    if trainer.follows_gradients:
        return []
    directions = trainer.evaluations()
    cosine = math.sqrt(directions / (count + directions))
    if cosine >= VAGUE:
        return []
    transform = parts["transform"]
    grid = dataclasses.asdict(transform).get("grid", COARSE)
    advice = "" if 0 < grid <= COARSE else f" A coarser one (--set {transform.name}.grid={COARSE}) learns faster."
    return [
        f"{count:,} numbers are many to train without gradients: a step of {directions} answers to every photo points "
        f"about {100 * cosine:.0f} % of the way.{advice}"
    ]
