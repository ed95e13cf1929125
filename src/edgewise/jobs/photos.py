"""A labelled set of photos as a run's log, notes and record tell of it."""

from pathlib import Path
from typing import Any, Protocol

from edgewise.core.progress import Listener
from edgewise.data import open_data
from edgewise.data.sets import ImageSet
from edgewise.data.verify import verify

IMBALANCE_WORTH_SAYING = 5.0
CLASSES_NAMED = 12


class AboutPhotos(Protocol):
    """What every request that trains says about its photos; see `edgewise.jobs.request.FitRequest`."""

    @property
    def data(self) -> str: ...
    @property
    def val_fraction(self) -> float: ...
    @property
    def max_bad(self) -> float: ...
    @property
    def workers(self) -> int | None: ...
    @property
    def seed(self) -> int: ...


def look_at(request: AboutPhotos, listener: Listener) -> ImageSet:
    """Find and decode the photos once, before any work is done on them."""
    images = open_data(Path(request.data), request.val_fraction, request.seed)
    total = len(images.train) + len(images.val) + len(images.test)
    listener.stage(f"Looking at {total:,} photos of {len(images.classes)} classes")
    return verify(images, request.max_bad, request.workers, listener)


def data_record(images: ImageSet) -> dict[str, Any]:
    """The section ``data`` of ``record.json``."""
    return {
        "train": len(images.train),
        "val": len(images.val),
        "test": len(images.test),
        "classes": list(images.classes),
        "counts": images.counts(),
        "skipped": [{"file": str(path), "reason": reason} for path, reason in images.skipped],
    }


def counts_in_words(images: ImageSet) -> str:
    """Photos by part and class; of many classes only the largest and the smallest."""
    counts = images.counts()
    parts = ", ".join(f"{sum(own.values()):,} {part}" for part, own in counts.items() if sum(own.values()))
    ordered = sorted(counts["train"].items(), key=lambda item: -item[1])
    if len(ordered) > CLASSES_NAMED:
        (most, many), (least, few) = ordered[0], ordered[-1]
        return f"Photos: {parts}. In train, {most} has the most ({many:,}) and {least} the fewest ({few:,})."
    return f"Photos: {parts}. In train: {', '.join(f'{name} {n:,}' for name, n in counts['train'].items())}."


def data_notes(images: ImageSet, uneven: str | None) -> list[str]:
    """What the user should know about the set; ``uneven`` is said where its classes are (None: not at all)."""
    notes = list(images.notes)
    counts = images.counts()["train"]
    if images.imbalance() > IMBALANCE_WORTH_SAYING and uneven is not None:
        most, least = max(counts, key=lambda k: counts[k]), min(counts, key=lambda k: counts[k])
        notes.append(
            f"The classes are uneven: {most} has {counts[most]} training photos, {least} {counts[least]}. {uneven}"
        )
    if images.skipped:
        notes.append(f"{len(images.skipped)} unreadable photos were skipped; record.json names them.")
    if not images.val:
        notes.append("There is no validation set, so the last epoch is kept.")
    return notes
