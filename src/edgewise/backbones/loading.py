"""``load``: a name, a module or a file becomes a described `Backbone`."""

import copy
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from edgewise.backbones.base import Backbone
from edgewise.backbones.external import PREFIXES, open_external
from edgewise.backbones.families import FAMILIES
from edgewise.backbones.family_loading import Loaded, from_file, packaged, random_start
from edgewise.backbones.matching import compare, put, tensors_of
from edgewise.backbones.stages import find_head
from edgewise.backbones.weight_files import read_weights
from edgewise.backbones.weights import Description, WeightRecord, described
from edgewise.core.errors import EdgewiseError, UsageError, unknown
from edgewise.core.preprocess import Preprocess
from edgewise.core.surgery import digest

USUAL_INPUT = Preprocess(224)
SIZES = range(8, 4097)


def load(
    name_or_module: str | nn.Module | Backbone,
    weights: str | Path | None = None,
    width: float | None = None,
    image_size: int | None = None,
    classes: int | None = None,
    seed: int = 0,
) -> Backbone:
    """A classifier ready to be adapted.

    ``name_or_module`` is one of `FAMILIES`, ``timm:NAME``, ``hf:NAME_OR_FOLDER``, or any
    ``nn.Module`` from images (N, 3, H, W) to logits (N, classes), which is described and not
    changed (with ``weights`` a copy gets them).  ``weights`` is a ``.safetensors`` or ``.pth``
    file, ``"none"`` for random weights drawn from ``seed`` (the global random state stays as it
    was), or None for those that belong to the name.  ``width`` is the family's multiplier,
    ``image_size`` the side of the input in pixels (None: what the weights expect), ``classes`` the
    outputs of a head that is not in the file (None: what the file or the family has).

    Raises `UsageError` for names and values that do not exist or go together, `EdgewiseError`
    for weights that are damaged or of another network.
    """
    if image_size is not None and image_size not in SIZES:
        raise UsageError(f"The image size is {image_size!r}; it must be from {SIZES[0]} to {SIZES[-1]} pixels.")
    if classes is not None and classes < 1:
        raise UsageError(f"classes is {classes!r}; a head has at least one output.")
    if isinstance(name_or_module, Backbone):
        _nothing_but_size("a loaded backbone", weights=weights, width=width, classes=classes)
        return _resized(name_or_module, image_size)
    if isinstance(name_or_module, nn.Module):
        _nothing_but_size("a module of your own", width=width, classes=classes)
        name, loaded = type(name_or_module).__name__, _own_module(name_or_module, weights, image_size)
    elif name_or_module.startswith(PREFIXES):
        _nothing_but_size(name_or_module, width=width)
        name, loaded = name_or_module, _external(name_or_module, weights, classes, seed)
    else:
        name, loaded = name_or_module, _family(name_or_module, weights, width, classes, seed)
    if not isinstance(name_or_module, nn.Module):
        loaded.module.eval()
    expected = loaded.input if image_size is None else dataclasses.replace(loaded.input, size=image_size)
    head = find_head(loaded.module, expected.size)
    return Backbone(
        loaded.module,
        name,
        loaded.settings,
        expected,
        loaded.classes,
        loaded.weights,
        head,
        _fingerprint(loaded, head),
        loaded.notes,
    )


def _fingerprint(loaded: Loaded, head: str) -> str:
    """Digest of the network's tensors.  A head made because the file has none stays out of it: its
    random numbers may differ in the last bit on another machine, and methods replace it anyway."""
    made = loaded.weights is not None and not loaded.weights.head
    tensors = tensors_of(loaded.module).items()
    return digest({name: tensor for name, tensor in tensors if not (made and name.startswith(f"{head}."))})


def _family(name: str, weights: str | Path | None, width: float | None, classes: int | None, seed: int) -> Loaded:
    family = FAMILIES.get(name)
    if family is None:
        raise unknown("backbone", name, [*FAMILIES, "timm:NAME", "hf:NAME_OR_FOLDER"])
    if weights is None:
        return packaged(family, width, classes, seed)
    if str(weights) == "none":
        return random_start(family, width, classes, seed)
    return from_file(family, read_weights(Path(weights)), str(weights), width, classes, seed)


def _external(name: str, weights: str | Path | None, classes: int | None, seed: int) -> Loaded:
    network = open_external(name, weights is None, classes, seed)
    settings: dict[str, Any] = {} if classes is None else {"classes": classes}
    if weights is None:
        record = WeightRecord(None, None, network.input, None, None, network.classes, network.licence, network.source)
        settings |= {} if classes is None else {"seed": seed}
        return Loaded(network.module, settings, network.input, network.classes, record, network.notes)
    if str(weights) == "none":
        notes = (*network.notes, f"{name} starts from random weights: everything has to be learned from your photos.")
        return Loaded(network.module, {**settings, "seed": seed}, network.input, network.classes, notes=notes)
    record, _ = _filled(network.holder, name, weights, network.input)
    return Loaded(network.module, settings, record.input, record.classes or network.classes, record, network.notes)


def _own_module(module: nn.Module, weights: str | Path | None, image_size: int | None) -> Loaded:
    size = image_size or USUAL_INPUT.size
    name = type(module).__name__
    note = f"{name} does not say what input it expects; assumed: {size} px, normalised with ImageNet's mean and std."
    if weights is None or str(weights) == "none":
        return Loaded(module, {}, USUAL_INPUT, notes=(note,))
    module = copy.deepcopy(module)
    record, said = _filled(module, name, weights, USUAL_INPUT)
    return Loaded(module, {}, record.input, record.classes, record, () if said.input else (note,))


def _filled(module: nn.Module, name: str, weights: str | Path, usual: Preprocess) -> tuple[WeightRecord, Description]:
    """Put a file's tensors, all of them, into ``module``; where the file names no input it is ``usual``."""
    file = read_weights(Path(weights))
    if mismatch := compare(module, file.tensors):
        raise EdgewiseError(f"The weights {file.path} do not fit {name}: {mismatch}.")
    put(module, file.tensors, str(file.path))
    said = described(file)
    expects = said.input or usual
    return WeightRecord(str(weights), file.sha256, expects, None, None, said.classes, said.licence, said.source), said


def _resized(backbone: Backbone, image_size: int | None) -> Backbone:
    if image_size is None:
        return backbone
    return dataclasses.replace(backbone, input=dataclasses.replace(backbone.input, size=image_size))


def _nothing_but_size(what: str, **given: Any) -> None:
    """``width``, ``classes``, ``weights`` mean nothing for ``what``: say so rather than ignore them."""
    named: Mapping[str, Any] = {name: value for name, value in given.items() if value is not None}
    if named:
        raise UsageError(f"{' and '.join(named)} cannot be chosen for {what}; leave it out.")
