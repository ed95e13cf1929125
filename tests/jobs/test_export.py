"""``edgewise export``: what it leaves, what it refuses, and that nothing is left where it fails."""

import dataclasses
import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from commands import edgewise
from edgewise.compress import Conv, Network, Packed, Ternary
from edgewise.core.errors import EdgewiseError, UsageError
from edgewise.core.files import read_json, write_json, write_text
from edgewise.export import integer, program
from edgewise.export.library import compiler
from edgewise.export.limits import check
from edgewise.export.program import logits_of
from edgewise.export.quantise import quantised
from edgewise.jobs.export import ExportRequest, calibration, export
from packed_runs import packed_run, photo_folder
from small_networks import CLASSES, Maker, photos, residual

needs_compiler = pytest.mark.skipif(compiler() is None, reason="there is no C compiler here")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A packed network, and the photos that its settings name."""
    folder = packed_run(tmp_path / "run", residual())
    data = photo_folder(tmp_path / "photos" / "train", photos(12, 20)).parent
    write_text(folder / "config.yaml", f"data: {data}\n")
    return folder


def without(network: Network, name: str) -> Network:
    """The same with every weight of a ternary layer 0."""
    steps = []
    for step in network.steps:
        op = step.op
        if step.name == name and isinstance(op, Conv) and isinstance(op.weight, Packed):
            dead = Ternary(torch.zeros_like(op.weight.ternary.codes), 0.0)
            op = dataclasses.replace(op, weight=Packed(dead, op.weight.slab))
        steps.append(dataclasses.replace(step, op=op))
    return dataclasses.replace(network, steps=tuple(steps))


@needs_compiler
@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")
def test_from_run_to_program(run: Path, tmp_path: Path) -> None:
    done = edgewise(tmp_path, "export", "run", "--to", "c", "--out", "program", "--activations", "int16")
    assert (done.returncode, done.stderr) == (0, "")
    assert "On 16 photos every logit is that of Python, bit for bit" in done.stdout
    assert done.stdout.splitlines()[-2:] == ["  make -C program", "  program/edgewise PHOTOS.rgb"]
    written = {path.name for path in (tmp_path / "program").iterdir()}
    assert written == {
        "README.md",
        "Makefile",
        "main.c",
        "edgewise.h",
        "edgewise.c",
        "adding.h",
        "network.h",
        "network.c",
    }
    subprocess.run(["make", "-C", str(tmp_path / "program")], check=True, capture_output=True)
    given = photos(12, 20)
    whole = quantised(residual(), given, 16)
    found = logits_of(tmp_path / "program" / "edgewise", given, len(CLASSES))
    np.testing.assert_array_equal(found, np.stack([integer.run(whole, photo) for photo in given]))


@needs_compiler
def test_json(run: Path, tmp_path: Path) -> None:
    done = edgewise(tmp_path, "export", "run", "--out", "program", "--calibrate", "photos", "--json")
    found = json.loads(done.stdout)
    assert found["photos"] == {"calibrated": 20, "proved": 16}
    assert found["activations"] == "int8"
    assert found["same_answers"] > 0.5
    assert found["float_error"] < 1e-5
    assert f"{found['bytes']['memory']:,} bytes" in (tmp_path / "program" / "README.md").read_text()


@needs_compiler
def test_a_program_that_answers_otherwise_is_not_left(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = integer.run
    monkeypatch.setattr(program.integer, "run", lambda network, photo: right(network, photo) + 1)
    with pytest.raises(
        EdgewiseError, match="does not answer as Python does: integer logits differ by up to 1. Nothing"
    ):
        export(ExportRequest(run, tmp_path / "out"))
    assert {path.name for path in tmp_path.iterdir()} == {"run", "photos"}


def test_without_a_compiler(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = export(ExportRequest(run, tmp_path / "out"))
    assert (found["photos"]["proved"], found["same_answers"]) == (0, None)
    assert (tmp_path / "out" / "edgewise.c").is_file()


def test_a_dead_network_is_refused(run: Path, tmp_path: Path) -> None:
    packed_run(tmp_path / "dead", without(residual(), "step3"))
    with pytest.raises(UsageError, match="The layer step3 has no weight left: .* smaller --lambda"):
        export(ExportRequest(tmp_path / "dead", tmp_path / "out", calibrate=tmp_path / "photos"))
    assert not (tmp_path / "out").exists()


def test_another_kind_of_run_is_refused(run: Path, tmp_path: Path) -> None:
    manifest = run / "artifact" / "artifact.json"
    write_json(manifest, {**read_json(manifest, "artifact"), "kind": "adapter"})
    with pytest.raises(
        UsageError, match="kind 'adapter'; a C program is made of a network with ternary weights. Make one"
    ):
        export(ExportRequest(run, tmp_path / "out"))


def test_places_that_are_taken(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="run is in use. Choose another with --out"):
        export(ExportRequest(run, run))
    with pytest.raises(UsageError, match=r"config.yaml is a file; --out names a folder"):
        export(ExportRequest(run, run / "config.yaml"))
    (tmp_path / "closed").mkdir(mode=0o500)
    if os.access(tmp_path / "closed", os.W_OK):
        pytest.skip("this user may write everywhere")
    with pytest.raises(UsageError, match="closed cannot be written to. Choose another folder"):
        export(ExportRequest(run, tmp_path / "closed" / "out"))


def test_wrong_words(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="There is no target 'onnx'. Known: c"):
        ExportRequest(run, tmp_path / "out", to="onnx")
    with pytest.raises(UsageError, match="There is no kind of activations 'int9'. Did you mean 'int8'"):
        ExportRequest(run, tmp_path / "out", activations="int9")


def test_photos_to_calibrate_on(run: Path, tmp_path: Path) -> None:
    found = calibration(ExportRequest(run, tmp_path / "out"), residual().preprocess)
    np.testing.assert_array_equal(found, photos(12, 20))
    for path in (tmp_path / "photos" / "train").iterdir():
        path.write_bytes(b"no photo")
    with pytest.raises(UsageError, match="None of the photos to calibrate on can be read"):
        calibration(ExportRequest(run, tmp_path / "out"), residual().preprocess)
    shutil.rmtree(tmp_path / "photos" / "train")
    with pytest.raises(UsageError, match="There are no photos in"):
        calibration(ExportRequest(run, tmp_path / "out"), residual().preprocess)
    shutil.rmtree(tmp_path / "photos")
    with pytest.raises(UsageError, match="photos, which is not there. Name the photos .* --calibrate DATA"):
        calibration(ExportRequest(run, tmp_path / "out"), residual().preprocess)
    (run / "config.yaml").unlink()
    with pytest.raises(UsageError, match="run does not say. Name the photos"):
        calibration(ExportRequest(run, tmp_path / "out"), residual().preprocess)


def test_a_network_that_ends_otherwise_is_refused() -> None:
    make = Maker(8)
    make.conv(0, len(CLASSES), (8, 8), padding=(0, 0, 0, 0), curve="hswish")
    with pytest.raises(UsageError, match="The network ends in step1; the C program ends in a linear layer"):
        check(Network(make.preprocess, CLASSES, tuple(make.steps)))
