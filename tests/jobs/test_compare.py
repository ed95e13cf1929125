"""Methods side by side: real runs in processes of their own, interrupted, killed, resumed, refused."""

import csv
import dataclasses
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from commands import environment
from edgewise.adapt import METHODS
from edgewise.backbones import load
from edgewise.core.errors import EdgewiseError, UsageError
from edgewise.core.progress import Silent
from edgewise.core.surgery import digest
from edgewise.jobs import compare_steps
from edgewise.jobs.compare import CompareRequest, compare, methods_named
from edgewise.jobs.compare_rows import best as to_go_on_with
from edgewise.jobs.compare_rows import in_order, row
from edgewise.jobs.compare_steps import left_out
from edgewise.jobs.fit import FitRequest, fit_run
from edgewise.jobs.step_process import predict
from edgewise.jobs.training_step import StepRequest
from odd_methods import ODD, path_with_odd_methods

BUDGET = 10_000_000
METHODS_COMPARED = ("fussy", "full", "last", "wild")


def request(photos: Path, **changes: Any) -> CompareRequest:
    settings = {"backbone": "pocket", "methods": METHODS_COMPARED, "epochs": 2, "seeds": 1, "image_size": 32,
                "workers": 0, **changes}  # fmt: skip
    return CompareRequest(str(photos), **settings)


class Heard(Silent):
    def __init__(self) -> None:
        self.said: list[str] = []
        self.steps: list[tuple[int, int]] = []

    def stage(self, text: str) -> None:
        self.said.append(text)

    def note(self, text: str) -> None:
        self.said.append(text)

    def progress(self, done: int, total: int) -> None:
        self.steps.append((done, total))


@pytest.fixture(scope="module", autouse=True)
def odd_methods(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Here, and in every process that is started from here."""
    folder = path_with_odd_methods(tmp_path_factory.mktemp("start"))
    with pytest.MonkeyPatch.context() as patch:
        for name, method in ODD.items():
            patch.setitem(METHODS, name, method)
        support = Path(__file__).resolve().parents[1] / "support"
        patch.setenv("PYTHONPATH", os.pathsep.join((str(folder), str(support), environment()["PYTHONPATH"])))
        yield


@pytest.fixture(scope="module")
def compared(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], Heard]:
    """One method that works; one that refuses, one that is too large, one that fails in training."""
    out, heard = tmp_path_factory.mktemp("compared") / "runs", Heard()
    return out, compare(request(photos), out, BUDGET, command="edgewise compare photos", listener=heard), heard


def test_one_row_a_method_and_why_the_others_have_no_accuracy(compared: Any) -> None:
    out, record, _ = compared
    rows = {one["method"]: one for one in record["rows"]}
    assert [one["method"] for one in record["rows"]] == ["last", "fussy", "full", "wild"]
    assert rows["fussy"]["reason"] == "Fussy needs a block of gold, and this network has none."
    assert rows["fussy"]["predicted_mb"] is None
    assert rows["full"]["reason"] == (
        f"It does not fit: a step is predicted to take {rows['full']['predicted_mb']:.2f} MB, the budget is 10.00 MB."
    )
    assert rows["full"]["predicted_mb"] > 10
    assert rows["wild"]["reason"].startswith("The loss became ")
    assert rows["wild"]["measured_peak_mb"] is not None
    assert {one["accuracy"] for name, one in rows.items() if name != "last"} == {None}
    assert sorted(path.name for path in out.iterdir() if path.is_dir()) == ["last", "wild"]
    assert record["best"] == {"method": "last", "run": "last/seed-0"}
    assert json.loads((out / "record.json").read_text())["rows"] == record["rows"]


def test_a_run_is_an_ordinary_one(compared: Any, photos: Path, tmp_path: Path) -> None:
    out, record, _ = compared
    run = json.loads((out / "last" / "seed-0" / "record.json").read_text())
    alone = fit_run(FitRequest(str(photos), backbone="pocket", method="last", epochs=2, image_size=32), tmp_path / "a")
    line = record["rows"][0]
    for name in ("metrics", "data", "mistakes"):
        assert run[name] == alone[name]
    assert line["accuracy"] == alone["metrics"]["test_accuracy"]
    assert record["metrics"] == {"split": "test", "n": 16}
    assert [point["val_accuracy"] for point in line["curve"]] == [one["val_accuracy"] for one in alone["history"]]
    assert line["adapter_bytes"] == alone["sizes"]["artifact_bytes"]
    assert shlex.split(run["command"])[:3] == ["edgewise", "fit", str(photos)]
    assert run["command"].endswith(" --backbone pocket --epochs 2 --image-size 32 --workers 0 --method last")
    assert (out / "last" / "seed-0" / "report.html").stat().st_size > 0


def test_what_a_step_takes_is_what_profile_says(compared: Any, photos: Path) -> None:
    line, asked = compared[1]["rows"][0], request(photos).step("last", 2)
    found = predict(asked)
    same = ("predicted_mb", "published_mb", "macs_forward", "macs_backward", "trainable_params")
    assert {key: line[key] for key in same} == {key: found[key] for key in same}
    assert line["step_ms"] > 0
    if line["measured_peak_mb"] is not None:
        assert line["measured_peak_mb"] == pytest.approx(found["predicted_mb"], rel=0.3)


def test_a_step_is_measured_with_the_weights_of_any_network(tmp_path: Path) -> None:
    """The warm-up before it is a step of another network, which these weights do not fit."""
    save_file(load("resnet20", weights="none").module.state_dict(), tmp_path / "resnet20.safetensors")
    step = StepRequest("resnet20", method="last", weights=str(tmp_path / "resnet20.safetensors"))
    assert compare_steps.measured(step, {"predicted_mb": 3.0}, tmp_path, Silent())["step_ms"] > 0


def test_the_table_holds_the_rows(compared: Any) -> None:
    out, record, _ = compared
    with open(out / "metrics.csv", newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert [one["method"] for one in rows] == [one["method"] for one in record["rows"]]
    for read, line in zip(rows, record["rows"], strict=True):
        for key, value in read.items():
            assert value == ("" if line[key] is None else str(line[key])), key
    assert "curve" not in rows[0]


def test_the_listener_hears_what_happens_and_of_all_epochs_together(compared: Any) -> None:
    heard = compared[2]
    assert "Predicting what 4 methods take" in heard.said
    assert "Last layer: training with seed 0 (run 1 of 2)" in heard.said
    assert any(text.startswith("Wild is left out. The loss became") for text in heard.said)
    assert heard.steps[-2:] == [(1, 4), (2, 4)], "two runs of two epochs, the second of which failed at once"


def test_growing_by_a_seed_repeats_nothing(compared: Any, photos: Path, tmp_path: Path) -> None:
    before, record, _ = compared
    out = tmp_path / "runs"
    shutil.copytree(before, out)
    shutil.rmtree(out / "wild")
    kept = (out / "last" / "step.json", out / "last" / "seed-0" / "record.json")
    times = [path.stat().st_mtime_ns for path in kept]
    grown = compare(request(photos, methods=("last",), seeds=2), out, resume=True)
    assert [path.stat().st_mtime_ns for path in kept] == times
    line, old = grown["rows"][0], record["rows"][0]
    assert [run["seed"] for run in line["runs"]] == [0, 1]
    assert line["runs"][0] == old["runs"][0]
    scores = [run["accuracy"] for run in line["runs"]]
    assert line["accuracy"] == pytest.approx(sum(scores) / 2)
    assert line["accuracy_std"] == pytest.approx(abs(scores[0] - scores[1]) / 2**0.5)
    assert {line[key] == old[key] for key in ("measured_peak_mb", "step_ms", "macs_forward")} == {True}
    with pytest.raises(UsageError, match="batch_size was 8 and is now 4"):
        compare(request(photos, methods=("last",), batch_size=4), out, resume=True)
    with pytest.raises(UsageError, match="is in use. Choose another with --out, or add --resume"):
        compare(request(photos), out)


def test_interrupted_then_killed_then_cut_off_it_ends_as_if_left_alone(
    compared: Any, photos: Path, tmp_path: Path
) -> None:
    out, best = tmp_path / "runs", tmp_path / "runs" / "last" / "seed-0" / "checkpoint" / "best.safetensors"
    asked = request(photos, methods=("last",), epochs=12)
    out.mkdir()
    shutil.copytree(compared[0] / "last", out / "last", ignore=shutil.ignore_patterns("seed-*"))
    (out / "config.yaml").write_text((compared[0] / "config.yaml").read_text().replace("epochs: 2", "epochs: 12"))
    words = ["compare", str(photos), "--backbone", "pocket", "--methods", "last", "--epochs", "12", "--seeds", "1",
             "--image-size", "32", "--workers", "0", "--out", str(out)]  # fmt: skip

    stopped = until(words, best, signal.SIGINT)
    assert stopped.returncode == 3
    assert stopped.stderr.startswith("Error: Interrupted; what is done is kept. Finish with: edgewise compare")
    assert stopped.stderr.endswith("--resume\n")
    assert "Traceback" not in stopped.stderr
    place = json.loads(best.with_name("state.json").read_text())["position"]
    assert 0 < place["updates"] < 12 * 5, "its process saved where it was, after some steps"

    time.sleep(0.01)
    before = best.stat().st_mtime_ns
    killed = until(words, best, signal.SIGKILL, before)
    assert killed.returncode == -signal.SIGKILL
    assert not (out / "record.json").exists()

    first = compare(asked, out, resume=True)
    run = out / "last" / "seed-0"
    whole = (run / "record.json").read_bytes()
    (run / "record.json").write_bytes(whole[: len(whole) // 2])
    second = compare(asked, out, resume=True)
    alone = fit_run(FitRequest(**asked.run("last", 0)), tmp_path / "alone")
    for record in (first, second):
        line = record["rows"][0]
        assert line["runs"] == [
            {"run": "last/seed-0", "seed": 0, "accuracy": alone["metrics"]["accuracy"],
             "val_accuracy": alone["metrics"]["val_accuracy"]}
        ]  # fmt: skip
        assert [p["val_accuracy"] for p in line["curve"]] == [one["val_accuracy"] for one in alone["history"]]
        assert line["predicted_mb"] == compared[1]["rows"][0]["predicted_mb"]
    adapters = [load_file(folder / "artifact" / "adapter.safetensors") for folder in (run, tmp_path / "alone")]
    assert digest(adapters[0]) == digest(adapters[1])


def until(words: list[str], marker: Path, number: signal.Signals, before: int = 0) -> subprocess.CompletedProcess[str]:
    """The command with ``--resume``, sent the signal as soon as ``marker`` is newer than ``before``."""
    process = subprocess.Popen(
        [sys.executable, "-m", "edgewise", *words, "--resume"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env={**environment(), **os.environ},
    )  # fmt: skip
    while not (marker.exists() and marker.stat().st_mtime_ns > before):
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.005)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    return subprocess.CompletedProcess(words, process.returncode, "", errors)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"methods": ("last", "repnt")}, "There is no method 'repnt'. Did you mean 'repnet'?"),
        ({"seeds": 0, "epochs": 0}, "compare: epochs is 0; it must be from 1 to 100000; seeds is 0; it must be"),
        ({"backbone": "pockt"}, "There is no backbone 'pockt'. Did you mean 'pocket'?"),
        ({"data": "nowhere"}, "There is no folder or CSV file at"),
    ],
)
def test_what_is_wrong_is_said_before_any_work(changes: Any, said: str, photos: Path, tmp_path: Path) -> None:
    data = changes.pop("data", str(photos))
    with pytest.raises(EdgewiseError) as caught:
        compare(request(data, **changes), tmp_path / "runs")
    assert str(caught.value).startswith(said)
    assert not (tmp_path / "runs").exists()


def test_methods_by_name() -> None:
    assert methods_named("all") == tuple(METHODS)
    assert methods_named(" last, bias,last") == ("last", "bias", "last")
    assert request(Path("photos"), methods=methods_named("last,bias,last")).names() == ("last", "bias")
    assert request(Path("photos"), methods=()).names() == tuple(METHODS)
    with pytest.raises(UsageError, match="--methods names no method; write all, or a list such as last,bias,repnet."):
        methods_named(" ,")


REFUSED = {"refused": "No gold.", "usage": True}
BROKEN = {"refused": "ZeroDivisionError: division by zero", "usage": False}


@pytest.mark.parametrize(
    ("found", "kind", "said"),
    [
        ({"a": REFUSED, "b": REFUSED}, UsageError, "No method can be used here.\n  a: No gold.\n  b: No gold."),
        ({"a": REFUSED, "b": BROKEN}, EdgewiseError, "No method can be used here.\n  a: No gold.\n  b: ZeroDivision"),
        (
            {"a": {"predicted_mb": 12.0}, "b": {"predicted_mb": 11.0}, "c": REFUSED},
            EdgewiseError,
            "No method fits. The smallest step is that of b, predicted to take 11.00 MB. Use a larger --budget, or",
        ),
    ],
)
def test_where_no_method_is_left(found: Any, kind: type[EdgewiseError], said: str) -> None:
    with pytest.raises(EdgewiseError) as caught:
        left_out(found, BUDGET)
    assert type(caught.value) is kind
    assert str(caught.value).startswith(said)


def test_a_measurement_is_remembered_for_the_same_step_only(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, file = request(photos).step("last", 2), tmp_path / "last" / "step.json"
    monkeypatch.setattr(compare_steps, "ask", lambda *_: {"rows": [{"predicted_mb": "anew"}]})
    file.parent.mkdir()
    known = {"predicted_mb": 4.0, "threads": torch.get_num_threads()}
    whole = json.dumps({"request": dataclasses.asdict(step), "found": known})
    file.write_text(whole)
    assert compare_steps.predicted([step], tmp_path, Silent()) == {"last": known}
    for text in (whole[:40], "[]", whole.replace('"last"', '"x"'), whole.replace('"threads": 1}', '"threads": 2}')):
        assert text != whole
        file.write_text(text)
        assert compare_steps.predicted([step], tmp_path, Silent()) == {"last": {"predicted_mb": "anew"}}
    file.write_text(whole)
    other = request(photos, batch_size=4).step("last", 2)
    assert compare_steps.predicted([other], tmp_path, Silent()) == {"last": {"predicted_mb": "anew"}}


def test_of_equals_on_validation_the_lighter_goes_on_and_test_chooses_nothing() -> None:
    def of(method: str, size: float, val: float, test: float) -> dict[str, Any]:
        record = {
            "metrics": {"accuracy": test, "val_accuracy": val},
            "sizes": {"artifact_bytes": 1},
            "seconds": 1.0,
            "seeds": {"seed": 3},
            "history": [{"epoch": 1, "train_accuracy": 0.1, "val_accuracy": val}],
        }
        return row(method, {"predicted_mb": size}, None, [record])

    rows = [of("full", 30, 0.9, 0.99), of("last", 4, 0.9, 0.7), of("bias", 5, 0.8, 1.0), row("bn", {}, "too large", [])]
    assert to_go_on_with(rows) == {"method": "last", "run": "last/seed-3"}
    assert [one["method"] for one in in_order(rows)] == ["bias", "full", "last", "bn"]
    assert [one["accuracy_std"] for one in rows] == [None] * 4
