"""``edgewise predict``: name what is on photos."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import torch

from edgewise.core.errors import UsageError
from edgewise.core.progress import Listener, Silent
from edgewise.data.images import SUFFIXES, BadImage, open_image
from edgewise.data.transforms import evaluation_image
from edgewise.jobs.any_opening import open_run
from edgewise.jobs.opening import Opened
from edgewise.jobs.reprogram_opening import asked_now


def predict(
    run: Path,
    photos: Sequence[Path],
    weights: str | None = None,
    top: int = 1,
    listener: Listener | None = None,
    source: str | None = None,
    token: str | None = None,
) -> list[dict[str, Any]]:
    """One row a photo: ``file, label, confidence, top`` ([[label, probability], …]) and ``error``.

    Folders stand for the photos in them.  A photo that cannot be read has an ``error`` and no
    label; the others are still answered.  ``source`` and ``token`` are for a reprogrammed model, see `open_run`.
    Raises `UsageError` when there is no photo at all.
    """
    listener = listener or Silent()
    paths = _expanded(photos)
    rows = []
    with closing(open_run(run, weights, source, token)) as opened:
        for number, path in enumerate(paths, 1):
            rows.append(predict_one(opened, path, top))
            listener.progress(number, len(paths))
        for asked in asked_now(opened).values():
            listener.note(f"The source was asked {asked['queries']:,} queries; answers that the run had cost nothing.")
    return rows


@torch.no_grad()
def predict_one(opened: Opened, path: Path, top: int = 1) -> dict[str, Any]:
    """The row of one photo."""
    try:
        image = evaluation_image(open_image(path, at_least=opened.preprocess.resize), opened.preprocess)
    except BadImage as error:
        return {"file": str(path), "label": None, "confidence": None, "top": [], "error": error.reason}
    logits = opened.model(image.unsqueeze(0))
    values, rows = logits.float().softmax(1)[0].topk(min(top, len(opened.classes)))
    ranked = [[opened.classes[row], value] for row, value in zip(rows.tolist(), values.tolist(), strict=True)]
    return {"file": str(path), "label": ranked[0][0], "confidence": ranked[0][1], "top": ranked, "error": None}


def _expanded(photos: Sequence[Path]) -> list[Path]:
    paths = []
    for photo in photos:
        if photo.is_dir():
            inside = (p for p in photo.rglob("*") if p.is_file() and p.suffix.lower() in SUFFIXES)
            paths += sorted(p for p in inside if not p.name.startswith("."))
        elif photo.exists():
            paths.append(photo)
        else:
            raise UsageError(f"There is no photo or folder at {photo}.")
    if not paths:
        raise UsageError(f"There are no photos in {', '.join(map(str, photos))} ({', '.join(sorted(SUFFIXES))}).")
    return paths
