"""``edgewise compress`` as a job: what a run leaves, killed or not, and what it refuses."""

import json
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edgewise.compress import read_network
from edgewise.core.errors import EdgewiseError, UsageError
from edgewise.core.runs import RunFolder
from edgewise.jobs import compress_results
from edgewise.jobs.any_opening import open_run
from edgewise.jobs.compress import Compression, CompressRequest, compress
from edgewise.jobs.evaluate import evaluate


class Small(nn.Module):
    """Three convolutions with norms, 16 pixels to 2 classes, in milliseconds."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.bn1 = nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8)
        self.second, self.bn2 = nn.Conv2d(8, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8)
        self.third, self.bn3 = nn.Conv2d(8, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16)
        self.head = nn.Linear(16, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.bn1(self.first(x)))
        x = F.relu(x + self.bn2(self.second(x)))
        return self.head(F.relu(self.bn3(self.third(x))).mean((2, 3)))


class Told:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.rows: list[dict] = []

    def stage(self, text): ...

    def progress(self, done, total): ...

    def epoch(self, row, epochs):
        self.rows.append(row)

    def note(self, text):
        self.notes.append(text)


def request(photos, **changes):
    compression = {name: changes.pop(name) for name in ("arm", "pe", "lam", "clip", "first_last") if name in changes}
    settings = {
        "epochs": 3, "batch_size": 8, "lr": 0.02, "image_size": 16, "pad": 2, "workers": 0, "val_fraction": 0.2,
        **changes,
    }  # fmt: skip
    return CompressRequest(str(photos), compression=Compression(**{"pe": 4, "lam": 0.05, **compression}), **settings)


ARMS = ("wpc", "naive", "tern", "prune", "float")


@pytest.fixture(scope="module")
def runs(photos, tmp_path_factory):
    """A finished run of every arm, made once."""
    root = tmp_path_factory.mktemp("runs")
    return {arm: (root / arm, compress(request(photos, arm=arm), root / arm, module=Small())) for arm in ARMS}


def test_the_arms_that_are_run_are_all_there_are():
    from edgewise.compress import ARMS as KNOWN

    assert set(ARMS) == set(KNOWN)


@pytest.mark.parametrize("arm", ARMS)
def test_a_run_leaves_what_it_promises(runs, photos, arm):
    out, record = runs[arm]
    assert RunFolder(out).read_record() == {"schema": "edgewise-record-1", **record}
    assert evaluate(out, photos)["accuracy"] == record["metrics"]["accuracy"]
    manifest = json.loads((out / "artifact/artifact.json").read_text())
    assert (manifest["kind"], manifest["method"]["name"], manifest["classes"]) == ("ternary", arm, ["square", "stripe"])
    assert "needs no other weights" in (out / "artifact/README.md").read_text()
    assert (out / "report.html").stat().st_size > 1000
    found, size = record["compress"], (out / "artifact/network.ew3").stat().st_size
    assert found["bytes"]["file"] == record["sizes"]["artifact_bytes"] == size
    assert found["bytes"]["float"] == 4 * sum(p.numel() for p in Small().parameters())
    assert found["rates"]["file"] == pytest.approx(found["bytes"]["float"] / size)
    names = [] if arm == "float" else ["second", "third"]
    assert [layer["name"] for layer in found["layers"]] == list(found["norms"]) == names
    assert all(len(found["norms"][layer["name"]]) == layer["groups"] for layer in found["layers"])
    assert (found["tiles"] is None) == (arm in ("prune", "float"))
    assert found["dead"] == []
    assert (out / "metrics.csv").read_text().splitlines()[0].split(",") == [
        "epoch", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "lr", "seconds",
        "penalty", "group_sparsity", "overall_sparsity",
    ]  # fmt: skip


@pytest.mark.parametrize("arm", ARMS)
def test_an_epoch_tells_penalty_and_sparsity_apart_from_the_loss(runs, arm):
    _, record = runs[arm]
    history = record["history"]
    assert [row["epoch"] for row in history] == [1, 2, 3]
    penalised, clipped = arm in ("wpc", "naive", "prune"), arm == "wpc"
    assert all((row["penalty"] > 0) == penalised for row in history)
    assert all((delta is not None) == clipped for row in history for delta, _ in row["layers"].values())
    last, found = history[-1], record["compress"]
    assert last["group_sparsity"] == found["group_sparsity"]
    assert {name: sparsity for name, (_, sparsity) in last["layers"].items()} == {
        layer["name"]: layer["group_sparsity"] for layer in found["layers"]
    }
    assert record["metrics"]["best_epoch"] == 3  # not the most accurate: the penalty had not reached that one


def test_the_equation_counts_the_bits_of_the_arm(runs):
    rates = {arm: record["compress"]["rates"]["eq_2_8"] for arm, (_, record) in runs.items()}
    empty = {arm: record["compress"]["group_sparsity"] for arm, (_, record) in runs.items()}
    assert rates["float"] is None
    assert rates["tern"] == pytest.approx(16 / (1 - empty["tern"]))
    assert rates["wpc"] == pytest.approx(16 / (1 - empty["wpc"]))
    assert rates["prune"] == pytest.approx(1 / (1 - empty["prune"]))


def test_everything_trains_statistics_too(photos, tmp_path):
    module, before = Small(), Small().state_dict()
    compress(request(photos, epochs=2), tmp_path / "run", module=module)
    assert all(not torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())
    assert module.bn1.num_batches_tracked == 2 * 4  # 32 photos, 8 in a step


def test_sixteen_bits_train_nearly_the_same_and_score_in_full(photos, tmp_path):
    whole = compress(request(photos, epochs=1), tmp_path / "whole", module=Small())
    coarse = compress(request(photos, epochs=1, precision="bfloat16"), tmp_path / "coarse", module=Small())
    losses = [record["history"][0]["train_loss"] for record in (whole, coarse)]
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=0.02)
    kept = [read_network(tmp_path / name / "artifact" / "network.ew3").steps[0].op for name in ("whole", "coarse")]
    assert all(op.weight.dtype == torch.float32 for op in kept)
    assert bool((kept[1].weight != kept[1].weight.bfloat16().float()).any()), "weights are not rounded"


def test_ternary_ends_are_in_the_file(photos, tmp_path):
    record = compress(request(photos, first_last="ternary", pe=2), tmp_path / "run", module=Small())
    assert [layer["name"] for layer in record["compress"]["layers"]] == ["first", "second", "third", "head"]
    assert [layer["shape"] for layer in record["compress"]["layers"]][::3] == [[8, 3, 3, 3], [2, 16]]
    assert evaluate(tmp_path / "run", photos)["accuracy"] == record["metrics"]["accuracy"]


def arguments(photos, out):
    words = f"compress {photos} --backbone resnet20 --weights none --epochs 4 --batch-size 4 --pe 8 --workers 0"
    return [sys.executable, "-m", "edgewise", *f"{words} --lambda 0.01 --seed 3 --quiet --out {out}".split()]


def started(command, out):
    process = subprocess.Popen(command)
    while not (out / "config.yaml").exists():
        assert process.poll() is None
        time.sleep(0.01)
    return process


@pytest.mark.parametrize("kills", [1, pytest.param(20, marks=pytest.mark.slow)])
def test_a_run_that_is_killed_and_resumed_ends_with_the_same_bytes(photos, tmp_path, kills):
    whole = tmp_path / "whole"
    process, began = started(arguments(photos, whole), whole), time.monotonic()
    assert process.wait() == 0
    seconds, expected = time.monotonic() - began, (whole / "artifact/network.ew3").read_bytes()
    chance, cut = random.Random(kills), 0
    for number in range(3 * kills):
        out = tmp_path / str(number)
        process = started(arguments(photos, out), out)
        time.sleep(chance.uniform(0, 0.9 * seconds))
        process.send_signal(signal.SIGKILL)
        if process.wait() == -signal.SIGKILL:
            cut += 1
            subprocess.run([*arguments(photos, out), "--resume"], check=True)
            assert (out / "artifact/network.ew3").read_bytes() == expected
            rows = [json.loads((one / "record.json").read_text())["history"] for one in (whole, out)]
            assert [{**row, "seconds": 0} for row in rows[0]] == [{**row, "seconds": 0} for row in rows[1]]
        if cut == kills:
            break
    assert cut == kills


def test_a_dead_layer_is_told_in_training_and_named_in_the_record(photos, tmp_path):
    module, told = Small(), Told()
    nn.init.zeros_(module.second.weight)
    record = compress(request(photos, lr=0.0, epochs=2), tmp_path / "run", listener=told, module=module)
    assert record["compress"]["dead"] == ["second"]
    assert sum("No weight of second is left after epoch 1: --lambda is too large" in note for note in told.notes) == 1
    assert sum("not exported" in note for note in told.notes) == 1
    (layer,) = (layer for layer in record["compress"]["layers"] if layer["name"] == "second")
    assert (layer["stored"], layer["alpha"], layer["group_sparsity"]) == (0, 0.0, 1.0)
    assert "No weight of second" in (tmp_path / "run/log.txt").read_text()


def test_a_file_that_answers_otherwise_is_not_called_finished(photos, tmp_path, monkeypatch):
    def altered(path):
        opened = open_run(path)
        return replace(opened, model=nn.Sequential(opened.model, nn.Hardtanh(-0.01, 0.01)))

    monkeypatch.setattr(compress_results, "open_run", altered)
    with pytest.raises(EdgewiseError, match="does not answer as the one that was trained"):
        compress(request(photos, epochs=1), tmp_path / "run", module=Small())
    assert not (tmp_path / "run/record.json").exists()


class Strange(Small):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sin(super().forward(x)) if x.shape[0] >= 0 else x


@pytest.mark.parametrize(
    ("module", "changes", "said"),
    [
        (Small, {"pe": 5}, "--pe is 5"),
        (Strange, {}, "cannot be packed"),
        (None, {"backbone": "resnet20"}, "No weights of resnet20"),
        (None, {"backbone": "resnet21"}, "Did you mean"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_written(photos, tmp_path, module, changes, said):
    with pytest.raises(EdgewiseError, match=said):
        compress(request(photos, **changes), tmp_path / "run", module=module and module())
    assert not (tmp_path / "run").exists()


def test_a_run_is_not_resumed_with_other_settings(runs, photos):
    out, _ = runs["wpc"]
    with pytest.raises(UsageError, match="lam was 0.05 and is now 0.5"):
        compress(request(photos, lam=0.5), out, resume=True, module=Small())


def test_only_the_columns_that_matter_are_shown(photos, tmp_path):
    told = Told()
    compress(request(photos, epochs=1), tmp_path / "run", listener=told, module=Small())
    assert list(told.rows[0]) == [
        "epoch", "train_loss", "penalty", "val_loss", "val_accuracy", "group_sparsity", "seconds",
    ]  # fmt: skip


def test_the_network_can_be_read_alone(runs):
    network = read_network(runs["wpc"][0] / "artifact/network.ew3")
    assert network.classes == ("square", "stripe")
    assert network.preprocess.size == 16
