"""``edgewise subnets`` as a job: what a run leaves, killed or not, and what it refuses."""

import json
import random
import signal
import subprocess
import sys
import time

import pytest

from edgewise.core.errors import EdgewiseError, UsageError
from edgewise.core.progress import Silent
from edgewise.core.runs import RunFolder
from edgewise.jobs import subnets_results
from edgewise.jobs.any_opening import open_run
from edgewise.jobs.evaluate import score
from edgewise.jobs.subnets import SubNetSettings, SubNetsRequest, subnets
from edgewise.jobs.subnets_opening import open_subnets
from edgewise.subnets import TRAININGS
from subnets_small import Small

WEIGHTS = 8 * 8 * 9 + 8 * 16 * 9 + 32  # that sub-nets choose from


def request(photos, **changes):
    names = SubNetSettings.__dataclass_fields__
    own = {name: changes.pop(name) for name in list(changes) if name in names}
    settings = {
        "epochs": 6, "batch_size": 8, "lr": 0.05, "image_size": 16, "pad": 2, "workers": 0, "val_fraction": 0.2,
        **changes,
    }  # fmt: skip
    return SubNetsRequest(str(photos), subnets=SubNetSettings(**{"densities": (0.5, 0.3, 0.2), **own}), **settings)


ARMS = {
    "ast": {},
    "ast without correction": {"gc": False},
    "cs": {"relation": "cs"},
    "from 60 %": {"start": 0.6},
    "shared norms": {"norms": "shared"},
    "joint": {"training": "joint"},
    "granet": {"training": "granet", "densities": (0.3,)},
    "mest": {"training": "mest", "densities": (0.3,), "every": 3},
    "dense": {"training": "dense", "densities": (1.0,)},
    "patterns": {"patterns": ("2:4", "1:4")},
    "srste": {"training": "srste", "patterns": ("1:4",)},
}


@pytest.fixture(scope="module")
def runs(photos, tmp_path_factory):
    """A finished run of every arm, made once."""
    root = tmp_path_factory.mktemp("runs")
    return {arm: (root / arm, subnets(request(photos, **own), root / arm, module=Small())) for arm, own in ARMS.items()}


@pytest.mark.parametrize("arm", ARMS)
def test_a_run_leaves_what_it_promises(runs, photos, arm):
    out, record = runs[arm]
    assert RunFolder(out).read_record() == {"schema": "edgewise-record-1", **record}
    found, densities = record["subnets"], ARMS[arm].get("densities", (0.5, 0.3, 0.2))
    if "patterns" in ARMS[arm]:
        densities = {"patterns": (0.5, 0.25), "srste": (0.25,)}[arm]
    names = [f"{round(100 - 100 * density)}%" for density in densities]
    assert found["names"] == names
    most = 3 / WEIGHTS if arm == "mest" else 0.5 / WEIGHTS  # MEST rounds by layer
    assert found["densities"] == pytest.approx(densities, abs=1.0001 * most)
    assert list(found["accuracy"]) == list(found["val_accuracy"]) == names
    assert all(0 <= share <= 1 for share in found["accuracy"].values())
    assert record["metrics"]["accuracy"] == found["accuracy"][names[0]]
    assert list(found["layers"]) == ["second", "third", "head"]
    sizes = {"second": 576, "third": 1152, "head": 32}
    for name, density in zip(names, found["densities"], strict=True):
        counted = sum(found["layers"][layer][name] * size for layer, size in sizes.items())
        assert counted == pytest.approx(density * WEIGHTS)
    opened = open_subnets(out, names[-1], Small())
    assert opened.model.active == names[-1]
    assert score(opened, photos, 0.0, Silent())["accuracy"] == found["accuracy"][names[-1]]
    manifest = json.loads((out / "artifact/artifact.json").read_text())
    assert (manifest["kind"], manifest["subnets"]["names"]) == ("subnets", names)
    assert "they need no other weights" in (out / "artifact/README.md").read_text()
    assert (out / "metrics.csv").read_text().splitlines()[0].endswith(f"val_accuracy {names[-1]}")


def test_conflicts_are_there_before_and_none_after(runs):
    for arm in ("ast", "ast without correction"):
        rows = runs[arm][1]["subnets"]["negative_products"]
        assert [row["epoch"] for row in rows] == [1, 2, 3, 4, 5, 6]
        pairs = [pair for row in rows for pair in row["products"].values()]
        assert list(rows[0]["products"]) == ["50% 70%", "70% 80%"]
        assert sum(pair["pairs"] for pair in pairs) == 3 * (8 + 8)  # 24 steps, 3 layers, 2 of 3 steps with one before
        before, after = (sum(pair[f"negative_{when}"] for pair in pairs) for when in ("before", "after"))
        assert before > 0
        if arm == "ast":
            assert after == 0
            assert min(row["worst_cosine"] for row in rows) >= -1e-6
        else:
            assert after == before
            assert min(row["worst_cosine"] for row in rows) < -1e-3
    assert runs["joint"][1]["subnets"]["negative_products"] == []


def test_nested_sub_nets_differ_by_exactly_their_densities_and_others_by_more(runs):
    for arm, nested in (("cs", True), ("ast", False)):
        overlaps = runs[arm][1]["subnets"]["non_overlap"]
        assert [one["pair"] for one in overlaps] == [["50%", "70%"], ["50%", "80%"], ["70%", "80%"]]
        layers = [layer for one in overlaps for layer in one["layers"].values()]
        assert all(layer["non_overlap"] >= layer["gap"] - 1e-6 for layer in layers)
        exact = [layer["non_overlap"] == pytest.approx(layer["gap"], abs=1e-6) for layer in layers]
        assert all(exact) == nested


def test_alternating_takes_as_many_passes_as_one_network_and_joint_n_times(runs):
    work = {arm: record["subnets"]["training_macs"] for arm, (_, record) in runs.items()}
    assert work["ast"]["all"] == work["dense"]["all"] == work["granet"]["all"]
    assert work["joint"]["all"] == 3 * work["dense"]["all"]
    assert work["dense"]["without_zeros"] == work["dense"]["all"]
    assert work["from 60 %"]["without_zeros"] < work["ast"]["without_zeros"] < work["ast"]["all"]


def test_private_norms_add_to_each_sub_net_and_shared_ones_do_not(runs):
    private, shared = (runs[arm][1]["subnets"]["bytes"] for arm in ("ast", "shared norms"))
    assert private["50%"]["masks"] == shared["50%"]["masks"] == 72 + 144 + 4
    assert private["50%"]["norms"] == 4 * 4 * (8 + 8 + 16) + 3 * 8  # and the numbers of batches
    assert shared["50%"]["norms"] == 0
    assert shared["weights"]["bytes"] == private["weights"]["bytes"] + private["50%"]["norms"]


def test_without_validation_photos_the_last_epoch_is_kept_and_told_without_accuracies(photos, tmp_path):
    record = subnets(request(photos, epochs=3, val_fraction=0.0), tmp_path / "run", module=Small())
    assert record["subnets"]["val_accuracy"] == {}
    assert record["metrics"]["val_accuracy"] is None
    assert list(record["subnets"]["accuracy"]) == ["50%", "70%", "80%"]


def arguments(photos, out):
    words = f"subnets {photos} --backbone resnet20 --weights none --epochs 3 --batch-size 4 --densities 0.3,0.1 --gc"
    return [sys.executable, "-m", "edgewise", *f"{words} --workers 0 --seed 3 --quiet --out {out}".split()]


def started(command, out):
    process = subprocess.Popen(command)
    while not (out / "config.yaml").exists():
        assert process.poll() is None
        time.sleep(0.01)
    return process


@pytest.mark.parametrize("kills", [1, pytest.param(10, marks=pytest.mark.slow)])
def test_a_run_that_is_killed_and_resumed_ends_with_the_same_bytes(photos, tmp_path, kills):
    whole = tmp_path / "whole"
    process, began = started(arguments(photos, whole), whole), time.monotonic()
    assert process.wait() == 0
    seconds, expected = time.monotonic() - began, (whole / "artifact/subnets.safetensors").read_bytes()
    chance, cut = random.Random(kills), 0
    for number in range(3 * kills):
        out = tmp_path / str(number)
        process = started(arguments(photos, out), out)
        time.sleep(chance.uniform(0.3, 0.8) * seconds)
        process.send_signal(signal.SIGKILL)
        if process.wait() == -signal.SIGKILL:
            cut += 1
            subprocess.run([*arguments(photos, out), "--resume"], check=True)
            assert (out / "artifact/subnets.safetensors").read_bytes() == expected
            rows = [json.loads((one / "record.json").read_text())["history"] for one in (whole, out)]
            assert [{**row, "seconds": 0} for row in rows[0]] == [{**row, "seconds": 0} for row in rows[1]]
        if cut == kills:
            break
    assert cut == kills
    opened = open_run(out)  # a backbone with a name needs nothing but the run
    assert opened.model.active == "70%"
    with pytest.raises(UsageError, match="no sub-net '91%'.*Did you mean '90%'"):
        open_subnets(out, "91%")


def test_a_file_that_answers_otherwise_is_not_called_finished(photos, tmp_path, monkeypatch):
    def altered(net):
        return {name: t * 1.5 if name.startswith("weights/head") else t for name, t in tensors_of(net).items()}

    tensors_of = subnets_results.tensors_of
    monkeypatch.setattr(subnets_results, "tensors_of", altered)
    with pytest.raises(EdgewiseError, match="The sub-net 50% in .* does not give the logits it was trained to"):
        subnets(request(photos, epochs=3), tmp_path / "run", module=Small())
    assert not (tmp_path / "run/record.json").exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"densities": (0.5, 1.5)}, "1.5 is no share of the weights"),
        ({"densities": (0.5, 0.0)}, "0 is no share"),
        ({"densities": (0.2, 0.5)}, "from the largest down: 0.5,0.2"),
        ({"densities": (0.5, 0.5)}, "name each once"),
        ({"densities": ()}, "names no sub-net"),
        ({"densities": (0.5, 0.02)}, r"less than one weight of head \(32\).*0.0313 and more"),
        ({"start": 0.3}, "--start 0.3 is less than the largest density, 0.5"),
        ({"training": "asd"}, "There is no training 'asd'. Did you mean 'ast'"),
        ({"training": "granet"}, "one sub-net at a time"),
        ({"training": "dense", "densities": (0.5,)}, "--densities 1"),
        ({"relation": "nested"}, "relation is 'nested'; choose one of nd, cs"),
        ({"training": "srste", "densities": (0.5,)}, "give one, such as --patterns 2:4"),
        ({"patterns": ("1:4", "2:4")}, "name those first that keep more"),
        ({"patterns": ("1:4",), "relation": "cs"}, "--relation cs is for sub-nets of single weights"),
        ({"patterns": ("1:16",)}, r"needs input channels that 16 divides.*second \(8\)"),
        ({"patterns": ("2/4",)}, "'2/4' is no pattern"),
        ({"epochs": 1}, "Every sub-net gets 1 steps.*--epochs"),
        ({"training": "mest", "densities": (0.3,), "every": 17}, "lower --every"),
        ({"weights": "nowhere.safetensors"}, "nowhere.safetensors"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_written(photos, tmp_path, changes, said):
    with pytest.raises(EdgewiseError, match=said):
        subnets(request(photos, **changes), tmp_path / "run", module=Small())
    assert not (tmp_path / "run").exists()


def test_the_trainings_that_are_run_are_all_there_are():
    assert {own.get("training", "ast") for own in ARMS.values()} == set(TRAININGS)


def test_a_run_is_not_resumed_with_other_settings(runs, photos):
    out, _ = runs["ast"]
    with pytest.raises(UsageError, match="relation was 'nd' and is now 'cs'"):
        subnets(request(photos, relation="cs"), out, resume=True, module=Small())
