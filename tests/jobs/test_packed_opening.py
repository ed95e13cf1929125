"""A run of kind ``ternary``, made by hand: evaluated, asked, opened, and refused where it is not what was written."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

import edgewise as ew
from commands import edgewise
from edgewise.backbones import FAMILIES
from edgewise.compress import PackedNetwork, lowered, to_bytes
from edgewise.compress.ternary import put_ternary
from edgewise.core.artifacts import write_manifest
from edgewise.core.errors import EdgewiseError, UsageError
from edgewise.core.files import sha256_of, write_bytes
from edgewise.jobs.packed_opening import packed_network

CLASSES = ("square", "stripe")


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(3)
    model = FAMILIES["resnet20"].build(classes=2)
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Conv2d) and name != "conv1":
            put_ternary(layer, 16)
    return lowered(model, FAMILIES["resnet20"].input, CLASSES)


@pytest.fixture
def run(network, tmp_path):
    """The folder of a run that has only its artifact."""
    artifact = tmp_path / "run" / "artifact"
    artifact.mkdir(parents=True)
    path = artifact / "network.ew3"
    write_bytes(path, to_bytes(network))
    entry = {"file": path.name, "sha256": sha256_of(path), "bytes": path.stat().st_size}
    manifest = {"kind": "ternary", "classes": CLASSES, "preprocess": network.preprocess.to_json(), "tensors": entry}
    write_manifest(artifact, manifest, "# A card\n")
    return tmp_path / "run"


def test_eval_predict_and_open_agree(run: Path, photos: Path, network) -> None:
    done = edgewise(run.parent, "eval", "run", str(photos), "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    opened = ew.open(run)
    assert opened.classes == CLASSES
    again = opened.evaluate(photos)
    assert found == again
    assert (found["n"], found["split"]) == (16, "test")
    photo = photos / "test" / "stripe" / "000.jpg"
    told = opened.predict(photo, top=2)
    asked = edgewise(run.parent, "predict", "run", str(photo), "--top", "2", "--json")
    assert json.loads(asked.stdout)["predictions"] == [told]
    assert sum(value for _, value in told["top"]) == pytest.approx(1)
    images = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    assert torch.equal(opened.opened.model(images), PackedNetwork(network)(images))
    assert to_bytes(packed_network(run)) == to_bytes(network)


def test_the_artifact_is_enough(run: Path, photos: Path) -> None:
    moved = (run / "artifact").rename(run.parent / "carried")
    assert ew.open(moved).evaluate(photos)["n"] == 16


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda content: content[:-1], r"network\.ew3 is not the file that was saved \(its SHA-256 differs\)"),
        (lambda content: content[:-1] + b"\x7f", r"network\.ew3 is not the file that was saved"),
    ],
)
def test_another_file_is_refused(run: Path, change, said: str) -> None:
    path = run / "artifact" / "network.ew3"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(EdgewiseError, match=said):
        ew.open(run)


def test_a_file_with_the_right_digest_is_still_not_believed(run: Path) -> None:
    path, manifest = run / "artifact" / "network.ew3", run / "artifact" / "artifact.json"
    path.write_bytes(path.read_bytes()[:-4])
    said = json.loads(manifest.read_text())
    said["tensors"]["sha256"] = sha256_of(path)
    manifest.write_text(json.dumps(said))
    with pytest.raises(EdgewiseError, match=r"network\.ew3: The packed network cannot be read: it has \d+ bytes and"):
        ew.open(run)
    path.unlink()
    with pytest.raises(EdgewiseError, match="there is no .*network.ew3"):
        ew.open(run)
    del said["tensors"]
    manifest.write_text(json.dumps(said))
    with pytest.raises(EdgewiseError, match="is incomplete: tensors missing"):
        ew.open(run)


def test_what_it_has_no_use_for_is_refused(run: Path, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--weights names a backbone's file, and .*run holds all of its weights"):
        ew.open(run, backbone="weights.safetensors")
    with pytest.raises(UsageError, match=r"--source is for a reprogrammed model, and .*run is none; leave it out"):
        ew.open(run, source="http://localhost:1")
    with pytest.raises(EdgewiseError, match="is of kind 'ternary', and 'adapter' is needed here"):
        ew.open(run, backbone=nn.Linear(1, 1))
    done = edgewise(tmp_path, "eval", "run", str(photos), "--weights", "w.safetensors")
    assert done.returncode == 2
    assert "leave it out" in done.stderr
