"""Exit status and the text of errors: 0 done, 1 failed, 2 wrong usage; no traceback without --debug."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from commands import edgewise, environment
from edgewise import __version__
from edgewise.cli.main import VERBS, explain
from edgewise.cli.options import newest_run, next_run, share
from edgewise.core.errors import EdgewiseError, InterruptedRun, UsageError


def flat(text: str) -> str:
    """Text without the box the parser's errors are drawn in."""
    return re.sub(r"[\s│╭╮╰╯─]+", " ", text)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["fti"],
            "There is no verb 'fti'. Did you mean 'fit'? "
            "Known: compare, compress, demo, doctor, eval, export, fit, methods, models, plan, predict, profile, "
            "reprogram, serve, subnets.",
        ),
        (["sing"], "There is no verb 'sing'. Known: compare, compress, demo,"),
        (["fit"], "Missing argument 'DATA'"),
        (["predict", "run"], "Missing argument 'PHOTO…'"),
        (["fit", "photos", "--epocs", "3"], "--epochs"),
        (["fit", "photos", "--epochs", "three"], "'--epochs'"),
        (["fit", "photos", "--set", "connect"], "--set 'connect' has no value; write --set name=value"),
        (["fit", "photos", "--max-bad", "lots"], "--max-bad 'lots' is neither a percentage such as 1% nor a share"),
        (["fit", "photos", "--resume"], "There is no runs/fit-N here to resume. Name the run with --out."),
        (["predict", "run", "a.jpg", "--top", "0"], "'--top'"),
        (["--frobnicate"], "--frobnicate"),
    ],
)
def test_wrong_usage_is_2(arguments: list[str], said: str, tmp_path: Path) -> None:
    done = edgewise(tmp_path, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in flat(done.stderr)
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_help_and_version(tmp_path: Path) -> None:
    shown = edgewise(tmp_path, "--help")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert [verb for verb in VERBS if f"│ {verb} " in shown.stdout] == list(VERBS)
    assert max(map(len, shown.stdout.splitlines())) <= 80
    assert edgewise(tmp_path, "--version").stdout == f"edgewise {__version__}\n"


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb: str, tmp_path: Path) -> None:
    shown = edgewise(tmp_path, verb, "-h")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert f"edgewise {verb}" in shown.stdout
    assert "--json" in shown.stdout
    assert "--debug" in shown.stdout


def test_without_a_verb_the_help_is_shown(tmp_path: Path) -> None:
    done = edgewise(tmp_path)
    assert "Begin with: edgewise demo" in done.stdout + done.stderr


@pytest.mark.parametrize(("error", "status"), [(EdgewiseError("a"), 1), (UsageError("b"), 2), (InterruptedRun("c"), 3)])
def test_an_error_is_its_message_and_its_status(
    error: EdgewiseError, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert explain(error, debug=False) == status
    assert capsys.readouterr().err == f"Error: {error}\n"
    assert explain(error, debug=True) == status
    assert type(error).__name__ in capsys.readouterr().err


def test_an_unexpected_exception_is_called_a_defect(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise RuntimeError('two left feet')")
    done = edgewise(tmp_path, "doctor", before=(tmp_path,))
    said = "This is a defect of Edgewise: RuntimeError: two left feet; repeat with --debug and report it.\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", said)
    shown = edgewise(tmp_path, "doctor", "--debug", before=(tmp_path,))
    assert shown.returncode == 1
    assert shown.stderr.startswith("Traceback")
    assert shown.stderr.endswith(said)


def test_a_broken_installation_is_not_called_a_defect(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('libtorch_cpu.so: file too short')")
    done = edgewise(tmp_path, "models", before=(tmp_path,))
    assert (done.returncode, done.stderr) == (
        1,
        "Error: A package that Edgewise needs cannot be imported: libtorch_cpu.so: file too short. "
        "Install it again: pip install --force-reinstall edgewise\n",
    )


@pytest.mark.parametrize("arguments", [["--help"], ["methods"]])
def test_a_reader_that_went_away_is_no_error(arguments: list[str], tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "edgewise", *arguments],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert (process.wait(60), errors) == (1, b"")


def test_an_encoding_without_the_sign_is_no_error(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "edgewise", "sîng"],
        cwd=tmp_path,
        env={**environment(), "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "There is no verb 's?ng'" in done.stderr


@pytest.mark.parametrize(("text", "value"), [("1%", 0.01), ("0.01", 0.01), ("0", 0.0), ("100%", 1.0), ("12.5%", 0.125)])
def test_a_share_is_a_percentage_or_a_number(text: str, value: float) -> None:
    assert share("--max-bad", text) == value


@pytest.mark.parametrize("text", ["2", "-1%", "101%", "nan", "", "%", "one"])
def test_a_share_outside_0_to_1_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="neither a percentage such as 1% nor a share from 0 to 1"):
        share("--max-bad", text)


def test_runs_are_numbered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert next_run("fit") == Path("runs/fit-1")
    for name in ("fit-1", "fit-3", "fit-10", "fit-x", "demo-20"):
        (tmp_path / "runs" / name).mkdir(parents=True)
    assert next_run("fit") == Path("runs/fit-11")
    assert newest_run("fit") == Path("runs/fit-10")
    with pytest.raises(UsageError, match="There is no runs/search-N here to resume"):
        newest_run("search")
