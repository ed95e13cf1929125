"""Open what a run left: find the backbone again, put the adapter on it, refuse what does not fit."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgewise.adapt import Adapted, adapt, adapt_in_place, method_class
from edgewise.backbones import FAMILIES, PREFIXES, Backbone, load
from edgewise.core.artifacts import find_artifact, read_manifest, read_tensors
from edgewise.core.cache import cache_folder, cached_weights
from edgewise.core.errors import EdgewiseError, UsageError
from edgewise.core.files import sha256_of
from edgewise.core.preprocess import Preprocess
from edgewise.lean import SMALL, Lean, make_lean, make_plain
from edgewise.reprogram import Ledger


def _nothing_to_close() -> None: ...


@dataclass(frozen=True)
class Opened:
    """An artifact with its backbone, or a program with its source: ready to predict."""

    model: nn.Module  # from photos as bytes to logits
    preprocess: Preprocess
    classes: tuple[str, ...]
    manifest: Mapping[str, Any]
    folder: Path
    ledger: Ledger | None = None  # of a source that only answers
    close: Callable[[], None] = _nothing_to_close


def open_artifact(path: Path, backbone: str | Path | nn.Module | None = None, lean: Lean | None = SMALL) -> Opened:
    """Open a run or artifact folder; the model computes by ``lean`` (None: as torch does).

    Frozen weights are held in the bits that the artifact was trained with, whatever ``lean`` says; with
    None they are floats of the same values.

    The backbone's weights are taken from ``backbone`` (a file, or a module of the user's) if
    given; else from where the run had them; else, by SHA-256, from the cache folder
    ``$EDGEWISE_CACHE`` (default ``~/.cache/edgewise``).

    Raises `EdgewiseError` when they cannot be found, are other weights than the adapter was made
    for, or the adapter was cut off or changed.
    """
    folder = find_artifact(path)
    manifest = read_manifest(folder)
    base = _backbone(folder, manifest, backbone)
    expected = manifest["backbone"].get("fingerprint")
    if base.fingerprint != expected:
        raise EdgewiseError(
            f"The adapter in {folder} was made for {manifest['backbone']['name']} with the weights {expected}; "
            f"this backbone is {base.name} with {base.fingerprint}. An adapter works only on the very backbone "
            "it was trained on: name that file with --weights."
        )
    kind = method_class(str(manifest["method"]["name"]))
    try:
        method = kind(**manifest["method"]["fields"])
    except TypeError as error:
        raise EdgewiseError(f"The artifact in {folder} has settings this version does not know ({error}).") from error
    preprocess = Preprocess.from_json(manifest["preprocess"])
    putting_on = adapt if isinstance(backbone, nn.Module) else adapt_in_place  # a module of the user's stays as it is
    model = putting_on(dataclasses.replace(base, input=preprocess), method, tuple(manifest["classes"]))
    load_adapter(model, read_tensors(folder, manifest), folder)
    model.to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    make_lean(model, dataclasses.replace(lean or SMALL, frozen_bits=_frozen_bits(manifest, folder)))
    if lean is None:
        make_plain(model)
    return Opened(model, preprocess, tuple(manifest["classes"]), manifest, folder)


def load_adapter(model: Adapted, tensors: Mapping[str, Tensor], folder: Path) -> None:
    """Put the adapter's tensors into ``model``, or say in plain words why they do not fit."""
    state = model.state_dict()
    strange = sorted(tensors.keys() - state.keys())
    shaped = sorted(k for k in tensors.keys() & state.keys() if tensors[k].shape != state[k].shape)
    missing = sorted(model.trainable().keys() - tensors.keys())
    if strange or shaped or missing:
        parts = [
            f"{len(names)} {what} (such as {names[0]})"
            for names, what in ((missing, "missing"), (strange, "unknown"), (shaped, "of another shape"))
            if names
        ]
        raise EdgewiseError(f"The adapter in {folder} does not fit this backbone: {', '.join(parts)}.")
    with torch.no_grad():
        for name, tensor in tensors.items():
            state[name].copy_(tensor)


def _frozen_bits(manifest: Mapping[str, Any], folder: Path) -> int:
    bits = manifest["lean"].get("frozen_bits")
    if bits not in (8, 32):
        raise EdgewiseError(
            f"The artifact in {folder} holds frozen weights in {bits!r} bits; this version knows 8 and 32."
        )
    return int(bits)


def is_own(name: str) -> bool:
    """Is ``name`` the class of a user's module, which no name can bring back?"""
    return name not in FAMILIES and not name.startswith(PREFIXES)


def _backbone(folder: Path, manifest: Mapping[str, Any], given: str | Path | nn.Module | None) -> Backbone:
    entry = manifest["backbone"]
    size = Preprocess.from_json(manifest["preprocess"]).size
    settings = dict(entry["settings"])
    if isinstance(given, nn.Module):
        return load(given, image_size=size)
    if is_own(entry["name"]):
        raise EdgewiseError(
            f"The adapter in {folder} was made for a module of your own, {entry['name']}: "
            "open it in Python and give that module, ew.open(RUN, backbone=module)."
        )
    where = given or found_weights(entry, "backbone")
    try:
        return load(
            entry["name"],
            weights=where,
            width=settings.get("width"),
            image_size=size,
            classes=settings.get("classes"),
            seed=settings.get("seed", 0),
        )
    except UsageError as error:
        raise EdgewiseError(f"The backbone of {folder} cannot be opened: {error}") from error


def found_weights(entry: Mapping[str, Any], whose: str) -> str | Path | None:
    """The weights of which an artifact remembers ``path`` and ``sha256``; None: those that belong to the name.

    Raises `EdgewiseError` where they are neither there nor in the cache folder.
    """
    path, digest = entry.get("path"), entry.get("sha256")
    if path is None or path == "none" or digest is None:
        return path
    for candidate in (Path(path), *cached_weights()):
        if candidate.is_file() and sha256_of(candidate) == digest:
            return candidate
    raise EdgewiseError(
        f"The {whose}'s weights are not at {path} any more (or were changed). Say where they are with "
        f"--weights FILE, or put them into {cache_folder()}; their SHA-256 is {digest}."
    )
