"""Options that several verbs share, and what their texts mean."""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from edgewise.core.errors import UsageError

Run = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, or the artifact folder in it.")]
Weights = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="The backbone's weights, where they moved since the run."),
]
MaxBad = Annotated[
    str,
    typer.Option(
        metavar="SHARE", help="Unreadable photos to skip before it is an error: 1% or 0.01.", rich_help_panel="Photos"
    ),
]
Source = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|RUN|URL",
        help="Where a reprogrammed model's source is, if it moved since the run.",
        rich_help_panel="Source",
    ),
]
Token = Annotated[
    str | None,
    typer.Option(
        metavar="TOKEN",
        envvar="EDGEWISE_TOKEN",
        help="What a source behind an address wants to know; it is written nowhere.",
        rich_help_panel="Source",
    ),
]
Seed = Annotated[int, typer.Option(help="Seed of everything random.", rich_help_panel="Run")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Only the result and errors.", rich_help_panel="Run")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.", rich_help_panel="Run")]
# Read by `main`, straight from the arguments: an error may come before they are parsed.
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.", rich_help_panel="Run")]


def share(option: str, text: str) -> float:
    """``"1%"`` and ``"0.01"`` → ``0.01``; raises `UsageError` for anything outside 0 to 1."""
    try:
        value = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise UsageError(f"{option} {text!r} is neither a percentage such as 1% nor a share from 0 to 1 such as 0.01.")
    return value


def command_line(arguments: list[str]) -> str:
    """The command as it can be typed again."""
    return shlex.join(["edgewise", *arguments])


def without_token(arguments: Sequence[str]) -> list[str]:
    """``arguments`` as they may be written down and shown: the token stays with its owner."""
    kept: list[str] = []
    words = iter(arguments)
    for word in words:
        if word == "--token":
            next(words, None)
        elif not word.startswith("--token="):
            kept.append(word)
    return kept


def numbered_runs(kind: str) -> dict[int, Path]:
    """Run folders ``runs/KIND-N`` that are there, by number."""
    pattern = re.compile(rf"{re.escape(kind)}-(\d+)")
    folder = Path("runs")
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return {int(match[1]): folder / name for name in names if (match := pattern.fullmatch(name))}


def next_run(kind: str) -> Path:
    """``runs/KIND-N`` with the lowest N above all that are there."""
    return Path("runs") / f"{kind}-{max(numbered_runs(kind), default=0) + 1}"


def newest_run(kind: str) -> Path:
    """The run that ``--resume`` means without ``--out``; raises `UsageError` when there is none."""
    runs = numbered_runs(kind)
    if not runs:
        raise UsageError(f"There is no runs/{kind}-N here to resume. Name the run with --out.")
    return runs[max(runs)]
