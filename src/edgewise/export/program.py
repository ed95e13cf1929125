"""The folder of a C program, proved before it is shown: compiled, run on real photos, compared with Python.

Integers must agree bit for bit with `edgewise.export.integer`, floats up to rounding with the network in torch.
"""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from edgewise.compress import PackedNetwork
from edgewise.core.errors import EdgewiseError, UsageError
from edgewise.export import integer
from edgewise.export.library import FAST, FLOAT, compiled, compiler, write_sources
from edgewise.export.quantise import IntegerNetwork
from edgewise.export.source import Sources

LIMIT = 120  # seconds that the program may take for the photos of the proof
CLOSE = 1e-5  # of the largest logit
TWINS = 16  # photos that the slow twin in numpy answers, too


@dataclass(frozen=True)
class Proof:
    """``photos`` whose every integer logit was that of Python; ``same_answers``: the share of all photos given on which
    float and integers name the same class; ``float_error``: the largest difference of a float logit."""

    photos: int
    same_answers: float
    float_error: float


def check_place(out: Path) -> None:
    """Raise `UsageError` where no new folder can be made."""
    if out.is_file():
        raise UsageError(f"{out} is a file; --out names a folder for the program.")
    if out.is_dir() and any(out.iterdir()):
        raise UsageError(f"The folder {out} is in use. Choose another with --out.")
    above = next(folder for folder in out.absolute().parents if folder.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise UsageError(f"{out} cannot be made: {above} cannot be written to. Choose another folder with --out.")


def write_program(
    out: Path, network: IntegerNetwork, sources: Sources, readme: str, photos: NDArray[np.uint8]
) -> Proof | None:
    """Write the folder ``out``, all at once, and prove it on ``photos`` (N, S, S, 3); None where nothing compiles it.

    Raises `UsageError` for a place that is taken, `EdgewiseError` where the program does not agree with Python: then
    nothing is left.
    """
    check_place(out)
    part = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        part.mkdir(parents=True)
        write_sources(part, sources)
        (part / "README.md").write_text(readme, encoding="utf-8")
        proof = proved(part, network, photos) if compiler() else None
        os.replace(part, out)
    except OSError as error:
        raise EdgewiseError(f"{out} could not be written: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return proof


def proved(folder: Path, network: IntegerNetwork, photos: NDArray[np.uint8]) -> Proof:
    """Compile the program in ``folder`` both ways and compare every logit; no file is left of it."""
    program = folder / "proof"
    try:
        whole = logits_of(compiled(folder, program, FAST), photos, len(network.network.classes))
        some = np.arange(0, len(photos), max(1, len(photos) // TWINS))[:TWINS]
        expected = np.stack([integer.run(network, photos[number]) for number in some])
        if (whole[some] != expected).any():
            raise _disagreement("integer", float(np.abs(whole[some] - expected).max()))
        found = logits_of(compiled(folder, program, (*FAST, FLOAT)), photos, len(network.network.classes))
        images = torch.from_numpy(np.ascontiguousarray(photos.transpose(0, 3, 1, 2)))
        in_torch = PackedNetwork(network.network)(images).numpy()
        error = float(np.abs(found - in_torch).max())
        if not error <= CLOSE * max(1.0, float(np.abs(in_torch).max())):
            raise _disagreement("float", error)
    finally:
        program.unlink(missing_ok=True)
    return Proof(len(some), float((whole.argmax(1) == in_torch.argmax(1)).mean()), error)


def logits_of(program: Path, photos: NDArray[np.uint8], classes: int, before: tuple[str, ...] = ()) -> NDArray[Any]:
    """(N, classes) that the program prints for ``photos``, given on its standard input; ``before`` starts it."""
    done = subprocess.run(
        [*before, str(program), "-l"], input=np.ascontiguousarray(photos).tobytes(), capture_output=True, timeout=LIMIT
    )
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()
        raise EdgewiseError(f"The exported program ended with {done.returncode} {said}.")
    rows = [line.split()[-classes:] for line in done.stdout.decode(errors="replace").splitlines()]
    return np.array(rows, np.float64)


def _disagreement(numbers: str, error: float) -> EdgewiseError:
    return EdgewiseError(
        f"The exported program does not answer as Python does: {numbers} logits differ by up to {error:.3g}. Nothing "
        "was exported; please report this with the compiler's version."
    )
