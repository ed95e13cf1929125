"""``edgewise export``: a compressed network as a C program, proved on photos before it is said to be done."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewise.compress import Network
from edgewise.core.artifacts import find_artifact
from edgewise.core.errors import EdgewiseError, UsageError, unknown
from edgewise.core.files import read_json
from edgewise.core.preprocess import Preprocess
from edgewise.core.progress import Listener, Silent
from edgewise.core.runs import RunFolder
from edgewise.data.images import SUFFIXES, BadImage, open_image
from edgewise.data.official import official
from edgewise.data.sets import open_data
from edgewise.data.transforms import evaluation_image
from edgewise.export.limits import check
from edgewise.export.program import check_place, write_program
from edgewise.export.quantise import BITS, quantised
from edgewise.export.readme import readme
from edgewise.export.source import sources
from edgewise.jobs.packed_opening import packed_network

TARGETS = ("c",)
ACTIVATIONS = {f"int{bits}": bits for bits in BITS}
CALIBRATED = 256  # photos


@dataclass(frozen=True)
class ExportRequest:
    """Everything ``edgewise export`` can be told.  ``calibrate``: photos, by default those the run was trained on."""

    run: Path
    out: Path
    to: str = "c"
    activations: str = "int8"
    calibrate: Path | None = None

    def __post_init__(self) -> None:
        if self.to not in TARGETS:
            raise unknown("target", self.to, TARGETS)
        if self.activations not in ACTIVATIONS:
            raise unknown("kind of activations", self.activations, ACTIVATIONS)


def export(request: ExportRequest, listener: Listener | None = None) -> dict[str, Any]:
    """Write the program; ``out, activations, photos {calibrated, proved}, same_answers, float_error, bytes {memory,
    constants}``, and ``note`` where it could not be proved.

    Raises `UsageError` for a run that holds no packed network, a dead layer, a place that is taken; `EdgewiseError`
    where the program does not agree with Python.
    """
    listener = listener or Silent()
    check_place(request.out)
    network = _network(request.run)
    check(network)
    photos = calibration(request, network.preprocess)
    listener.stage(f"Calibrating on {len(photos):,} photos")
    integers = quantised(network, photos, ACTIVATIONS[request.activations])
    made = sources(integers)
    listener.stage("Writing the program and comparing it with Python")
    text = readme(integers, made)
    proof = write_program(request.out, integers, made, text, photos)
    found = {
        "out": str(request.out),
        "activations": request.activations,
        "photos": {"calibrated": len(photos), "proved": proof.photos if proof else 0},
        "same_answers": proof.same_answers if proof else None,
        "float_error": proof.float_error if proof else None,
        "bytes": {"memory": made.memory, "constants": made.constants},
    }
    if proof is None:
        listener.note(
            "There is no C compiler here, so the program was not compared with Python: try it where there is."
        )
    return found


def calibration(request: ExportRequest, preprocess: Preprocess) -> NDArray[np.uint8]:
    """(N, S, S, 3): photos evenly from all there are; those that cannot be read are left out."""
    paths = _paths(request)
    images = []
    for path in paths[:: max(1, len(paths) // CALIBRATED)][:CALIBRATED]:
        try:
            image = evaluation_image(open_image(path, at_least=preprocess.resize), preprocess)
        except BadImage:
            continue
        images.append(image.permute(1, 2, 0).numpy())
    if not images:
        raise UsageError("None of the photos to calibrate on can be read: name others with --calibrate.")
    return np.stack(images)


def _paths(request: ExportRequest) -> Sequence[Path]:
    where = request.calibrate or _trained_on(request.run)
    if where.is_dir() and official(where) is None:
        inside = where / "train" if (where / "train").is_dir() else where
        found = sorted(p for p in inside.rglob("*") if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))
        if not found:
            raise UsageError(f"There are no photos in {where} ({', '.join(sorted(SUFFIXES))}).")
        return found
    return [sample.path for sample in open_data(where, val_fraction=0).train]


def _trained_on(run: Path) -> Path:
    try:
        data = Path(str(RunFolder(run).read_config()["data"]))
    except (EdgewiseError, KeyError):
        data = None
    if data is None or not (data.exists() or official(data) is not None):
        where = "does not say" if data is None else f"says {data}, which is not there"
        raise UsageError(
            f"Scales are calibrated on photos, and {run} {where}. Name the photos it was trained on, or some like "
            "them: --calibrate DATA."
        )
    return data


def _network(run: Path) -> Network:
    folder = find_artifact(run)
    manifest = read_json(folder / "artifact.json", "artifact")
    kind = manifest.get("kind") if isinstance(manifest, dict) else None
    if kind != "ternary":
        raise UsageError(
            f"{run} holds an artifact of kind {kind!r}; a C program is made of a network with ternary weights. Make "
            "one: edgewise compress DATA --backbone resnet20 --weights FILE."
        )
    return packed_network(folder)
