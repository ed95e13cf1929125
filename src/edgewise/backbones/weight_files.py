"""Reading a file of weights: tensors and text come out, code never runs.

``.safetensors`` holds tensors and metadata only.  ``.pth`` and its kin are pickles; they are opened
with torch's ``weights_only``, which refuses everything but tensors and plain containers.
"""

import pickle
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from edgewise.core.errors import EdgewiseError, UsageError
from edgewise.core.files import sha256_of

PICKLES = (".pth", ".pt", ".th")
SUFFIXES = (".safetensors", *PICKLES)
WRAPPERS = ("state_dict", "model_state_dict", "model")  # where training scripts put the tensors
SHOWN = 8


@dataclass(frozen=True, eq=False)
class WeightFile:
    """What a file holds; ``path`` is as the user gave it."""

    path: Path
    sha256: str
    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str] = field(default_factory=dict)


def read_weights(path: Path) -> WeightFile:
    """Read ``path``.

    Raises `UsageError` for a path that is no weight file (naming what lies near), `EdgewiseError`
    for a file that is cut off, changed, or holds anything but named tensors.
    """
    if not path.is_file():
        raise UsageError(_nothing_at(path))
    if path.suffix not in SUFFIXES:
        raise UsageError(f"{path} is not a kind of weight file that is read: {', '.join(SUFFIXES)}.")
    try:
        digest = sha256_of(path)
        tensors, metadata = _safetensors(path) if path.suffix == ".safetensors" else (_pickle(path), {})
    except OSError as error:
        raise EdgewiseError(f"The weights {path} cannot be read: {error.strerror or error}.") from error
    if not tensors:
        raise EdgewiseError(f"There are no tensors in {path}.")
    return WeightFile(path, digest, tensors, metadata)


def _safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except (SafetensorError, ValueError) as error:
        raise EdgewiseError(
            f"{path} is not a whole safetensors file ({error}): it was cut off, changed, or is something else. "
            "Copy or download it again."
        ) from error


def _pickle(path: Path) -> dict[str, Tensor]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about odd files, of which ours is the last word
            content = torch.load(path, map_location="cpu", weights_only=True)
    # A damaged archive fails in whatever part of the reader comes upon it.
    except Exception as error:
        raise EdgewiseError(_refused(path, error)) from error
    return _unwrapped(path, content)


def _unwrapped(path: Path, content: Any) -> dict[str, Tensor]:
    if isinstance(content, dict):
        inner = next((content[key] for key in WRAPPERS if isinstance(content.get(key), dict)), content)
        tensors = {name: value for name, value in inner.items() if isinstance(value, Tensor)}
        if tensors and len(tensors) == len(inner) and all(isinstance(name, str) for name in tensors):
            parallel = all(name.startswith("module.") for name in tensors)  # torch.nn.DataParallel's prefix
            return {name.removeprefix("module."): t for name, t in tensors.items()} if parallel else tensors
    raise EdgewiseError(
        f"{path} holds no state_dict: it should be a dictionary of names and tensors, or one under "
        f"{' or '.join(map(repr, WRAPPERS))}. Save model.state_dict() with torch.save."
    )


def _refused(path: Path, error: Exception) -> str:
    text = str(error)
    if "TorchScript" in text or (isinstance(error, pickle.UnpicklingError) and "operand" not in text):
        return (
            f"{path} holds Python objects besides tensors, and opening it could run anything, so it is refused. "
            "Ask for a .safetensors file; or, if you trust where it comes from, load it yourself, "
            "save only model.state_dict() with torch.save, and use that file."
        )
    reason = "it is empty" if path.stat().st_size == 0 else "it was cut off, changed, or is something else"
    return f"{path} is not a whole torch file: {reason}. Copy or download it again."


def _nothing_at(path: Path) -> str:
    """What to say when there is no file at ``path``: what the nearest folder holds."""
    folder = path if path.is_dir() else next(p for p in path.parents if p.is_dir() or p == p.parent)
    said = f"{path} is a folder, not a weight file." if path.is_dir() else f"There is no weight file {path}."
    if not path.is_dir() and folder != path.parent:
        said += f" There is no folder {path.parent} either."
    try:
        found = sorted(p.name for p in folder.iterdir() if p.suffix in SUFFIXES and p.is_file())
    except OSError:
        return said
    where = "the current folder" if folder == Path() else folder
    if not found:
        return f"{said} No weight files ({', '.join(SUFFIXES)}) are in {where}."
    close = get_close_matches(path.name, found, n=1, cutoff=0.6)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return f"{said}{hint} In {where}: {', '.join(found[:SHOWN])}{more}."
