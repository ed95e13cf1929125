"""``edgewise demo``: the table it prints, and the whole of it once in a while."""

import json
from pathlib import Path

import pytest

from commands import edgewise
from edgewise.cli.demo import show_comparison

ROW = {
    "label": "Full fine-tuning",
    "test_accuracy": 0.9871,
    "trainable_params": 2_223_872,
    "artifact_bytes": 8_950_000,
    "memory_mb": 134.5,
    "seconds": 125.0,
}


def test_the_table_fits_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    show_comparison([ROW, {**ROW, "label": "Last layer", "trainable_params": 12, "artifact_bytes": 90_000}])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[1].split() == ["Method", "Accuracy", "Trained", "Adapter", "Memory", "Time"]
    assert " ".join(lines[3].split()) == "Full fine-tuning 98.7 % 2,223,872 8.95 MB 134.50 MB 2 min 05 s"
    assert "90.0 kB" in lines[4]


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    done = edgewise(tmp_path, "demo", "--out", "mine")
    assert done.returncode == 2
    assert done.stderr.startswith("Error: The folder mine is in use.")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["letter.txt"]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_demo(tmp_path: Path) -> None:
    done = edgewise(tmp_path, "demo", limit=1700)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    for label in ("Last layer", "Rep-Net"):
        assert any(line.strip().startswith(label) and "%" in line for line in lines)
    assert "Report: runs/demo/report.html" in lines
    assert lines[-1].startswith("  edgewise fit photos/")
    record = json.loads((tmp_path / "runs/demo/record.json").read_text())
    accuracy = {row["method"]: row["test_accuracy"] for row in record["rows"]}
    assert set(accuracy) == {"last", "bias", "repnet", "full"}
    assert accuracy["repnet"] > 0.95
    assert accuracy["repnet"] > accuracy["last"]
    assert 10_000 < (tmp_path / "runs/demo/report.html").stat().st_size < 2_000_000
