"""The artifact: what a user carries away from a run.

``artifact.json`` says what it is and what it fits onto; the tensors lie beside it with their
digest; ``README.md`` is the model card.  The manifest is written last, so a folder with a manifest
is complete.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from edgewise.core.errors import EdgewiseError
from edgewise.core.files import read_json, sha256_of, write_atomically, write_json, write_text

SCHEMA = "edgewise-artifact-1"
REQUIRED = {  # by kind
    "adapter": ("backbone", "method", "classes", "preprocess", "lean", "metrics", "tensors"),
    "program": ("source", "samples", "transform", "mapping", "trainer", "classes", "seed", "tensors"),
    "conditioner": ("source", "transform", "trainer", "classes", "seed", "tensors"),
    "ternary": ("classes", "preprocess", "tensors"),
    "subnets": ("backbone", "subnets", "classes", "preprocess", "tensors"),
    "steering": ("source", "steering", "trainer", "seed", "tensors"),
}


def write_tensors(folder: Path, name: str, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Write ``folder/name`` and return its entry for the manifest: file, sha256, bytes."""
    whole = {key: tensor.detach().contiguous() for key, tensor in tensors.items()}
    write_atomically(folder / name, lambda part: save_file(whole, part, {"schema": SCHEMA}))
    return {"file": name, "sha256": sha256_of(folder / name), "bytes": (folder / name).stat().st_size}


def write_manifest(folder: Path, manifest: Mapping[str, Any], card: str) -> None:
    """Write the model card and then ``artifact.json``."""
    write_text(folder / "README.md", card)
    write_json(folder / "artifact.json", {"schema": SCHEMA, **manifest})


def find_artifact(path: Path) -> Path:
    """The artifact folder of a run folder, or ``path`` itself when it is one."""
    for folder in (path / "artifact", path):
        if (folder / "artifact.json").is_file():
            return folder
    if not path.exists():
        raise EdgewiseError(f"There is nothing at {path}. Give the folder of a run, such as runs/fit-1.")
    if (path / "config.yaml").exists():
        raise EdgewiseError(f"The run in {path} is not finished: it has no artifact. Finish it with --resume.")
    raise EdgewiseError(f"{path} is neither a run nor an artifact: there is no artifact.json in it.")


def read_manifest(folder: Path, kind: str = "adapter") -> dict[str, Any]:
    """``artifact.json`` of an artifact of ``kind``, with every required part present."""
    path = folder / "artifact.json"
    manifest = read_json(path, "artifact")
    if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
        raise EdgewiseError(f"{path} is not an artifact that this version of Edgewise reads.")
    if missing := [
        key for key in ("kind", *REQUIRED.get(str(manifest.get("kind")), REQUIRED[kind])) if key not in manifest
    ]:
        raise EdgewiseError(f"{path} is incomplete: {', '.join(missing)} missing. Was it edited?")
    if manifest["kind"] != kind:
        raise EdgewiseError(f"{path} is of kind {manifest['kind']!r}, and {kind!r} is needed here.")
    return manifest


def read_tensors(folder: Path, manifest: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors the manifest names, refused unless they are the bytes that were written."""
    path = tensors_file(folder, manifest)
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise EdgewiseError(f"{path} cannot be read as safetensors ({error}).") from error


def tensors_file(folder: Path, manifest: Mapping[str, Any]) -> Path:
    """The file in which the manifest says the tensors are, refused unless it holds the bytes that were written."""
    entry = manifest["tensors"]
    path = folder / Path(str(entry.get("file"))).name
    if not path.is_file():
        raise EdgewiseError(f"The artifact's tensors are missing: there is no {path}.")
    if sha256_of(path) != entry.get("sha256"):
        raise EdgewiseError(
            f"{path} is not the file that was saved (its SHA-256 differs): it was cut off or changed. Copy it again."
        )
    return path
