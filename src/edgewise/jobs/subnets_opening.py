"""Open what ``edgewise subnets`` left: a network with all of its weights and sub-nets, one of them in use."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edgewise.backbones import FAMILIES, Backbone, load
from edgewise.core.artifacts import find_artifact, read_manifest, read_tensors
from edgewise.core.errors import EdgewiseError
from edgewise.core.preprocess import Preprocess
from edgewise.jobs.opening import Opened, is_own
from edgewise.subnets import SubNets, SubNetSettings, put_tensors


def open_subnets(path: Path, sub_net: str | None = None, module: nn.Module | None = None) -> Opened:
    """Open a run or artifact folder of kind ``subnets``; ``sub_net`` is in use, by default the least sparse.

    The model is a `SubNets`.  ``module``: the user's own network, where the run was made on one; it is changed.
    Raises `UsageError` for a sub-net that there is not, `EdgewiseError` for a file that was cut off or changed.
    """
    folder = find_artifact(path)
    manifest = read_manifest(folder, "subnets")
    entry, found, preprocess = manifest["backbone"], manifest["subnets"], Preprocess.from_json(manifest["preprocess"])
    if module is None and is_own(entry["name"]):
        raise EdgewiseError(
            f"The sub-nets in {folder} were made in a module of your own, {entry['name']}: open them in Python and "
            "give that module, edgewise.jobs.subnets_opening.open_subnets(RUN, module=module)."
        )
    classes = tuple(manifest["classes"])
    backbone = _rebuilt(entry, len(classes), preprocess) if module is None else load(module, image_size=preprocess.size)
    backbone = dataclasses.replace(backbone, name=entry["name"], input=preprocess, classes=classes)
    chosen = SubNetSettings(densities=tuple(found["densities"]), patterns=tuple(found["patterns"]))
    net = SubNets(backbone, chosen.sub_nets, found["norms"], found["dense_head"])
    put_tensors(net, read_tensors(folder, manifest), str(folder))
    if sub_net is not None:
        net.use(sub_net)
    net.to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    return Opened(net, preprocess, classes, manifest, folder)


def _rebuilt(entry: Mapping[str, Any], classes: int, preprocess: Preprocess) -> Backbone:
    """The network, with any weights."""
    if entry["name"] not in FAMILIES:
        return load(entry["name"], weights="none", image_size=preprocess.size, classes=classes)
    settings = {name: value for name, value in entry["settings"].items() if name != "seed"}
    return load(FAMILIES[entry["name"]].build(**{**settings, "classes": classes}), image_size=preprocess.size)
