"""What a watcher sees: lines in a log, a bar on a terminal, nothing when quiet, JSON alone on stdout."""

import io
import json
import sys
from typing import Any

import pytest
from rich.console import Console
from rich.progress import Progress

from edgewise.cli.console import (
    BarListener,
    LineListener,
    answer,
    epoch_heading,
    epoch_line,
    next_commands,
    show_table,
    watching,
)
from edgewise.core.progress import Listener, Silent

ROW: dict[str, Any] = {
    "epoch": 3,
    "train_loss": 0.53125,
    "train_accuracy": 0.8125,
    "val_loss": 0.41,
    "val_accuracy": 0.943,
    "lr": 0.00098,
    "seconds": 72.4,
}


class Clock:
    def __init__(self) -> None:
        self.time = 0.0

    def __call__(self) -> float:
        return self.time


def told(listener: Listener) -> None:
    listener.stage("Looking at 3 photos of [red] things")
    listener.progress(1, 2)
    listener.note("The classes are uneven.")
    listener.epoch({**ROW, "epoch": 1}, 10)
    listener.epoch(ROW, 10)


def test_lines_of_a_log() -> None:
    stream = io.StringIO()
    told(LineListener(stream))
    assert stream.getvalue().splitlines() == [
        "Looking at 3 photos of [red] things",
        "Note: The classes are uneven.",
        "  epoch  train loss  train acc  val loss   val acc        lr      time",
        "   1/10      0.5312     81.2 %    0.4100    94.3 %   9.8e-04  1 min 12 s",
        "   3/10      0.5312     81.2 %    0.4100    94.3 %   9.8e-04  1 min 12 s",
    ]


def test_epoch_table_fits_80_columns_and_shows_what_was_not_measured() -> None:
    line = epoch_line({**ROW, "val_loss": None, "val_accuracy": None, "epoch": 1000}, 1000)
    assert len(line) <= 80
    assert line.split() == ["1000/1000", "0.5312", "81.2", "%", "–", "–", "9.8e-04", "1", "min", "12", "s"]
    assert len(epoch_heading(ROW)) <= 80


def test_a_long_stage_speaks_every_half_minute_with_the_time_left() -> None:
    clock, stream = Clock(), io.StringIO()
    listener = LineListener(stream, clock)
    listener.stage("Training")
    for second in range(61):
        clock.time = float(second)
        listener.progress(100 + second, 400)  # resumed at 100
    assert stream.getvalue().splitlines() == [
        "Training",
        "  130 of 400 (32 %), 4 min 30 s left",
        "  160 of 400 (40 %), 4 min 00 s left",
    ]


def test_a_terminal_gets_a_bar_below_the_same_lines() -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=80, markup=False, highlight=False, color_system=None)
    with Progress(console=console, auto_refresh=False) as bar:
        told(BarListener(bar))
        bar.refresh()
        assert bar.tasks[0].percentage == 50
    shown = stream.getvalue()
    assert "Looking at 3 photos of [red] things" in shown
    assert "50%" in shown
    assert shown.count("train loss") == 1
    assert epoch_line(ROW, 10) in shown


def test_every_stage_has_a_heading_of_its_own() -> None:
    stream = io.StringIO()
    listener = LineListener(stream)
    told(listener)
    told(listener)
    assert stream.getvalue().count("train loss") == 2


def test_watching_chooses_by_where_it_writes(capsys: pytest.CaptureFixture[str]) -> None:
    with watching(quiet=True) as listener:
        assert isinstance(listener, Silent)
    with watching() as listener:
        assert isinstance(listener, LineListener)
        listener.stage("to stdout")
    with watching(to_stderr=True) as listener:
        listener.stage("to stderr")
    written = capsys.readouterr()
    assert (written.out, written.err) == ("to stdout\n", "to stderr\n")


def test_watching_a_terminal_draws_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    with watching() as listener:
        assert isinstance(listener, BarListener)
        listener.stage("Training")
        listener.progress(1, 4)
    assert "Training" in screen.getvalue()
    assert "25%" in screen.getvalue()


def test_tables_fit_the_terminal_and_keep_brackets(capsys: pytest.CaptureFixture[str]) -> None:
    show_table(["Class", "Photos", "What"], [["[red]", "1,200", "long words " * 20], ["é", "1", "–"]], numbers=[1])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.split()[:2] == ["[red]", "1,200"] for line in lines)


def test_answer_is_one_json_object_in_ascii(capsys: pytest.CaptureFixture[str]) -> None:
    answer({"run": "runs/é", "accuracy": 0.5})
    out = capsys.readouterr().out
    assert out.isascii()
    assert json.loads(out) == {"run": "runs/é", "accuracy": 0.5}
    with pytest.raises(ValueError, match="JSON compliant"):
        answer({"loss": float("nan")})


def test_the_last_line_is_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    next_commands("edgewise eval a b", "edgewise predict a PHOTO")
    assert capsys.readouterr().out == "\nNext:\n  edgewise eval a b\n  edgewise predict a PHOTO\n"
