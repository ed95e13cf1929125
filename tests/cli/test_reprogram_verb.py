"""``edgewise reprogram``: a model that is here, one that only answers, and one behind an address in another process."""

import contextlib
import dataclasses
import inspect
import io
import json
import os
import re
import shlex
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file, save_file

import edgewise as ew
from commands import environment
from edgewise.backbones import load
from edgewise.cli.main import main
from edgewise.cli.options import without_token
from edgewise.cli.reprogram import reprogram as verb
from edgewise.core.progress import Silent
from edgewise.core.surgery import digest
from edgewise.jobs.reprogram import ReprogramRequest, reprogram
from edgewise.reprogram import MAPPINGS, of_backbone
from serving import Running

TOKEN = "let me in, please"
OF_THE_RUN = {"ctx", "token", "out", "resume", "quiet", "as_json", "debug"}
FILES = ("config.yaml", "record.json", "metrics.csv", "log.txt", "report.html", "artifact/artifact.json")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Squares and stripes, noisy: train 2 x 8, val 2 x 3, test 2 x 4."""
    root, rng = tmp_path_factory.mktemp("reprogram") / "my photos", np.random.default_rng(0)
    for part, count in {"train": 8, "val": 3, "test": 4}.items():
        for name in ("square", "stripe"):
            (root / part / name).mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 90, (32, 32, 3))
                if name == "square":
                    y, x = rng.integers(4, 16, 2)
                    pixels[y : y + 12, x : x + 12, 0] += 150
                else:
                    pixels[:: int(rng.integers(3, 6)), :, 2] += 150
                Image.fromarray(pixels.astype(np.uint8)).save(root / part / name / f"{number}.png")
    return root


def test_the_options_are_the_requests_fields() -> None:
    options = inspect.signature(verb).parameters
    fields = {field.name: field for field in dataclasses.fields(ReprogramRequest)}
    assert {*options, "settings"} - OF_THE_RUN - {"set_"} == set(fields)
    for name in fields.keys() - {"data", "source", "settings", "max_bad"}:
        assert options[name].default == fields[name].default, name
    shown = {name: options[name].annotation.__metadata__[0].help for name in ("mapping", "trainer")}
    assert all(name in shown["mapping"] for name in MAPPINGS)
    assert all(name in shown["trainer"] for name in ("gradient", "sphere", "spsa"))


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Exit status, output and errors of ``edgewise WORDS``, in this process."""
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    out, errors = capsys.readouterr()
    return int(ended.value.code or 0), out, errors


def record_of(run: Path) -> dict[str, Any]:
    return dict(json.loads((run / "record.json").read_text()))


def program_of(run: Path) -> str:
    return digest(load_file(run / "artifact" / "program.safetensors"))


def paid(run: Path) -> tuple[int, int]:
    """Queries that were paid for, and samples of which an answer is known."""
    with contextlib.closing(sqlite3.connect(run / "queries.sqlite")) as ledger:
        queries = ledger.execute("SELECT COALESCE(SUM(queries), 0) FROM payments").fetchone()[0]
        return queries, ledger.execute("SELECT COUNT(*) FROM answers").fetchone()[0]


def holds(folder: Path, text: str) -> list[Path]:
    """Files below ``folder`` in which ``text`` stands."""
    return [path for path in folder.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


@pytest.fixture(scope="module")
def white(photos: Path) -> tuple[Path, str]:
    """A finished run on a model that is here, and what it printed."""
    run = photos.parent / "white"
    words = ["reprogram", str(photos), "--source", "pocket", "--m", "2", "--epochs", "3", "--workers", "0"]
    out = io.TextIOWrapper(io.BytesIO(), "utf-8")
    with contextlib.redirect_stdout(out), pytest.raises(SystemExit) as ended:
        main([*words, "--batch-size", "8", "--out", str(run)])
    assert not ended.value.code
    out.seek(0)
    return run, out.read()


def test_a_model_that_is_here(white: tuple[Path, str], photos: Path) -> None:
    run, printed = white
    lines = printed.splitlines()
    assert [line.split()[0] for line in lines if re.match(r" +\d/3 ", line)] == ["1/3", "2/3", "3/3"]
    assert "Note: Photos are read at 24 x 24 pixels; the program has 3,072 numbers to train." in lines
    assert any("untouched, its weights' hash is the same" in line for line in lines)
    assert lines[-2:] == [
        f"  edgewise eval {run} {shlex.quote(str(photos))}",
        f"  edgewise predict {run} PHOTO",
    ]
    assert all((run / name).is_file() for name in FILES)
    record = record_of(run)
    fingerprint = of_backbone(load("pocket")).fingerprint
    assert record["source"]["fingerprint"] == record["source"]["after"] == fingerprint
    assert record["metrics"]["split"] == "test"
    assert record["metrics"]["accuracy"] >= record["metrics"]["mapping_alone_accuracy"] > 0.2
    assert record["metrics"]["accuracy"] >= 0.75
    assert record["asked"] is None
    assert not (run / "queries.sqlite").exists()
    assert {len(row["labels"]) for row in record["mapping"]} == {2}
    assert record["mapping"][0]["labels"][0]["label"] in (load("pocket").classes or ())
    assert len(record["samples"]) == 8
    assert all((run / row["picture"]).is_file() for row in record["samples"])
    manifest = json.loads((run / "artifact" / "artifact.json").read_text())
    assert (manifest["kind"], manifest["classes"]) == ("program", ["square", "stripe"])
    assert manifest["preprocess"]["size"] == manifest["transform"]["fields"]["size"] == 24


def test_eval_and_predict(white: tuple[Path, str], photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, _ = white
    status, out, _ = said(capsys, "eval", str(run), str(photos), "--json")
    found, record = json.loads(out), record_of(run)
    assert (status, found["accuracy"], found["n"]) == (0, record["metrics"]["accuracy"], 8)
    assert "asked" not in found
    photo = photos / "test" / "stripe" / "0.png"
    status, out, _ = said(capsys, "predict", str(run), str(photo), "--top", "2", "--json")
    (row,) = json.loads(out)["predictions"]
    assert {label for label, _ in row["top"]} == {"square", "stripe"}
    assert ew.open(run / "artifact").predict(photo, top=2) == row
    assert said(capsys, "eval", str(run), str(photos), "--source", "resnet20")[0] == 2
    status, _, errors = said(capsys, "eval", str(run), str(photos), "--source", "pocket", "--weights", "none")
    assert status == 2
    assert "no classifier of its own" in errors


def test_another_source_is_refused(
    white: tuple[Path, str], photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = load("pocket").module
    network.get_submodule("classifier.1").weight.data[0, 0] += 1e-3
    save_file(network.state_dict(), tmp_path / "other.safetensors")
    words = ("--source", "pocket", "--weights", str(tmp_path / "other.safetensors"))
    status, _, errors = said(capsys, "predict", str(white[0]), str(photos / "test"), *words)
    assert status == 1
    assert "before another model it means nothing" in errors


def test_a_run_serves_as_a_source_and_its_classes_have_names(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "source"
    model = ew.adapt(ew.load("pocket"), ew.LastLayer(), ["square", "stripe"])
    ew.fit(model, photos, out=source, epochs=1, workers=0)
    record = reprogram(ReprogramRequest(str(photos), str(source), epochs=1, workers=0), tmp_path / "run")
    assert {label["label"] for row in record["mapping"] for label in row["labels"]} == {"square", "stripe"}
    assert (record["source"]["classes"], record["source"]["checked"]) == (2, "weights")
    assert ew.open(tmp_path / "run").evaluate(photos)["accuracy"] == record["metrics"]["accuracy"]
    status, _, errors = said(capsys, "eval", str(source), str(photos), "--source", "pocket")
    assert (status, "--source is for a reprogrammed model" in errors) == (2, True), "an adapter has a backbone"


class StopsAt(Silent):
    """A listener that is where Ctrl-C comes, at step ``step``."""

    def __init__(self, step: int) -> None:
        self.step = step

    def progress(self, done: int, total: int) -> None:
        if (done, total) == (self.step, 6):
            raise KeyboardInterrupt


def test_interrupted_and_resumed_it_ends_with_the_same_bits(photos: Path, tmp_path: Path) -> None:
    request = ReprogramRequest(str(photos), "pocket", mapping="iterative", epochs=3, batch_size=8, workers=0)
    reprogram(request, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        reprogram(request, tmp_path / "cut", listener=StopsAt(5))
    assert not (tmp_path / "cut" / "record.json").exists()
    reprogram(request, tmp_path / "cut", resume=True)
    assert program_of(tmp_path / "whole") == program_of(tmp_path / "cut")


@pytest.fixture(scope="module")
def black(photos: Path) -> dict[str, Any]:
    """A finished run on the same model, asked alone, with a budget that affords a part of the training."""
    settings = {"sphere.directions": "4"}
    request = ReprogramRequest(
        str(photos), "pocket", black_box="top-k", settings=settings, budget=330, price=0.5, epochs=5, batch_size=6,
        workers=0,
    )  # fmt: skip
    return {**reprogram(request, photos.parent / "black"), "run": photos.parent / "black"}


def test_a_budget_is_planned_kept_and_noted(black: dict[str, Any]) -> None:
    asked, metrics = black["asked"], black["metrics"]
    assert sum(asked["planned"].values()) <= 330
    assert asked["queries"] == paid(black["run"])[0] <= 330
    assert asked["planned"]["scoring"] == 16
    assert asked["planned"]["mapping"] == 16
    assert (asked["cost"], asked["sent_bytes"]) == (asked["queries"] / 2, None)
    assert (asked["epochs"], asked["planned"]["training"]) == (3, 3 * 16 * 5)
    assert 330 - sum(asked["planned"].values()) < 6 * 5, "another step could not have been paid"
    assert metrics["mapping_alone_accuracy"] is not None
    assert any("affords" in note for note in black["notes"])
    assert black["source"]["checked"] == "weights"


def test_what_was_answered_costs_nothing_again(
    black: dict[str, Any], photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, before = black["run"], paid(black["run"])[0]
    status, out, _ = said(capsys, "eval", str(run), str(photos), "--json")
    assert status == 0
    found = json.loads(out)
    assert found["accuracy"] == black["metrics"]["accuracy"]
    assert found["asked"] == {"queries": 4, "cost": 2.0}, "only the fixed samples, which show that it is the same model"
    Image.new("RGB", (40, 40), "teal").save(photos.parent / "new.png")
    status, out, _ = said(capsys, "predict", str(run), str(photos.parent / "new.png"))
    assert "The source was asked 5 queries" in out
    assert paid(run)[0] == before + 4 + 5


def test_a_budget_that_somebody_else_used_up_leaves_the_program(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    request = ReprogramRequest(
        str(photos), "pocket", black_box="probs", settings={"sphere.directions": "4"}, budget=700, epochs=2,
        batch_size=8, workers=0,
    )  # fmt: skip
    run = tmp_path / "run"

    class Stops(Silent):
        def epoch(self, row: Any, epochs: int) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reprogram(request, run, listener=Stops())
    with contextlib.closing(sqlite3.connect(run / "queries.sqlite", isolation_level=None)) as ledger:
        ledger.execute("INSERT INTO payments VALUES (?)", (700 - paid(run)[0] - 30,))
    words = ("--source", "pocket", "--black-box", "probs", "--set", "sphere.directions=4", "--budget", "700")
    rest = ("--epochs", "2", "--batch-size", "8", "--workers", "0", "--out", str(run), "--resume")
    status, out, errors = said(capsys, "reprogram", str(photos), *words, *rest)
    assert status == 1
    assert "The training ended early, with the best program so far" in out
    assert f"The program is saved in {run}/artifact, and the budget does not reach to score it" in errors
    assert said(capsys, "predict", str(run), str(photos / "test" / "square" / "0.png"))[0] == 0


@contextlib.contextmanager
def process(*words: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """``edgewise WORDS`` in a process of its own, ended with the block."""
    own = subprocess.Popen(
        [sys.executable, "-m", "edgewise", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment(), **variables},
    )
    try:
        yield own
    finally:
        own.send_signal(signal.SIGINT)
        own.communicate(timeout=60)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Where another process serves the small network."""
    pytest.importorskip("uvicorn")
    pytest.importorskip("fastapi")
    pytest.importorskip("httpx")
    with process("serve", "pocket", "--port", "0", EDGEWISE_TOKEN=TOKEN) as server:
        assert server.stdout is not None
        yield server.stdout.readline().split()[-1]


def until(ready: Callable[[], bool], own: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 60
    while not ready():
        assert own.poll() is None, own.communicate()
        assert time.monotonic() < end
        time.sleep(0.01)


def queries_in(run: Path) -> int:
    try:
        return paid(run)[0]
    except sqlite3.OperationalError:  # not there yet
        return 0


def test_two_processes_a_kill_and_nothing_paid_twice(
    address: str, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Interrupted once and killed once, it ends as an undisturbed run does, and for four queries more each time."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    words = [
        "--source",
        address,
        "--set",
        "sphere.directions=4",
        "--batch-size",
        "4",
        "--epochs",
        "4",
        "--workers",
        "0",
    ]
    status, out, errors = said(capsys, "reprogram", str(photos), *words, "--token", TOKEN, "--out", str(whole))
    assert (status, errors) == (0, "")
    assert "unchanged, it answers as before" in out
    assert "The model itself would be" in out
    record = record_of(whole)
    asked, source = record["asked"], record["source"]
    queries, known = paid(whole)
    assert (asked["queries"], known) == (queries, queries - 4), "all samples differ but the fixed ones, asked twice"
    assert asked["sent_bytes"] == queries * 3 * 32 * 32, "a byte for every number"
    assert asked["received_bytes"] > 0
    assert record["sizes"]["weight_bytes"] == of_backbone(load("pocket")).weight_bytes
    assert (source["checked"], source["calls_itself"], source["remote"]) == ("answers", "pocket", True)

    command = ["reprogram", str(photos), *words, "--out", str(cut)]
    with process(*command, f"--token={TOKEN}") as first:
        until(lambda: queries_in(cut) > 60, first)
        first.send_signal(signal.SIGINT)
        _, errors = first.communicate(timeout=60)
    assert first.returncode == 3
    assert f"Finish with: {shlex.join(['edgewise', *command, '--resume'])}" in errors
    with process(*command, "--resume", EDGEWISE_TOKEN=TOKEN) as second:
        before = queries_in(cut)
        until(lambda: queries_in(cut) > before + 40, second)
        second.kill()
    assert not (cut / "record.json").exists()
    status, _, errors = said(capsys, *command, "--resume", "--token", TOKEN)
    assert (status, errors) == (0, "")
    assert program_of(cut) == program_of(whole)
    assert paid(cut) == (queries + 8, known), "the fixed samples again each time, and nothing else"
    assert record_of(cut)["metrics"] == record["metrics"]
    assert holds(tmp_path, TOKEN) == []
    assert without_token(["a", "--token", "b", "--token=c", "d"]) == ["a", "d"]


def test_a_program_for_a_model_behind_an_address(
    address: str, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    words = ("--source", address, "--token", TOKEN, "--epochs", "0", "--workers", "0", "--out", str(run), "--json")
    status, out, _ = said(capsys, "reprogram", str(photos), *words)
    found = json.loads(out)
    assert (status, found["metrics"]["best_epoch"]) == (0, None)
    assert found["metrics"]["accuracy"] == found["metrics"]["mapping_alone_accuracy"]
    assert said(capsys, "eval", str(run), str(photos))[2].endswith("or in the variable EDGEWISE_TOKEN.\n")
    status, out, _ = said(capsys, "eval", str(run), str(photos), "--token", TOKEN, "--json")
    assert (status, json.loads(out)["asked"]["queries"]) == (0, 4)
    status, _, errors = said(capsys, "eval", str(run), str(photos), "--token", "a stranger's")
    assert (status, "does not accept the token" in errors) == (2, True)
    status, _, errors = said(capsys, "eval", str(run), str(photos), "--source", "pocket")
    assert (status, "before another model it means nothing" in errors) == (1, True)


def test_an_endpoint_that_goes_away_can_be_gone_on_with(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And one that comes back with another model is not."""
    pytest.importorskip("uvicorn")
    create_app = pytest.importorskip("edgewise.serve.app").create_app
    monkeypatch.setattr("edgewise.reprogram.sources.http.LONGEST_PAUSE", 0.0)
    source, left = of_backbone(load("pocket")), 60
    app, run = create_app(source, TOKEN, "pocket"), tmp_path / "run"

    async def failing(scope: Any, receive: Any, send: Any) -> None:
        nonlocal left
        left -= scope.get("path") == "/v1/answers"
        if left < 0 and scope["type"] == "http":
            await send({"type": "http.response.start", "status": 503, "headers": []})
            await send({"type": "http.response.body", "body": b"too much"})
        else:
            await app(scope, receive, send)

    server = Running(failing)
    words = ("--source", server.address, "--token", TOKEN, "--set", "sphere.directions=4", "--epochs", "3")
    command = ("reprogram", str(photos), *words, "--batch-size", "4", "--workers", "0", "--out", str(run))
    try:
        status, _, errors = said(capsys, *command)
        assert status == 1
        assert "did not answer, tried 5 times (503: too much). What it answered is kept and not asked again." in errors
        assert errors.rstrip().endswith("--resume")
        assert TOKEN not in errors
        left = 10_000
        source.module[1].get_submodule("classifier.1").weight.data.mul_(0.5)  # type: ignore[union-attr, operator]
        status, _, errors = said(capsys, *command, "--resume")
        assert status == 1
        assert "the model was changed" in errors
        source.module[1].get_submodule("classifier.1").weight.data.mul_(2.0)  # type: ignore[union-attr, operator]
        assert said(capsys, *command, "--resume")[0] == 0
    finally:
        server.stop()


MISTAKES: list[tuple[list[str], str]] = [
    (["--source", "pockt"], "no backbone 'pockt'. Did you mean 'pocket'?"),
    (["--source", "runs/none"], "There is no run at runs/none"),
    (["--source", "mobilenet_v2"], "No weights of mobilenet_v2 come with Edgewise: name a file with --weights"),
    (["--source", "pocket", "--weights", "none"], "no classifier of its own"),
    (["--source", "pocket", "--transform", "pda"], "Did you mean 'pad'?"),
    (["--source", "pocket", "--set", "size=96"], "write --set pad.size=96"),
    (["--source", "pocket", "--set", "pad.size=64"], "A sample of 64 x 64 pixels does not fit on the source's 32 x 32"),
    (["--source", "pocket", "--transform", "replicate"], "both must be series"),
    (["--source", "pocket", "--black-box", "probs", "--trainer", "gradient"], "this source only answers: take sphere"),
    (["--source", "pocket", "--m", "6"], "2 classes with 6 labels each need 12 labels, and the source has 10"),
    (["--source", "pocket", "--black-box", "label", "--budget", "30"], "The budget is 30 queries, and before any"),
    (["--source", "pocket", "--budget", "30"], "--budget is for a source that only answers"),
    (["--source", "http://127.0.0.1:9"], "needs a token"),
    (["--source", "http://127.0.0.1:9", "--token", TOKEN], "http://127.0.0.1:9 did not answer, tried 2 times"),
    (["--source", "http://a:b@127.0.0.1", "--token", TOKEN], "may hold no password"),
]


@pytest.mark.parametrize(("words", "complaint"), MISTAKES, ids=[" ".join(words[1:]) for words, _ in MISTAKES])
def test_mistakes(
    words: list[str], complaint: str, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, _, errors = said(capsys, "reprogram", str(photos), *words, "--out", str(tmp_path / "run"), "--workers", "0")
    assert status in (1, 2)
    assert complaint in errors
    assert "Traceback" not in errors
    assert not (tmp_path / "run").exists(), "nothing was done"


def test_mistakes_about_an_endpoint(
    address: str, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("reprogram", str(photos), "--source", address, "--out", str(tmp_path / "run"))
    assert "does not accept the token" in said(capsys, *words, "--token", "a stranger's")[2]
    told = said(capsys, *words, "--token", TOKEN, "--black-box", "label")[2]
    assert f"{address} tells probs, and --black-box says label" in told
    assert not (tmp_path / "run").exists()


def test_more_classes_than_the_source_has(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(11):
        (tmp_path / "many" / f"class {number}").mkdir(parents=True)
        for photo in range(2):
            Image.new("RGB", (8, 8), (20 * number, 0, 90 * photo)).save(
                tmp_path / "many" / f"class {number}" / f"{photo}.png"
            )
    words = ("reprogram", str(tmp_path / "many"), "--source", "pocket", "--workers", "0")
    status, _, errors = said(capsys, *words, "--out", str(tmp_path / "run"))
    assert status == 2
    assert "11 classes with 1 labels each need 11 labels, and the source has 10: take a source with more" in errors
    assert not (tmp_path / "run").exists()


def test_a_folder_in_use_and_other_settings(
    white: tuple[Path, str], photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("reprogram", str(photos), "--source", "pocket", "--out", str(white[0]), "--workers", "0")
    assert "is in use" in said(capsys, *words)[2]
    assert (
        "epochs was 3 and is now 4"
        in said(capsys, *words, "--epochs", "4", "--m", "2", "--batch-size", "8", "--resume")[2]
    )
    assert said(capsys, "eval", str(white[0]), str(photos), "--source", "http://127.0.0.1:9")[0] == 2
