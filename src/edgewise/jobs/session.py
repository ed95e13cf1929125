"""The same road from Python: ``ew.fit(model, "photos/", …)`` and ``ew.open("runs/bees")``."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import nn

from edgewise.adapt import Adapted
from edgewise.backbones import Backbone
from edgewise.core.errors import UsageError
from edgewise.core.progress import Listener, Silent
from edgewise.core.runs import RunFolder
from edgewise.jobs.any_opening import open_run
from edgewise.jobs.evaluate import score
from edgewise.jobs.fit import train_and_save
from edgewise.jobs.opening import Opened, open_artifact
from edgewise.jobs.photos import look_at
from edgewise.jobs.predict import predict_one
from edgewise.jobs.request import FitRequest, resolved


@dataclass(frozen=True)
class Run:
    """A finished run, opened on its backbone."""

    folder: Path
    opened: Opened

    @property
    def classes(self) -> tuple[str, ...]:
        return self.opened.classes

    @cached_property
    def record(self) -> Mapping[str, Any]:
        """``record.json``; raises `EdgewiseError` when only the artifact was carried along."""
        return RunFolder(self.folder).read_record()

    def predict(self, photo: str | Path, top: int = 1) -> dict[str, Any]:
        """``{file, label, confidence, top, error}`` of one photo."""
        return predict_one(self.opened, Path(photo), top)

    def evaluate(self, data: str | Path, max_bad: float = 0.01) -> dict[str, Any]:
        """Scores on labelled photos, as ``edgewise eval --json`` prints them."""
        return score(self.opened, Path(data), max_bad, Silent())


def fit(
    model: Adapted,
    data: str | Path,
    out: str | Path,
    resume: bool = False,
    listener: Listener | None = None,
    **settings: Any,
) -> Run:
    """Train an adapted model on a folder of photos and leave a run folder at ``out``.

    ``settings`` are the fields of `edgewise.jobs.request.FitRequest` (``epochs=10``,
    ``batch_size=8``, ``lr=None``, ``seed=0``, …).  The model is trained in place.

    Raises `UsageError` when the folder's classes are not the model's, or for an unknown setting.
    """
    backbone = model.backbone
    try:
        request = FitRequest(
            str(data),
            backbone=backbone.name,
            width=backbone.settings.get("width"),
            weights=_weights_of(backbone),
            method=model.method.name,
            **settings,
        )
    except TypeError as error:
        raise UsageError(f"fit: {error}.") from error
    folder = RunFolder(Path(out))
    folder.started(resolved(request, model.method), resume)
    images = look_at(request, listener or Silent())
    if images.classes != model.classes:
        raise UsageError(
            f"The model was made for the classes {', '.join(model.classes)}; "
            f"the folders in {data} are {', '.join(images.classes)}."
        )
    folder.create(resolved(request, model.method), resume)
    folder.say("resumed from Python" if resume else "started from Python")
    train_and_save(model, images, request, folder, resume, "", listener or Silent())
    opened = Opened(model.eval(), backbone.input, model.classes, {}, folder.artifact)
    return Run(folder.root, opened)


def _weights_of(backbone: Backbone) -> str | None:
    """What ``--weights`` would have been."""
    if backbone.weights is not None:
        return backbone.weights.path
    return "none" if "seed" in backbone.settings else None


def open(
    path: str | Path,
    backbone: str | Path | nn.Module | None = None,
    source: str | None = None,
    token: str | None = None,
) -> Run:
    """Open a run or artifact folder; ``backbone`` is a weight file or the module it was made on.

    ``source`` and ``token`` are for a reprogrammed model: where its source is now, and what an address asks for.
    Raises `EdgewiseError`, see `edgewise.jobs.any_opening.open_run`.
    """
    if isinstance(backbone, nn.Module):
        return Run(Path(path), open_artifact(Path(path), backbone))
    return Run(Path(path), open_run(Path(path), None if backbone is None else str(backbone), source, token))
