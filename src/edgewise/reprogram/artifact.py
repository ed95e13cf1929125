"""A trained program as a folder: to be put before the very source it was trained on, and no other."""

import dataclasses
import math
from collections.abc import Callable
from collections.abc import Mapping as Named
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgewise.core.artifacts import find_artifact, read_manifest, read_tensors, write_manifest, write_tensors
from edgewise.core.errors import EdgewiseError
from edgewise.core.settings import without_start
from edgewise.core.units import percent
from edgewise.reprogram.base import InputTransform, Mapping, Source
from edgewise.reprogram.mappings.registry import mapping_class
from edgewise.reprogram.pipeline import Pipeline
from edgewise.reprogram.sources.black_box import BlackBox
from edgewise.reprogram.sources.tuned import with_tuned_parts
from edgewise.reprogram.space import Space
from edgewise.reprogram.trainers.base import Trainer
from edgewise.reprogram.trainers.registry import trainer_class
from edgewise.reprogram.transforms.registry import transform_class

FILE = "program.safetensors"
Manifest = Named[str, Any]


@dataclass(frozen=True)
class Saved:
    """What a folder holds of a fitted model, put together before its source."""

    work: Pipeline
    transform: InputTransform
    mapping: Mapping
    trainer: Trainer
    classes: NDArray[Any]
    samples: Space
    seed: int
    tune: tuple[str, ...]
    stopped: str | None


def write_program(folder: Path, saved: Saved, about: Manifest) -> None:
    """Program, mapping, source's fingerprint and queries spent; ``about`` are further entries of the manifest."""
    source = saved.work.source
    spent = {"queries": source.ledger.spent, "cost": source.ledger.cost} if isinstance(source, BlackBox) else None
    parts: dict[str, Any] = {"transform": saved.transform, "mapping": saved.mapping, "trainer": saved.trainer}
    manifest = {
        "kind": "program",
        "source": {"fingerprint": source.fingerprint, "answers": source.answers, "classes": source.classes}
        | {"takes": _told(source.takes)},
        "samples": _told(saved.samples),
        **{name: {"name": part.name, "fields": dataclasses.asdict(part)} for name, part in parts.items()},
        "classes": saved.classes.tolist(),
        "seed": saved.seed,
        "tune": list(saved.tune),
        "spent": spent,
        "stopped": saved.stopped,
        **about,
        "tensors": write_tensors(folder, FILE, saved.work.tensors()),
    }
    write_manifest(folder, manifest, _card(manifest))


def read_program(folder: Path, source: Source) -> Saved:
    """What `write_program` wrote, before ``source``.

    Raises `EdgewiseError` where the folder was cut off or changed, or ``source`` is another one than it was trained on
    (a black box is asked its fixed samples for that: four queries, free where its ledger knows them).
    """
    folder = find_artifact(folder)
    manifest = read_manifest(folder, "program")
    tensors = read_tensors(folder, manifest)
    try:
        transform = _settings(transform_class, manifest["transform"])
        mapping = _settings(mapping_class, manifest["mapping"])
        trainer = _settings(trainer_class, manifest["trainer"])
        samples, classes = _space(manifest["samples"]), np.array(manifest["classes"])
        tune = tuple(str(part) for part in manifest.get("tune", ()))
        expected, seed = str(manifest["source"]["fingerprint"]), int(manifest["seed"])
    except (KeyError, TypeError, ValueError) as error:
        raise EdgewiseError(f"The program in {folder} has settings this version does not know ({error}).") from error
    if source.fingerprint != expected:
        raise EdgewiseError(
            f"The program in {folder} was trained on the source {expected[:12]}…, and this one is "
            f"{source.fingerprint[:12]}…: before another model it means nothing."
        )
    program = without_start(transform).build(samples, source.takes)
    reader = mapping.fit(torch.zeros(0, source.classes), torch.zeros(0, dtype=torch.long), len(classes))
    work = Pipeline(program, with_tuned_parts(source, tune), reader, mapping.domain)
    _restore(work.tensors(), tensors, folder)
    return Saved(work, transform, mapping, trainer, classes, samples, seed, tune, manifest.get("stopped"))


@torch.no_grad()
def _restore(live: dict[str, Tensor], saved: dict[str, Tensor], folder: Path) -> None:
    if live.keys() != saved.keys() or any(live[name].shape != saved[name].shape for name in live):
        raise EdgewiseError(f"The tensors in {folder} are not those of its program. Was it edited?")
    for name, tensor in live.items():
        tensor.copy_(saved[name])


def _settings(known: Callable[[str], type[Any]], said: dict[str, Any]) -> Any:
    return known(str(said["name"]))(**said["fields"])


def _told(space: Space) -> dict[str, Any]:
    """JSON has no infinity."""
    low, high = (value if math.isfinite(value) else None for value in (space.low, space.high))
    return {"shape": list(space.shape), "low": low, "high": high, "symbols": space.symbols}


def _space(said: dict[str, Any]) -> Space:
    low = -math.inf if said["low"] is None else float(said["low"])
    high = math.inf if said["high"] is None else float(said["high"])
    return Space(tuple(int(side) for side in said["shape"]), low, high, int(said["symbols"]))


def _card(manifest: dict[str, Any]) -> str:
    asked = manifest["spent"]
    cost = f"\nIt took {asked['queries']:,} queries." if asked else ""
    tuned = ", ".join(f"`{part}`" for part in manifest["tune"])
    own = f"\nNot only the program was trained: {tuned} of the source too, and lie beside it." if tuned else ""
    return (
        "# A program for a frozen model\n\n"
        f"Transform `{manifest['transform']['name']}`, mapping `{manifest['mapping']['name']}`; "
        f"{len(manifest['classes'])} classes, read from {manifest['source']['classes']} of the source "
        f"`{manifest['source']['fingerprint'][:12]}`. It means nothing before another model.{own}{cost}\n"
        + (_use(manifest) if "origin" in manifest else "")
    )


def _use(manifest: dict[str, Any]) -> str:
    metrics = manifest.get("metrics")
    reached = f"It was right on {percent(metrics['accuracy'])} of {metrics['n']:,} photos. " if metrics else ""
    return (
        f"\n{reached}RUN is the folder that holds `artifact/`; the model that it is a program for must be there, too.\n"
        "\n```\nedgewise predict RUN photo.jpg\n```\n"
    )
