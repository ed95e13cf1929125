"""Run folders of kind ``ternary``, written without training."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgewise.compress import Network, to_bytes
from edgewise.core.artifacts import write_manifest
from edgewise.core.files import sha256_of, write_bytes


def packed_run(folder: Path, network: Network) -> Path:
    """A folder with the artifact alone."""
    file = folder / "artifact" / "network.ew3"
    write_bytes(file, to_bytes(network))
    manifest = {
        "kind": "ternary",
        "backbone": {"name": "none", "settings": {}},
        "method": {"name": "wpc", "fields": {}},
        "classes": list(network.classes),
        "preprocess": network.preprocess.to_json(),
        "metrics": {},
        "tensors": {"file": file.name, "sha256": sha256_of(file), "bytes": file.stat().st_size},
    }
    write_manifest(file.parent, manifest, "")
    return folder


def photo_folder(folder: Path, photos: NDArray[np.uint8]) -> Path:
    """PNG files, so that what is decoded is what was given."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, photo in enumerate(photos):
        Image.fromarray(photo).save(folder / f"{number:03}.png")
    return folder
