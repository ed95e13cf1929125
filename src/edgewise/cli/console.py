"""How the terminal looks: progress while a job runs, tables and JSON when it is done.

Progress goes to standard output, or to standard error where standard output carries JSON.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TextIO

from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from edgewise.core.progress import Listener, Silent
from edgewise.core.units import duration, percent

SECONDS_BETWEEN_LINES = 30.0


@contextmanager
def watching(quiet: bool = False, to_stderr: bool = False) -> Iterator[Listener]:
    """A listener for one job: a bar on a terminal, plain lines elsewhere, nothing when ``quiet``."""
    stream = sys.stderr if to_stderr else sys.stdout
    console = _console(stream)
    if quiet:
        yield Silent()
    elif console.is_terminal and not console.is_dumb_terminal:
        with _bar(console) as bar:
            yield BarListener(bar)
    else:
        yield LineListener(stream)


class LineListener:
    """One line for each thing worth knowing; fit for a log file."""

    def __init__(self, stream: TextIO, now: Callable[[], float] = time.monotonic) -> None:
        self._stream, self._now = stream, now
        self._heading_due = True
        self._first: tuple[float, int] | None = None
        self._spoke = now()

    def stage(self, text: str) -> None:
        self._heading_due, self._first, self._spoke = True, None, self._now()
        self._say(text)

    def progress(self, done: int, total: int) -> None:
        now = self._now()
        # A resumed stage begins in the middle, so the speed is that since the first report.
        began, before = self._first = self._first or (now, done)
        if now - self._spoke < SECONDS_BETWEEN_LINES or done <= before:
            return
        self._spoke = now
        left = duration((now - began) / (done - before) * (total - done))
        self._say(f"  {done:,} of {total:,} ({100 * done // total} %), {left} left")

    def epoch(self, row: Mapping[str, Any], epochs: int) -> None:
        if self._heading_due:
            self._say(epoch_heading(row))
        self._heading_due = False
        self._spoke = self._now()
        self._say(epoch_line(row, epochs))

    def note(self, text: str) -> None:
        self._say(f"Note: {text}")

    def _say(self, line: str) -> None:
        print(line, file=self._stream, flush=True)


class BarListener:
    """A bar with the time left, under the lines that stay; no bar while a stage tells nothing."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._task = bar.add_task("", visible=False)
        self._heading_due = True

    def stage(self, text: str) -> None:
        self._heading_due = True
        self._bar.remove_task(self._task)
        self._task = self._bar.add_task("", visible=False)
        self._bar.console.print(text, soft_wrap=True)

    def progress(self, done: int, total: int) -> None:
        self._bar.update(self._task, completed=done, total=total, visible=True)

    def epoch(self, row: Mapping[str, Any], epochs: int) -> None:
        if self._heading_due:
            self._bar.console.print(epoch_heading(row), style="bold", soft_wrap=True)
        self._heading_due = False
        self._bar.console.print(epoch_line(row, epochs), soft_wrap=True)

    def note(self, text: str) -> None:
        self._bar.console.print(f"Note: {text}", style="yellow", soft_wrap=True)


def epoch_heading(row: Mapping[str, Any]) -> str:
    """The headings of the epoch table, aligned with `epoch_line`."""
    return "  ".join(f"{_heading(key):>{_width(key)}}" for key in row)


def epoch_line(row: Mapping[str, Any], epochs: int) -> str:
    """One row of ``metrics.csv`` as a person reads it; the loop's row takes 71 columns."""
    return "  ".join(f"{_cell(key, value, epochs):>{_width(key)}}" for key, value in row.items())


def show_table(headings: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int] = ()) -> None:
    """Print a table no wider than the terminal; columns ``numbers`` are aligned right."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for index, heading in enumerate(headings):
        right = index in numbers
        table.add_column(heading, justify="right" if right else "left", no_wrap=right, overflow="fold")
    for row in rows:
        table.add_row(*row)
    _console(sys.stdout).print(table)


def say(*lines: str) -> None:
    """Print lines as they are: a path or a command is never broken."""
    for line in lines:
        print(line)


def paragraph(text: str) -> None:
    """Print a text, broken between words to the terminal's width."""
    _console(sys.stdout).print(text)


def next_commands(*commands: str) -> None:
    """End with what to type next; the last line is a command."""
    say("", "Next:", *(f"  {command}" for command in commands))


def answer(value: Mapping[str, Any]) -> None:
    """Print one JSON object, in ASCII so that no terminal's encoding can break it."""
    print(json.dumps(value, indent=2, allow_nan=False))


def _console(stream: TextIO) -> Console:
    # A class called "[red]" is printed as it is called.
    return Console(file=stream, markup=False, highlight=False, emoji=False)


def _bar(console: Console) -> Progress:
    columns = (BarColumn(bar_width=None), TaskProgressColumn(), TextColumn("left"), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True)


def _heading(key: str) -> str:
    return {"seconds": "time"}.get(key, key.replace("_", " ").replace("accuracy", "acc"))


def _width(key: str) -> int:
    return max(len(_heading(key)), 7 if key == "epoch" else 8)


def _cell(key: str, value: Any, epochs: int) -> str:
    if value is None:
        return "–"
    if key == "epoch":
        return f"{value}/{epochs}"
    if key == "seconds":
        return duration(value)
    if key.endswith(("accuracy", "sparsity")):
        return percent(value)
    if isinstance(value, float):
        return f"{value:.1e}" if key.endswith("lr") else f"{value:.4f}"
    return str(value)
