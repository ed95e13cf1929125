"""The run folder."""

import csv
from pathlib import Path
from typing import Any

import pytest

from edgewise.core.errors import EdgewiseError, UsageError
from edgewise.core.runs import RECORD_SCHEMA, RunFolder

CONFIG: dict[str, Any] = {"lr": 1e-05, "classes": ("ant", "bee"), "width": None, "weights": "w.safetensors", "ü": 1}


def test_names_are_those_of_the_interface(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    paths = [run.config, run.record, run.metrics, run.log, run.report, run.assets, run.artifact, run.checkpoint]
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == [
        *("config.yaml", "record.json", "metrics.csv", "log.txt", "report.html"),
        *("assets", "artifact", "checkpoint"),
    ]
    assert list(tmp_path.iterdir()) == []


def test_create_writes_the_settings_in_their_order(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "runs" / "a")
    run.create(CONFIG, resume=False)
    assert run.read_config() == {**CONFIG, "classes": ["ant", "bee"]}
    assert list(run.read_config()) == list(CONFIG)


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError) as caught:
        RunFolder(tmp_path).create(CONFIG, resume=False)
    assert str(caught.value) == (
        f"The folder {tmp_path} is in use. Choose another with --out, or add --resume to finish the run in it."
    )
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_file_is_no_run_folder(tmp_path: Path) -> None:
    file = tmp_path / "run"
    file.write_text("")
    with pytest.raises(UsageError, match=r"run is a file; --out names the folder of the run\.$"):
        RunFolder(file).create(CONFIG, resume=False)


def test_resume_accepts_the_same_settings(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.create(CONFIG, resume=False)
    before = run.config.read_bytes()
    run.create(CONFIG, resume=True)
    assert run.config.read_bytes() == before


def test_resume_names_every_setting_that_changed(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.create({"epochs": 6, "lr": 0.1, "seed": 0}, resume=False)
    with pytest.raises(UsageError) as caught:
        run.create({"epochs": 8, "lr": 0.1, "batch": 4, "seed": 0}, resume=True)
    assert str(caught.value) == (
        f"The run in {tmp_path} was started with other settings: epochs was 6 and is now 8; "
        "batch was None and is now 4. Repeat the first command."
    )


def test_resume_of_another_folder(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError) as caught:
        RunFolder(tmp_path).create(CONFIG, resume=True)
    assert str(caught.value) == f"{tmp_path} holds no run to resume: there is no config.yaml in it."


@pytest.mark.parametrize("resume", [False, True])
def test_a_run_that_died_before_it_wrote_anything_starts(tmp_path: Path, resume: bool) -> None:
    (tmp_path / ".config.yaml.4711.part").write_text("lr:")
    run = RunFolder(tmp_path)
    run.create(CONFIG, resume)
    assert run.read_config()["lr"] == 1e-05


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is not a run folder: there is no config.yaml in it."),
        (b"", "does not hold settings. Was it edited?"),
        (b"- a\n- b\n", "does not hold settings. Was it edited?"),
        (b"a: [1\n", "cannot be read"),
        (b"a: \xff\n", "cannot be read"),
        (b"a: !!python/object/apply:os.getcwd []\n", "cannot be read"),
    ],
)
def test_settings_that_cannot_be_read(tmp_path: Path, content: bytes | None, message: str) -> None:
    run = RunFolder(tmp_path)
    if content is not None:
        run.config.write_bytes(content)
    with pytest.raises(EdgewiseError) as caught:
        run.read_config()
    assert message in str(caught.value)


def test_record_round_trip(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.write_record({"kind": "fit", "metrics": {"accuracy": 0.5}})
    assert run.read_record() == {"schema": RECORD_SCHEMA, "kind": "fit", "metrics": {"accuracy": 0.5}}


@pytest.mark.parametrize("text", ["[]", "{}", '{"schema": "edgewise-record-0"}'])
def test_a_record_of_another_kind(tmp_path: Path, text: str) -> None:
    run = RunFolder(tmp_path)
    run.record.write_text(text)
    with pytest.raises(EdgewiseError, match="is not a record that this version of Edgewise reads"):
        run.read_record()


def test_metrics(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.write_metrics([{"epoch": 1, "loss": 0.5, "val": None}, {"epoch": 2, "loss": 0.25, "val": 1.0}])
    with open(run.metrics, newline="") as handle:
        assert list(csv.reader(handle)) == [["epoch", "loss", "val"], ["1", "0.5", ""], ["2", "0.25", "1.0"]]
    run.write_metrics([])
    assert run.metrics.read_text() == ""


def test_the_log_grows(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "new")
    run.say("started")
    run.say("finished: 94 % of caf\udce9")  # a file name that is not UTF-8
    lines = run.log.read_text(encoding="utf-8").splitlines()
    assert [line[20:] for line in lines] == ["started", r"finished: 94 % of caf\udce9"]
    assert lines[0][4] == "-"
    assert lines[0][13] == ":"
