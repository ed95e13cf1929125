"""What a finished fit leaves: scores, the worst mistakes as thumbnails, the checked artifact."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgewise.adapt import Adapted
from edgewise.backbones import Backbone
from edgewise.core.artifacts import read_manifest, read_tensors, write_manifest, write_tensors
from edgewise.core.errors import EdgewiseError
from edgewise.core.files import write_bytes
from edgewise.core.preprocess import Preprocess
from edgewise.core.runs import RunFolder
from edgewise.core.settings import without_start
from edgewise.core.surgery import digest
from edgewise.data.images import open_image
from edgewise.data.sets import ImageSet, Sample
from edgewise.data.thumbnails import thumbnail
from edgewise.data.transforms import evaluation_image
from edgewise.jobs.opening import is_own, open_artifact
from edgewise.lean import Lean
from edgewise.report.card import model_card
from edgewise.train.classify import predict
from edgewise.train.scores import evaluation, worst_mistakes

MISTAKES, CHECKED = 12, 4


@dataclass(frozen=True)
class Scored:
    """``metrics`` of the record, and the entries of its ``mistakes``."""

    metrics: dict[str, Any]
    mistakes: list[dict[str, Any]]


def scored_part(images: ImageSet) -> tuple[str, tuple[Sample, ...]]:
    """The test photos, val where there are none, train where there is neither; and which of them they are."""
    return next((name, part) for name, part in _parts(images) if part)


def evaluate_run(model: nn.Module, preprocess: Preprocess, images: ImageSet, folder: RunFolder, workers: int) -> Scored:
    """Score ``model``, from photos as bytes to logits, once on `scored_part`."""
    split, samples = scored_part(images)
    probabilities = predict(model, samples, preprocess, workers)
    labels = [sample.label for sample in samples]
    scores = evaluation(probabilities, labels, images.classes)
    mistakes = []
    for number, (row, guess, confidence) in enumerate(worst_mistakes(probabilities, labels, MISTAKES), 1):
        picture = folder.assets / f"mistake-{number:02d}.jpg"
        write_bytes(picture, thumbnail(samples[row].path))
        mistakes.append(
            {
                "file": images.name_of(samples[row].path),
                "thumbnail": picture.relative_to(folder.root).as_posix(),
                "truth": images.classes[labels[row]],
                "predicted": images.classes[guess],
                "confidence": round(confidence, 4),
            }
        )
    metrics = {
        "split": split,
        "accuracy": scores.accuracy,
        "test_accuracy": scores.accuracy if split == "test" else None,
        "n": scores.n,
        "per_class": scores.per_class,
        "confusion": scores.confusion,
    }
    return Scored(metrics, mistakes)


def save_adapter(model: Adapted, folder: RunFolder) -> dict[str, Any]:
    """Write the tensors that are not the backbone's; their entry for the manifest (file, sha256, bytes)."""
    return write_tensors(folder.artifact, "adapter.safetensors", model.difference())


def finish_artifact(
    model: Adapted, weights: str | None, tensors: dict[str, Any], record: dict[str, Any], folder: RunFolder
) -> None:
    """Write the manifest and the model card around the adapter."""
    metrics = record["metrics"]
    manifest = {
        "kind": "adapter",
        "backbone": backbone_entry(model.backbone, weights),
        "method": {"name": model.method.name, "fields": dataclasses.asdict(without_start(model.method))},  # type: ignore[call-overload]
        "classes": list(model.classes),
        "preprocess": model.backbone.input.to_json(),
        "lean": {"frozen_bits": record["lean"]["frozen_bits"]},
        "metrics": {key: metrics[key] for key in ("accuracy", "split", "n", "val_accuracy", "best_epoch")},
        "tensors": tensors,
    }
    write_manifest(folder.artifact, manifest, model_card(manifest, record))


def backbone_entry(backbone: Backbone, path: str | None) -> dict[str, Any]:
    """The section ``backbone`` of ``artifact.json``; ``path`` of the weights as it was given."""
    source = backbone.weights
    return {
        "name": backbone.name,
        "settings": dict(backbone.settings),
        "sha256": source.sha256 if source else None,
        "path": path,
        "fingerprint": backbone.fingerprint,
        "licence": source.licence if source else None,
        "source": source.source if source else None,
    }


@dataclass(frozen=True)
class Promise:
    """What the artifact has to give when it is opened again: logits of some photos, or the adapter's digest.

    A module of the user's cannot be built again here; then its tensors must read back as they are.
    """

    photos: Tensor
    logits: Tensor
    digest: str | None


@torch.no_grad()
def promise(model: Adapted, images: ImageSet) -> Promise:
    """What ``model`` gives now."""
    preprocess = model.backbone.input
    samples = (images.test or images.val or images.train)[:CHECKED]
    photos = torch.stack(
        [evaluation_image(open_image(s.path, at_least=preprocess.resize), preprocess) for s in samples]
    )
    return Promise(photos, model.eval()(photos), digest(model.difference()) if is_own(model.backbone.name) else None)


@torch.no_grad()
def check_artifact(promised: Promise, artifact: Path, lean: Lean | None) -> None:
    """Open the artifact as a user will, and demand the very same logits."""
    if promised.digest is not None:
        if digest(read_tensors(artifact, read_manifest(artifact))) != promised.digest:
            raise EdgewiseError(f"The adapter in {artifact} does not read back as it was written. Do not use it.")
        return
    reopened = open_artifact(artifact, lean=lean).model
    if not torch.equal(promised.logits, reopened(promised.photos)):
        raise EdgewiseError(
            f"The adapter in {artifact} does not give the logits it was trained to when it is opened again. "
            "Do not use it; please report this."
        )


def _parts(images: ImageSet) -> list[tuple[str, tuple[Sample, ...]]]:
    return [("test", images.test), ("val", images.val), ("train", images.train)]
