"""What a finished compression leaves: the packed network, checked and scored as a user will open it, and the record."""

import base64
import dataclasses
import time
from collections.abc import Mapping
from typing import Any

import torch

from edgewise.compress import Compressed, Layer, Sizes, codes_in_bytes, in_all, lowered, rate, sizes_of, to_bytes
from edgewise.core.artifacts import write_manifest
from edgewise.core.errors import EdgewiseError
from edgewise.core.files import sha256_of, write_bytes
from edgewise.core.progress import Listener
from edgewise.core.runs import RunFolder
from edgewise.core.units import megabytes
from edgewise.cost import cost
from edgewise.data.images import open_image
from edgewise.data.sets import ImageSet
from edgewise.data.transforms import evaluation_image
from edgewise.data.workers import default_workers
from edgewise.jobs.any_opening import open_run
from edgewise.jobs.compress_request import CompressRequest, resolved
from edgewise.jobs.environment import environment
from edgewise.jobs.opening import Opened
from edgewise.jobs.photos import data_record
from edgewise.jobs.results import backbone_entry, evaluate_run, scored_part
from edgewise.report import write_report
from edgewise.report.card import model_card
from edgewise.train.loop import Position

NETWORK = "network.ew3"
CHECKED = 64
CLOSE = 1e-3
"""Of the largest logit: batch norms are folded into other numbers of float32, which rounds differently."""
MEASURED = 32
"""Photos in the step whose cost is measured, at most."""


def finish(
    model: Compressed,
    images: ImageSet,
    request: CompressRequest,
    place: Position,
    notes: list[str],
    folder: RunFolder,
    command: str,
    began: float,
    listener: Listener,
) -> dict[str, Any]:
    """Write the artifact, open and check it, score what was opened; write and return the record.

    The accuracy is that of the file, opened as a user opens it, so `edgewise eval` finds the same.
    """
    listener.stage("Packing, checking and scoring the network")
    preprocess, network = model.backbone.input, lowered(model.network, model.backbone.input, images.classes)
    write_bytes(folder.artifact / NETWORK, to_bytes(network))
    manifest = _manifest(model, images, request, folder)
    write_manifest(folder.artifact, manifest, "")  # so that it can be opened; the card follows with what it scores
    opened = open_run(folder.root)
    check_answers(model, opened, images)
    scored = evaluate_run(opened.model, preprocess, images, folder, _workers(request))
    metrics = {**scored.metrics, "val_accuracy": place.history[-1]["val_accuracy"], "best_epoch": place.best_epoch}
    compressed = _compressed(model, sizes_of(network))
    if compressed["dead"]:
        notes.append(f"Nothing is left of {', '.join(compressed['dead'])}: a dead network, which is not exported.")
        listener.note(notes[-1])
    size = preprocess.size
    record = {
        "kind": "compress",
        "command": command,
        "config": {**resolved(request), "image_size": size},
        "environment": environment(),
        "seeds": {"seed": request.seed},
        "data": data_record(images),
        "metrics": metrics,
        "compress": compressed,
        "cost": cost(model, (min(request.batch_size, MEASURED), 3, size, size)).to_json(),
        "sizes": {**model.sizes(), "artifact_bytes": compressed["bytes"]["file"]},
        "history": place.history,
        "notes": notes,
        "mistakes": scored.mistakes,
        "seconds": round(time.monotonic() - began, 2),
    }
    manifest["metrics"] = {key: metrics[key] for key in ("accuracy", "split", "n", "val_accuracy", "best_epoch")}
    write_manifest(folder.artifact, manifest, model_card(manifest, record))
    folder.write_metrics([{key: value for key, value in row.items() if key != "layers"} for row in place.history])
    folder.write_record(record)
    folder.say(
        f"finished: {metrics['split']} accuracy {metrics['accuracy']:.4f}, {megabytes(compressed['bytes']['file'])}"
    )
    write_report(folder.root)
    return record


@torch.no_grad()
def check_answers(model: Compressed, opened: Opened, images: ImageSet) -> None:
    """Demand that the file, opened, answers real photos as ``model`` does, up to rounding."""
    preprocess = model.backbone.input
    _, samples = scored_part(images)
    photos = torch.stack(
        [evaluation_image(open_image(s.path, at_least=preprocess.resize), preprocess) for s in samples[:CHECKED]]
    )
    expected, found = model.eval()(photos), opened.model(photos)
    worst, largest = float((expected - found).abs().max()), float(expected.abs().max())
    if not worst <= CLOSE * largest:
        raise EdgewiseError(
            f"The network in {opened.folder} does not answer as the one that was trained: logits differ by up to "
            f"{worst:.3g}, and the largest is {largest:.3g}. Do not use it; please report this."
        )


def _manifest(model: Compressed, images: ImageSet, request: CompressRequest, folder: RunFolder) -> dict[str, Any]:
    backbone, file = model.backbone, folder.artifact / NETWORK
    return {
        "kind": "ternary",
        "backbone": backbone_entry(backbone, request.weights),
        "method": {"name": request.compression.arm, "fields": dataclasses.asdict(request.compression)},
        "classes": list(images.classes),
        "preprocess": backbone.input.to_json(),
        "metrics": {},
        "tensors": {"file": NETWORK, "sha256": sha256_of(file), "bytes": file.stat().st_size},
    }


def _compressed(model: Compressed, sizes: Sizes) -> dict[str, Any]:
    """The record's section ``compress``."""
    settings, layers = model.settings, model.look()
    kind, whole = settings.kind, in_all(layers)
    empty = whole.group_sparsity if whole else 0.0
    return {
        "arm": settings.arm,
        "pe": settings.pe,
        "lam": settings.weight,
        "clip": settings.clip if kind.clipped else None,
        "first_last": settings.first_last,
        "layers": [_row(model, name, layer) for name, layer in layers.items()],
        "group_sparsity": empty,
        "overall_sparsity": whole.overall_sparsity if whole else 0.0,
        "rates": {
            "eq_2_8": rate(empty, kind.bits) if kind.compresses else None,
            "with_ends": sizes.with_ends,
            "file": sizes.file,
        },
        "bytes": {"float": sizes.float_bytes, "file": sizes.file_bytes},
        "norms": {name: [round(norm, 5) for norm in norms] for name, norms in model.norms().items()},
        "tiles": _tiles(model, layers),
        "dead": [name for name, layer in layers.items() if layer.zeros.dead],
    }


def _row(model: Compressed, name: str, layer: Layer) -> dict[str, Any]:
    return {
        "name": name,
        "shape": list(model.places[name].layer.weight.shape),
        "groups": layer.zeros.groups,
        "stored": layer.zeros.stored,
        "group_sparsity": layer.zeros.group_sparsity,
        "overall_sparsity": layer.zeros.overall_sparsity,
        "alpha": layer.alpha,
        "delta": layer.delta,
    }


def _tiles(model: Compressed, layers: Mapping[str, Layer]) -> dict[str, Any] | None:
    """The codes of one layer for a picture: the smallest that has empty groups, or the smallest; None without codes.

    2 bits a weight as in the file, but of all groups: an empty one is zeros.
    """
    if not model.settings.kind.ternary:
        return None
    name = min(layers, key=lambda name: (layers[name].zeros.group_sparsity == 0, layers[name].zeros.weights))
    codes = model.ternary(name).codes
    return {"name": name, "shape": list(codes.shape), "codes": base64.b64encode(codes_in_bytes(codes)).decode()}


def _workers(request: CompressRequest) -> int:
    return default_workers() if request.workers is None else request.workers
