"""fit → eval → predict as a user types them, on a tiny folder of generated photos."""

import csv
import json
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from commands import edgewise, environment
from edgewise.cli.main import main

COLOURS = {"blue [sky]": (40, 60, 200), "green": (50, 170, 60), "rot": (200, 50, 40)}
NETWORK = ("--backbone", "pocket", "--weights", "none", "--image-size", "32", "--workers", "0")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """train/ 8 and test/ 3 noisy coloured squares of each of three classes."""
    folder = tmp_path_factory.mktemp("road") / "my photos"
    noise = np.random.default_rng(0)
    for split, count in {"train": 8, "test": 3}.items():
        for name, colour in COLOURS.items():
            (folder / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = np.clip(np.array(colour) + noise.normal(0, 30, (40, 48, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / split / name / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def run(photos: Path) -> tuple[Path, str]:
    """The folder a fit was started in, and what it printed."""
    home = photos.parent
    done = edgewise(home, "fit", "my photos", *NETWORK, "--method", "last", "--epochs", "2", "--batch-size", "6")
    assert (done.returncode, done.stderr) == (0, "")
    return home, done.stdout


def test_fit_shows_every_epoch_the_result_and_what_to_type_next(run: tuple[Path, str]) -> None:
    home, printed = run
    lines = printed.splitlines()
    assert sum("train loss" in line for line in lines) == 1
    assert [line.split()[0] for line in lines if line.strip().startswith(("1/2", "2/2"))] == ["1/2", "2/2"]
    assert any(line.startswith("Accuracy on 9 photos (test)") for line in map(str.strip, lines))
    assert "Report:  runs/fit-1/report.html" in lines
    assert lines[-2:] == ["  edgewise eval runs/fit-1 'my photos'", "  edgewise predict runs/fit-1 PHOTO"]
    for name in ("config.yaml", "record.json", "metrics.csv", "log.txt", "report.html", "artifact/artifact.json"):
        assert (home / "runs" / "fit-1" / name).is_file(), name
    record = json.loads((home / "runs/fit-1/record.json").read_text())
    assert shlex.split(record["command"])[:3] == ["edgewise", "fit", "my photos"]


def test_the_commands_it_names_work(run: tuple[Path, str]) -> None:
    home, printed = run
    command = shlex.split(printed.splitlines()[-2])
    done = edgewise(home, *command[1:])
    assert (done.returncode, done.stderr) == (0, "")
    assert "blue [sky]" in done.stdout
    assert "on 9 photos (test)." in done.stdout
    assert done.stdout.splitlines()[-1] == "  edgewise predict runs/fit-1 PHOTO"


def test_eval_answers_json_alone_and_agrees_with_the_record(run: tuple[Path, str]) -> None:
    home, _ = run
    done = edgewise(home, "eval", "runs/fit-1", "my photos", "--json")
    found = json.loads(done.stdout)
    record = json.loads((home / "runs/fit-1/record.json").read_text())
    assert found["accuracy"] == record["metrics"]["test_accuracy"]
    assert found["n"] == sum(map(sum, found["confusion"])) == 9
    assert set(found["per_class"]) == set(COLOURS) == set(found["classes"])
    assert "Scoring" in done.stderr


def test_predict_names_photos_writes_a_table_and_reports_a_bad_one(run: tuple[Path, str]) -> None:
    home, _ = run
    (home / "bad.jpg").write_bytes(b"\xff\xd8 not a photo")
    done = edgewise(home, "predict", "runs/fit-1", "my photos/test", "bad.jpg", "--top", "2", "--csv", "answers.csv")
    assert done.returncode == 1
    assert done.stderr == "Error: 1 of 10 photos could not be read.\n"
    with open(home / "answers.csv", newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert list(rows[0]) == ["file", "label", "confidence", "error"]
    assert len(rows) == 10
    assert {row["label"] for row in rows[:9]} <= set(COLOURS)
    assert rows[9]["label"] == ""
    assert rows[9]["error"] != ""
    answered = edgewise(home, "predict", "runs/fit-1", rows[0]["file"], "--top", "3", "--json")
    answer = json.loads(answered.stdout)["predictions"][0]
    assert answer["label"] == rows[0]["label"] == answer["top"][0][0]
    assert sum(share for _, share in answer["top"]) == pytest.approx(1, abs=1e-5)


def test_quiet_and_json(run: tuple[Path, str]) -> None:
    home, _ = run
    words = ("fit", "my photos", *NETWORK, "--method", "bias", "--epochs", "1", "--out", "quiet", "--quiet", "--json")
    done = edgewise(home, *words)
    assert (done.returncode, done.stderr) == (0, "")
    summary = json.loads(done.stdout)
    assert summary["run"] == "quiet"
    assert {"metrics", "cost", "sizes", "data"} < set(summary)
    assert summary["data"]["classes"] == sorted(COLOURS)


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("fit", "gone", *NETWORK), 1, "gone"),
        (("fit", "my photos", "--method", "repnt", *NETWORK), 2, "There is no method 'repnt'. Did you mean 'repnet'?"),
        (("fit", "my photos", "--backbone", "mobilnet_v2"), 2, "Did you mean 'mobilenet_v2'?"),
        (("fit", "my photos", "--set", "conect=up", *NETWORK), 2, "Did you mean 'connect'?"),
        (("fit", "my photos", "--epochs", "0", *NETWORK), 2, "epochs is 0; it must be from 1 to"),
        (("fit", "my photos", "--colour", "sepia", *NETWORK), 2, "colour is 'sepia'; choose one of none, torch, tf"),
        (("fit", "my photos", "--out", "runs/fit-1", *NETWORK), 2, "The folder runs/fit-1 is in use."),
        (("eval", "nowhere", "my photos"), 1, "There is nothing at nowhere."),
        (("predict", "runs/fit-1", "gone.jpg"), 2, "There is no photo or folder at gone.jpg."),
    ],
)
def test_what_a_user_can_mend_is_said_without_a_traceback(
    words: tuple[str, ...],
    status: int,
    said: str,
    run: tuple[Path, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(run[0])
    with pytest.raises(SystemExit) as done:
        main(words)
    printed = capsys.readouterr()
    assert said in printed.err
    assert (done.value.code, printed.out) == (status, "")
    assert printed.err.startswith("Error: ")
    assert "Traceback" not in printed.err
    with pytest.raises(SystemExit):
        main([*words, "--debug"])
    assert "Traceback" in capsys.readouterr().err


def test_ctrl_c_leaves_a_run_that_the_named_command_finishes(photos: Path) -> None:
    home = photos.parent
    words = ("fit", "my photos", *NETWORK, "--method", "last", "--epochs", "12", "--out", "stopped")
    process = subprocess.Popen(
        [sys.executable, "-m", "edgewise", *words],
        cwd=home,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip().startswith("1/12"):
            process.send_signal(signal.SIGINT)
            break
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 3, errors
    assert errors.startswith("Error: Interrupted in epoch ")
    command = shlex.split(errors.partition("Finish with: ")[2])
    assert command == ["edgewise", *words, "--resume"]
    done = edgewise(home, *command[1:])
    assert (done.returncode, done.stderr) == (0, "")
    assert "12/12" in done.stdout
    assert "1/12" not in [line.split()[0] for line in done.stdout.splitlines() if line.strip()]
