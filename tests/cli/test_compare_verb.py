"""``edgewise compare`` as a user types it: the example of its page, its table, its JSON, and what is wrong usage."""

import dataclasses
import inspect
import json
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from commands import edgewise
from edgewise.cli import compare as verb
from edgewise.cli.compare import show
from edgewise.cli.main import main
from edgewise.cli.options import share
from edgewise.jobs.compare import CompareRequest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "compare.md"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A folder with ``photos/``, where the example of the page was run; and what it printed."""
    folder, noise = tmp_path_factory.mktemp("comparison"), np.random.default_rng(0)
    colours = {"blue": (40, 60, 200), "green": (50, 170, 60), "rot": (200, 50, 40)}
    for split, count in {"train": 12, "test": 6}.items():
        for name, colour in colours.items():
            (folder / "photos" / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = np.clip(np.array(colour) + noise.normal(0, 30, (40, 48, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / "photos" / split / name / f"{number}.png")
    done = edgewise(folder, *example()[1:])
    assert (done.returncode, done.stderr) == (0, "")
    return folder, done.stdout.splitlines()


def example() -> list[str]:
    """The command on the page that has its table below it."""
    blocks = re.findall(r"^```\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return shlex.split(next(block for block in blocks if "pocket" in block))


def test_the_example_prints_the_table_of_the_page(home: tuple[Path, list[str]]) -> None:
    """The same words; its numbers may move from one machine to the next."""
    folder, lines = home
    begin = next(number for number, line in enumerate(lines) if line.strip().startswith("Method"))
    table = [line.split() for line in lines[begin : begin + 4]]
    page = PAGE.read_text(encoding="utf-8")
    shown = [line.split() for line in page[page.index(" Method") :].splitlines()[:4]]
    assert table[0] == shown[0] == ["Method", "Accuracy", "Peak", "Adapter", "Step", "Trained"]
    printed, on_page = ({line[0]: line for line in lines} for lines in (table[2:], shown[2:]))
    assert set(printed) == set(on_page) == {"last", "bias"}
    for method, words in on_page.items():
        assert printed[method][7:9] == words[7:9], "adapter"
        assert printed[method][-1] == words[-1], "parameters"
        assert float(printed[method][5]) == pytest.approx(float(words[5]), rel=0.2), "peak"
    assert max(map(len, lines)) <= 80
    end = lines.index("Accuracy: on 18 test photos, mean ± standard deviation of 2 runs.")
    assert lines[end + 1 :] == [
        "Peak: the most that a training step of 8 photos held, measured.",
        "Page:  runs/compare-1/report.html",
        "Table: runs/compare-1/metrics.csv",
        "",
        "Next:",
        lines[-1],
    ]
    assert re.fullmatch(r"  edgewise predict runs/compare-1/(last|bias)/seed-0 PHOTO", lines[-1])
    assert (folder / "runs" / "compare-1" / "report.html").is_file()


def test_finished_it_is_read_again_and_answers_json_alone(
    home: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, lines = home
    monkeypatch.chdir(folder)
    before = {path: path.stat().st_mtime_ns for path in (folder / "runs").rglob("seed-*/*")}
    with pytest.raises(SystemExit) as done:
        main([*example()[1:], "--resume", "--json", "--quiet"])
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert (done.value.code, printed.err) == (0, "")
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert (found["run"], found["split"]) == ("runs/compare-1", "test")
    assert {row["method"] for row in found["rows"]} == {"last", "bias"}
    assert found["best"]["run"] in lines[-1]
    assert found["rows"] == json.loads((folder / "runs/compare-1/record.json").read_text())["rows"]


def line(method: str, **changes: Any) -> dict[str, Any]:
    return {"method": method, "accuracy": 0.9436, "accuracy_std": 0.0061, "measured_peak_mb": 123.45,
            "adapter_bytes": 1_264_000, "step_ms": 1234.5, "trainable_params": 12_223_872, "reason": None,
            "seeds": 3, **changes}  # fmt: skip


def test_the_table_fits_80_columns_and_reasons_follow_it(capsys: pytest.CaptureFixture[str]) -> None:
    unknown = dict.fromkeys(
        ("accuracy", "accuracy_std", "measured_peak_mb", "adapter_bytes", "step_ms", "trainable_params")
    )
    rows = [line("mobiletl+lite"), line("last", accuracy_std=None),
            line("blocks", **unknown, reason=f"It {'does ' * 30} not fit.", seeds=0)]  # fmt: skip
    show({"rows": rows, "metrics": {"split": "val", "n": 1234}, "config": {"batch_size": 8}}, Path("runs/compare-1"))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert " ".join(lines[3].split()) == "mobiletl+lite 94.4 ± 0.6 % 123.45 MB 1.26 MB 1234 ms 12,223,872"
    assert " ".join(lines[4].split()) == "last 94.4 % 123.45 MB 1.26 MB 1234 ms 12,223,872"
    assert " ".join(lines[5].split()) == "blocks left out – – – –"
    assert "Accuracy: on 1,234 validation photos, mean ± standard deviation of 3 runs." in lines
    assert any(text.startswith("blocks was left out. It does does") for text in lines)


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("--methods", "last,repnt"), 2, "There is no method 'repnt'. Did you mean 'repnet'?"),
        (("--methods", ","), 2, "--methods names no method; write all, or a list such as last,bias,repnet."),
        (("--seeds", "0"), 2, "compare: seeds is 0; it must be from 1 to 1000."),
        (("--budget", "9 apples"), 2, "The budget '9 apples' is no amount of memory"),
        (("--max-bad", "lots"), 2, "--max-bad 'lots' is neither a percentage"),
        (("--resume",), 2, "There is no runs/compare-N here to resume. Name the run with --out."),
        (("--out", "used"), 2, "The folder used is in use."),
        ((), 1, "There is no folder or CSV file at gone"),
    ],
)
def test_what_a_user_can_mend(
    words: tuple[str, ...],
    status: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "letter.txt").write_text("dear")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as done:
        main(["compare", "gone", "--backbone", "pocket", *words])
    printed = capsys.readouterr()
    assert (done.value.code, printed.out) == (status, "")
    assert printed.err.startswith(f"Error: {said}")
    assert [path.name for path in tmp_path.rglob("*")] == ["used", "letter.txt"]


def test_every_field_has_an_option_with_its_default() -> None:
    options = inspect.signature(verb.compare).parameters
    fields = {field.name: field for field in dataclasses.fields(CompareRequest)}
    of_the_run = {"ctx", "out", "resume", "quiet", "as_json", "debug", "budget"}
    assert set(options) - of_the_run == set(fields)
    for name in set(fields) - {"data", "methods", "max_bad"}:
        assert options[name].default == fields[name].default, name
    assert share("--max-bad", options["max_bad"].default) == fields["max_bad"].default
    assert options["methods"].default == "all"
