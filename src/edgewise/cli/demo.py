"""``edgewise demo``: the main job on what ships with the package, without a network."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from edgewise.cli.console import answer, next_commands, say, show_table, watching
from edgewise.cli.jobs import job
from edgewise.cli.options import Debug, Json, Quiet, Seed, command_line, newest_run, next_run, numbered_runs
from edgewise.core.errors import InterruptedRun
from edgewise.core.units import duration, megabytes, percent

FIRST = Path("runs/demo")


def demo(
    ctx: typer.Context,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The run folder; by default runs/demo.", rich_help_panel="Run"),
    ] = None,
    seed: Seed = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Finish the newest demo.", rich_help_panel="Run")] = False,
    quiet: Quiet = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Adapt the network that ships with Edgewise to handwritten digits.

    Four methods side by side: accuracy, parameters, adapter, memory and time.
    It takes less than three minutes on two cores and needs no internet.
    """
    folder = out or _folder(resume)
    arguments = [word for word in ctx.obj if word != "--resume"]
    try:
        with watching(quiet, as_json) as listener:
            record = job("demo").demo(folder, seed, command_line(arguments), listener, resume)
    except (InterruptedRun, KeyboardInterrupt) as stop:
        again = command_line([*arguments, *([] if out else ["--out", str(folder)]), "--resume"])
        raise InterruptedRun(f"{str(stop) or 'Interrupted.'} Finish with: {again}") from stop
    if as_json:
        answer({"run": str(folder), "rows": record["rows"]})
        return
    show_comparison(record["rows"])
    say(
        "Accuracy: on test pictures no method saw. Trained: parameters that learn.",
        "Memory: the most that a training step of 8 pictures held, measured.",
        f"Report: {folder / 'report.html'}",
    )
    next_commands("edgewise fit photos/ --weights FILE")


def _folder(resume: bool) -> Path:
    """``runs/demo``, the next number where that is taken, or the newest one to resume."""
    if resume:
        return newest_run("demo") if numbered_runs("demo") else FIRST
    return next_run("demo") if FIRST.exists() else FIRST


def show_comparison(rows: Sequence[Mapping[str, Any]]) -> None:
    """One line a method, cheapest first as the job gives them."""
    show_table(
        ["Method", "Accuracy", "Trained", "Adapter", "Memory", "Time"],
        [
            [
                row["label"],
                percent(row["test_accuracy"]),
                f"{row['trainable_params']:,}",
                megabytes(row["artifact_bytes"]),
                "–" if row["memory_mb"] is None else megabytes(row["memory_mb"] * 1e6),
                duration(row["seconds"]),
            ]
            for row in rows
        ],
        numbers=range(1, 6),
    )
