"""From real photos to a C program: compress, eval, export, make, and the same accuracy on real test photos."""

import io
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from commands import edgewise
from edgewise.export.library import compiler

COUNTS = {"train": 15, "test": 10}  # photos a class


def photo_set(shared: Path, folder: Path) -> None:
    """Class folders with the first photos of every class of CIFAR-10."""
    for part, count in COUNTS.items():
        stored = np.load(shared / "images" / f"cifar10_{part}.npz")
        for label, name in enumerate(stored["classes"]):
            (folder / part / str(name)).mkdir(parents=True)
            for number in np.flatnonzero(stored["labels"] == label)[:count]:
                first, last = stored["offsets"][number : number + 2]
                (folder / part / str(name) / f"{number}.jpg").write_bytes(stored["data"][first:last].tobytes())


@pytest.mark.skipif(compiler() is None or shutil.which("make") is None, reason="there is no C compiler or make here")
def test_the_program_is_as_good_as_the_run(shared: Path, tmp_path: Path) -> None:
    photo_set(shared, tmp_path / "photos")
    weights = shared / "weights" / "cifar10_resnet20.safetensors"
    made = edgewise(
        tmp_path, "compress", "photos", "--backbone", "resnet20", "--weights", str(weights), "--epochs", "1",
        "--out", "run", "--quiet",
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    scored = json.loads(edgewise(tmp_path, "eval", "run", "photos", "--json").stdout)
    exported = edgewise(tmp_path, "export", "run", "--to", "c", "--out", "c", "--activations", "int16", "--quiet")
    assert exported.returncode == 0, exported.stderr
    subprocess.run(["make", "-C", str(tmp_path / "c")], check=True, capture_output=True)
    paths = sorted((tmp_path / "photos" / "test").rglob("*.jpg"))
    raw = b"".join(np.asarray(Image.open(io.BytesIO(path.read_bytes())).convert("RGB")).tobytes() for path in paths)
    done = subprocess.run([tmp_path / "c" / "edgewise"], input=raw, capture_output=True, check=True)
    right = [path.parent.name == said for path, said in zip(paths, done.stdout.decode().splitlines(), strict=True)]
    assert len(right) == scored["n"] == 10 * COUNTS["test"]
    assert sum(right) / len(right) == pytest.approx(scored["accuracy"])
