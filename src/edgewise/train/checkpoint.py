"""Checkpoints: everything ``--resume`` needs, in files that are either whole or absent.

``checkpoint/state.safetensors`` holds the tensors; its metadata holds the position as JSON and a
digest of both.  One rename therefore commits everything at once.  ``state.json`` repeats the
position for people to read.  ``best.safetensors`` holds the model's tensors after the best epoch.
Random numbers need no state here: each step and each image seeds itself from its position
(`edgewise.core.seeds`), so the position *is* the random state and the data order.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from edgewise.core.errors import EdgewiseError
from edgewise.core.files import write_atomically, write_json
from edgewise.core.surgery import digest

SCHEMA = "edgewise-checkpoint-1"


def write_checkpoint(folder: Path, name: str, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
    """Atomically replace ``folder/name.safetensors`` (and its readable ``name.json``)."""
    text = json.dumps({"schema": SCHEMA, **state}, allow_nan=False)
    whole = {key: tensor.detach().contiguous() for key, tensor in tensors.items()}
    metadata = {"state": text, "digest": _seal(whole, text)}
    write_atomically(folder / f"{name}.safetensors", lambda part: save_file(whole, part, metadata))
    write_json(folder / f"{name}.json", json.loads(text))


def read_checkpoint(folder: Path, name: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """The tensors and the state, or None where there is no checkpoint yet.

    Raises `EdgewiseError` when the file was cut off, edited, or written by another version.
    """
    path = folder / f"{name}.safetensors"
    if not path.exists():
        return None
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a mapping)
        state = json.loads(metadata["state"])
        sealed = metadata["digest"] == _seal(tensors, metadata["state"])
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise EdgewiseError(
            f"The checkpoint {path} is damaged ({error}). Start the run again in a new folder with --out."
        ) from error
    if not sealed:
        raise EdgewiseError(
            f"The checkpoint {path} was changed after it was written. Start the run again in a new folder with --out."
        )
    if state.get("schema") != SCHEMA:
        raise EdgewiseError(
            f"The checkpoint {path} was written by another version ({state.get('schema')}, not {SCHEMA})."
        )
    return tensors, state


@torch.no_grad()
def restore(live: Mapping[str, Tensor], saved: Mapping[str, Tensor], where: Path) -> None:
    """Copy ``saved`` into the tensors of ``live``; the names and shapes must be the same."""
    if live.keys() != saved.keys() or any(live[k].shape != saved[k].shape for k in live):
        raise EdgewiseError(f"The checkpoint in {where} belongs to another model or method than this command's.")
    for name, tensor in live.items():
        tensor.copy_(saved[name])


def _seal(tensors: Mapping[str, Tensor], text: str) -> str:
    return digest({**tensors, "": torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8)})
