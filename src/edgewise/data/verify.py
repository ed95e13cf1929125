"""Look at every photo once before training, so that a bad one is found now and not at night."""

import dataclasses
import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from edgewise.core.errors import EdgewiseError
from edgewise.core.progress import Listener, Silent
from edgewise.data.found import counted, listed
from edgewise.data.images import BadImage, open_image
from edgewise.data.sets import ImageSet
from edgewise.data.workers import default_workers, settle_in, starting_workers, worker_died

SHOWN = 10
TOGETHER = 16  # photos handed to a worker at once
_SILENT = Silent()


def verify(
    images: ImageSet, max_bad: float = 0.01, workers: int | None = None, listener: Listener = _SILENT
) -> ImageSet:
    """``images`` without the photos that cannot be decoded, which are added to ``skipped``.

    JPEGs are decoded at an eighth of their size: quick, yet every byte is read.  ``workers`` 0
    decodes in this process; None is `default_workers`.

    Raises `EdgewiseError` when the bad ones are more than ``max_bad`` (a share of all photos), or
    a class would be left without training photos.
    """
    paths = [sample.path for samples in images.parts().values() for sample in samples]
    bad: dict[Path, str] = {}
    for number, (path, reason) in enumerate(_reasons(paths, default_workers() if workers is None else workers), 1):
        if reason is not None:
            bad[path] = reason
        listener.progress(number, len(paths))
    if not bad:
        return images
    if len(bad) / len(paths) > max_bad:
        raise EdgewiseError(_too_many(images, bad, len(paths), max_bad))
    left = {part: tuple(s for s in samples if s.path not in bad) for part, samples in images.parts().items()}
    skipped = tuple((Path(images.name_of(path)), reason) for path, reason in bad.items())
    kept = dataclasses.replace(
        images, train=left["train"], val=left["val"], test=left["test"], skipped=(*images.skipped, *skipped)
    )
    before, after = images.counts()["train"], kept.counts()["train"]
    if lost := [name for name in images.classes if before[name] and not after[name]]:
        raise EdgewiseError(
            f"No training photo of {listed(lost)} can be read:{_shown(images, bad)}\nReplace them, or remove the class."
        )
    if not any(kept.parts().values()):
        raise EdgewiseError(f"None of the photos can be read:{_shown(images, bad)}")
    return kept


def _reasons(paths: Sequence[Path], workers: int) -> Iterator[tuple[Path, str | None]]:
    if workers == 0 or len(paths) <= TOGETHER:
        yield from zip(paths, map(_fault, paths), strict=True)
        return
    pool = ProcessPoolExecutor(workers, initializer=settle_in)
    try:
        with starting_workers():
            faults = pool.map(_fault, paths, chunksize=TOGETHER)
        yield from zip(paths, faults, strict=True)
    except BrokenProcessPool as error:
        raise worker_died(error) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _fault(path: Path) -> str | None:
    try:
        open_image(path, at_least=1)
    except BadImage as error:
        return error.reason
    return None


def _too_many(images: ImageSet, bad: dict[Path, str], total: int, max_bad: float) -> str:
    share = 100 * len(bad) / total
    enough = min(100, math.ceil(share))
    return (
        f"{len(bad):,} of {counted(total, 'photo')} cannot be read ({share:.1f} %), and --max-bad puts up with "
        f"{100 * max_bad:g} %:{_shown(images, bad)}\nRepair or remove them, or go on without them: --max-bad {enough}%"
    )


def _shown(images: ImageSet, bad: dict[Path, str]) -> str:
    lines = [f"\n    {images.name_of(path)}: {reason}" for path, reason in list(bad.items())[:SHOWN]]
    return "".join(lines) + (f"\n    and {len(bad) - SHOWN:,} more" if len(bad) > SHOWN else "")
