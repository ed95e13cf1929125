"""What a training of sub-nets leaves: one file with all of them, checked and scored one by one, and the record."""

import dataclasses
import time
from collections.abc import Mapping
from copy import deepcopy
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from edgewise.core.artifacts import read_manifest, read_tensors, write_manifest, write_tensors
from edgewise.core.errors import EdgewiseError
from edgewise.core.progress import Listener
from edgewise.core.runs import RunFolder
from edgewise.core.units import megabytes
from edgewise.cost import cost
from edgewise.data.images import open_image
from edgewise.data.sets import ImageSet
from edgewise.data.transforms import evaluation_image
from edgewise.data.workers import default_workers
from edgewise.jobs.environment import environment
from edgewise.jobs.opening import is_own
from edgewise.jobs.photos import data_record
from edgewise.jobs.results import backbone_entry, evaluate_run, scored_part
from edgewise.jobs.subnets_opening import open_subnets
from edgewise.jobs.subnets_request import SubNetsRequest, resolved
from edgewise.report.card import model_card
from edgewise.subnets import SubNets, SubNetTask, bytes_of, non_overlap, put_tensors, tensors_of
from edgewise.train.classify import predict
from edgewise.train.loop import Position
from edgewise.train.scores import evaluation

NETWORK = "subnets.safetensors"
CHECKED = 4
MEASURED = 32
"""Photos in the step whose cost is measured, at most."""
ENGINE = "masked dense: no sub-net is faster than another yet"


def finish(
    task: SubNetTask,
    images: ImageSet,
    request: SubNetsRequest,
    place: Position,
    notes: list[str],
    folder: RunFolder,
    command: str,
    began: float,
    listener: Listener,
) -> dict[str, Any]:
    """Write the artifact, open and check it, score every sub-net of what was opened; write and return the record."""
    net = task.net
    listener.stage("Saving, checking and scoring the sub-nets")
    tensors = write_tensors(folder.artifact, NETWORK, tensors_of(net))
    manifest = _manifest(net, images, request, tensors)
    write_manifest(folder.artifact, manifest, "")  # so that it can be opened; the card follows with what it scores
    opened = _opened(net, folder)
    check_answers(net, opened, images, folder)
    preprocess, workers = net.backbone.input, default_workers() if request.workers is None else request.workers
    opened.use(0)
    scored = evaluate_run(opened, preprocess, images, folder, workers)
    accuracy = {net.names[0]: scored.metrics["accuracy"], **_accuracies(opened, images, workers)}
    history, last = place.history, place.history[-1]
    metrics = {**scored.metrics, "val_accuracy": last["sub_nets"].get(net.names[0]), "best_epoch": place.best_epoch}
    size, sizes = preprocess.size, bytes_of(net)
    record = {
        "kind": "subnets",
        "command": command,
        "config": {**resolved(request), "image_size": size},
        "environment": environment(),
        "seeds": {"seed": request.seed},
        "data": data_record(images),
        "metrics": metrics,
        "subnets": {
            **_described(net, request),
            "accuracy": accuracy,
            "val_accuracy": last["sub_nets"],
            "negative_products": [
                {key: row[key] for key in ("epoch", "products", "worst_cosine")} for row in history if row["products"]
            ],
            "layers": _layers(net),
            "non_overlap": _overlaps(net),
            "training_macs": {"all": float(task.work[0]), "without_zeros": float(task.work[1])},
            "bytes": sizes,
            "engine": ENGINE,
        },
        "cost": cost(net, (min(request.batch_size, MEASURED), 3, size, size)).to_json(),
        "sizes": {**_parameters(net), "artifact_bytes": tensors["bytes"]},
        "history": history,
        "notes": notes,
        "mistakes": scored.mistakes,
        "seconds": round(time.monotonic() - began, 2),
    }
    manifest["metrics"] = {key: metrics[key] for key in ("accuracy", "split", "n", "val_accuracy", "best_epoch")}
    write_manifest(folder.artifact, manifest, model_card(manifest, record))
    folder.write_metrics([_flat(row) for row in history])
    folder.write_record(record)
    told = ", ".join(f"{name} {share:.4f}" for name, share in accuracy.items())
    folder.say(f"finished: {metrics['split']} accuracy {told}; {megabytes(tensors['bytes'])}")
    return record


@torch.no_grad()
def check_answers(net: SubNets, opened: SubNets, images: ImageSet, folder: RunFolder) -> None:
    """Demand that the file, opened, answers real photos as ``net`` does, every sub-net bit for bit."""
    preprocess = net.backbone.input
    _, samples = scored_part(images)
    photos = torch.stack(
        [evaluation_image(open_image(s.path, at_least=preprocess.resize), preprocess) for s in samples[:CHECKED]]
    )
    net.eval()
    for name in net.names:
        net.use(name)
        opened.use(name)
        if not torch.equal(net(photos), opened(photos)):
            raise EdgewiseError(
                f"The sub-net {name} in {folder.artifact} does not give the logits it was trained to when it is "
                "opened again. Do not use it; please report this."
            )


def _opened(net: SubNets, folder: RunFolder) -> SubNets:
    """As a user opens it; a module of the user's cannot be built again here, so it is copied, and read into."""
    if not is_own(net.backbone.name):
        model = open_subnets(folder.root).model
        assert isinstance(model, SubNets)
        return model
    twin = deepcopy(net).eval()
    put_tensors(twin, read_tensors(folder.artifact, read_manifest(folder.artifact, "subnets")), str(folder.artifact))
    return twin


def _accuracies(net: SubNets, images: ImageSet, workers: int) -> dict[str, float]:
    """Of every sub-net but the first, on the photos that are scored."""
    _, samples = scored_part(images)
    found = {}
    for name in net.names[1:]:
        net.use(name)
        probabilities = predict(net, samples, net.backbone.input, workers)
        found[name] = evaluation(probabilities, [sample.label for sample in samples], images.classes).accuracy
    return found


def _described(net: SubNets, request: SubNetsRequest) -> dict[str, Any]:
    chosen = request.subnets
    return {
        "names": list(net.names),
        "densities": list(net.densities().values()),
        "patterns": list(chosen.patterns),
        "training": chosen.training,
        "relation": chosen.relation,
        "gc": chosen.gc,
        "start": chosen.start,
        "norms": chosen.norms,
    }


def _layers(net: SubNets) -> dict[str, dict[str, float]]:
    """Densities by layer and sub-net."""
    masks = {name: net.masks(name) for name in net.names}
    return {layer: {name: _share(own[layer]) for name, own in masks.items()} for layer in net.layers}


def _overlaps(net: SubNets) -> list[dict[str, Any]]:
    """For every two sub-nets, layer by layer: the share of places where their masks differ, and the difference of
    their densities, which it cannot be below (Figure 14)."""
    found = []
    for one, other in combinations(net.names, 2):
        first, second = net.masks(one), net.masks(other)
        layers = {
            layer: {
                "non_overlap": non_overlap(mask, second[layer]),
                "gap": abs(_share(mask) - _share(second[layer])),
            }
            for layer, mask in first.items()
        }
        whole = [torch.cat([mask.flatten() for mask in masks.values()]) for masks in (first, second)]
        found.append({"pair": [one, other], "non_overlap": non_overlap(*whole), "layers": layers})
    return found


def _share(mask: Tensor) -> float:
    return int(mask.sum()) / mask.numel()


def _parameters(net: SubNets) -> dict[str, int]:
    total = sum(p.numel() for p in net.parameters())
    return {"trainable_params": total, "total_params": total}


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of ``metrics.csv``."""
    kept = {key: value for key, value in row.items() if key not in ("products", "sub_nets", "densities")}
    return {**kept, **{f"val_accuracy {name}": accuracy for name, accuracy in row["sub_nets"].items()}}


def _manifest(net: SubNets, images: ImageSet, request: SubNetsRequest, tensors: Mapping[str, Any]) -> dict[str, Any]:
    backbone, chosen = net.backbone, request.subnets
    return {
        "kind": "subnets",
        "backbone": backbone_entry(backbone, request.weights),
        "method": {"name": chosen.training, "fields": dataclasses.asdict(chosen)},
        "subnets": {
            "names": list(net.names),
            "densities": list(chosen.densities),
            "patterns": list(chosen.patterns),
            "norms": chosen.norms,
            "dense_head": chosen.dense_head,
        },
        "classes": list(images.classes),
        "preprocess": backbone.input.to_json(),
        "metrics": {},
        "tensors": dict(tensors),
    }
