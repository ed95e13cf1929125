"""``--frozen-bits 8``: the whole road, to the same bits whoever opens it and however often it was interrupted."""

import json
import shutil

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

import edgewise as ew
from commands import edgewise
from edgewise.core.errors import EdgewiseError, UsageError
from edgewise.core.files import sha256_of
from edgewise.core.progress import Silent
from edgewise.core.surgery import digest
from edgewise.jobs.evaluate import evaluate
from edgewise.jobs.fit import FitRequest, fit_run
from edgewise.jobs.opening import open_artifact
from edgewise.lean import FAST, Lean

INT8 = Lean(frozen_bits=8)


def request(photos, **changes):
    settings = {"backbone": "pocket", "epochs": 2, "workers": 0, "method": "repnet", "lean": INT8, **changes}
    return FitRequest(str(photos), **settings)


@pytest.fixture(scope="module")
def run(photos, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "first"
    return out, fit_run(request(photos), out)


def adapter(run):
    return load_file(run / "artifact" / "adapter.safetensors")


def test_what_is_written_down(run):
    out, record = run
    lean = record["lean"]
    assert (lean["frozen_bits"], lean["layers"], lean["photos"]) == (8, 37, 34)
    assert 0 < lean["logit_change_mean"] < lean["logit_change_max"] < lean["logit_spread"]
    assert 0.8 < lean["same_answers"] <= 1
    assert json.loads((out / "record.json").read_text())["lean"] == lean
    assert json.loads((out / "artifact" / "artifact.json").read_text())["lean"] == {"frozen_bits": 8}
    assert yaml.safe_load((out / "config.yaml").read_text())["lean"]["frozen_bits"] == 8
    (note,) = [note for note in record["notes"] if "8 bits" in note]
    assert note.startswith("The frozen weights of 37 convolutions are held in 8 bits. On 34 training photos this moves")
    assert note in (out / "report.html").read_text()


def test_the_adapter_holds_corrected_norms_and_no_frozen_weight(run):
    of_the_backbone = {name for name in adapter(run[0]) if not name.startswith(("side.", "network.classifier."))}
    assert of_the_backbone
    assert all(name.endswith(".running_mean") for name in of_the_backbone)


def test_every_way_to_open_it_gives_the_same_network(run, photos):
    out, record = run
    models = [open_artifact(out, lean=lean).model for lean in (INT8, Lean(), FAST, None)]
    held = [sum(p.dtype == torch.int8 for p in model.parameters()) for model in models]
    assert held == [37, 37, 37, 0]
    images = torch.randint(0, 256, (3, 3, *2 * [models[0].backbone.input.size]), dtype=torch.uint8)
    first, *others = [model(images) for model in models]
    assert all(torch.allclose(first, other, atol=1e-4) for other in others)
    assert evaluate(out, photos)["accuracy"] == record["metrics"]["test_accuracy"]


class Stopped(Exception):
    pass


class StopsAfter(Silent):
    def __init__(self, steps):
        self.steps = steps

    def progress(self, done, total):
        if done == self.steps and total == 10:
            raise Stopped


@pytest.mark.parametrize("method", ["repnet", "bias"])
def test_resumed_to_the_same_bits(photos, tmp_path, method):
    whole = fit_run(request(photos, method=method), tmp_path / "whole")
    with pytest.raises(Stopped):
        fit_run(request(photos, method=method), tmp_path / "cut", listener=StopsAfter(7))
    assert (tmp_path / "cut" / "checkpoint" / "state.json").exists()
    cut = fit_run(request(photos, method=method), tmp_path / "cut", resume=True)
    assert digest(adapter(tmp_path / "whole")) == digest(adapter(tmp_path / "cut"))
    assert cut["lean"] == whole["lean"]
    with pytest.raises(UsageError, match="'frozen_bits': 8.*and is now.*'frozen_bits': 32"):
        fit_run(request(photos, method=method, lean=Lean()), tmp_path / "cut", resume=True)


def test_where_nothing_is_frozen_nothing_changes(photos, tmp_path):
    record = fit_run(request(photos, method="full", epochs=1), tmp_path / "eight")
    fit_run(request(photos, method="full", epochs=1, lean=Lean()), tmp_path / "whole")
    assert digest(adapter(tmp_path / "eight")) == digest(adapter(tmp_path / "whole"))
    assert record["lean"] == {**dict.fromkeys(record["lean"]), "frozen_bits": 8, "layers": 0, "photos": 0}
    assert any("--frozen-bits 8 changes nothing" in note for note in record["notes"])


def test_32_bits_are_written_down_too(photos, tmp_path):
    record = fit_run(request(photos, method="last", epochs=1, lean=None), tmp_path / "run")
    assert record["lean"]["frozen_bits"] == 32
    assert json.loads((tmp_path / "run/artifact/artifact.json").read_text())["lean"] == {"frozen_bits": 32}


def test_bits_nobody_knows_are_refused(run, tmp_path):
    folder = tmp_path / "artifact"
    shutil.copytree(run[0] / "artifact", folder)
    manifest = json.loads((folder / "artifact.json").read_text())
    for lean, said in (({"frozen_bits": 4}, "in 4 bits"), ({}, "in None bits")):
        (folder / "artifact.json").write_text(json.dumps({**manifest, "lean": lean}))
        with pytest.raises(EdgewiseError, match=f"{said}; this version knows 8 and 32"):
            open_artifact(folder)


def test_an_adapter_that_brings_a_weight_of_its_own(run, tmp_path):
    """Other weights than the backbone's are rounded as they come, to what they were when they were saved."""
    folder = tmp_path / "artifact"
    shutil.copytree(run[0] / "artifact", folder)
    model = open_artifact(folder).model
    name = next(name for name, p in model.named_parameters() if p.dtype == torch.int8)
    model.load_state_dict({**model.state_dict(), name: model.state_dict()[name].flip(0)})
    changed = model.difference()
    assert changed.keys() == {*adapter(run[0]), name}
    tensors = folder / "adapter.safetensors"
    save_file({key: tensor.contiguous() for key, tensor in changed.items()}, tensors)
    manifest = json.loads((folder / "artifact.json").read_text())
    manifest["tensors"]["sha256"] = sha256_of(tensors)
    (folder / "artifact.json").write_text(json.dumps(manifest))
    images = torch.randint(0, 256, (2, 3, *2 * [model.backbone.input.size]), dtype=torch.uint8)
    assert torch.equal(open_artifact(folder).model(images), model(images))


def test_from_python(photos, tmp_path):
    model = ew.adapt(ew.load("pocket"), ew.LastLayer(), ["square", "stripe"])
    run = ew.fit(model, photos, out=tmp_path / "run", epochs=1, workers=0, lean=INT8)
    photo = photos / "test" / "stripe" / "000.jpg"
    assert ew.open(tmp_path / "run").predict(photo) == run.predict(photo)


def test_the_command(photos, tmp_path):
    settings = ("--backbone", "pocket", "--method", "last", "--epochs", "1", "--workers", "0", "--out", "run")
    done = edgewise(tmp_path, "fit", str(photos), *settings, "--frozen-bits", "8")
    assert done.returncode == 0, done.stderr
    assert "held in 8 bits" in done.stdout + done.stderr
    for option, said in ((("8", "--lean", "off"), "needs --lean small or fast"), (("4",), "choose one of 8, 32")):
        done = edgewise(tmp_path, "fit", str(photos), *settings[:-1], "other", "--frozen-bits", *option)
        assert done.returncode == 2
        assert said in done.stderr
    assert not (tmp_path / "other").exists()


def test_a_model_goes_from_8_bits_to_stock_and_back(photos, tmp_path):
    model = ew.adapt(ew.load("pocket"), ew.LastLayer(), ["square", "stripe"])
    sizes = []
    for number, lean in enumerate((INT8, INT8, None, INT8)):
        run = ew.fit(model, photos, out=tmp_path / str(number), epochs=1, workers=0, lean=lean)
        sizes.append(run.record["sizes"]["artifact_bytes"])
    assert sizes[0] == sizes[1] < sizes[2] == sizes[3], "floats that were rounded are not the backbone's any more"
