"""``edgewise eval RUN DATA``: how well a finished run does on labelled photos."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from edgewise.cli.console import answer, next_commands, say, show_table, watching
from edgewise.cli.jobs import job
from edgewise.cli.options import Debug, Json, MaxBad, Quiet, Run, Source, Token, Weights, share
from edgewise.core.units import percent


def evaluate(
    run: Run,
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Labelled photos, as for edgewise fit.")],
    weights: Weights = None,
    source: Source = None,
    token: Token = None,
    subnet: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Which of a run's sub-nets, such as 95%; by default the least sparse."),
    ] = None,
    max_bad: MaxBad = "1%",
    quiet: Quiet = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Measure a run's accuracy on labelled photos, class by class.

    Where DATA has a test folder, that is what is measured.
    """
    with watching(quiet, as_json) as listener:
        bad = share("--max-bad", max_bad)
        found = job("eval").evaluate(run, data, weights, bad, listener, source, token, subnet)
    if as_json:
        answer(found)
        return
    counts = [sum(row) for row in found["confusion"]]
    show_table(
        ["Class", "Photos", "Accuracy", "Most often taken for"],
        [
            [name, f"{count:,}", percent(found["per_class"][name]), _mistaken_for(index, row, found["classes"])]
            for index, (name, count, row) in enumerate(zip(found["classes"], counts, found["confusion"], strict=True))
        ],
        numbers=[1, 2],
    )
    say(*(f"Skipped: {photo['file']} ({photo['reason']})" for photo in found["skipped"]))
    say(f"Accuracy {percent(found['accuracy'])} on {found['n']:,} photos ({found['split']}).")
    if "asked" in found:
        say(f"It took {found['asked']['queries']:,} queries; answers that the run had before cost nothing.")
    next_commands(f"edgewise predict {shlex.quote(str(run))} PHOTO")


def _mistaken_for(index: int, row: list[int], classes: list[str]) -> str:
    mistakes = {other: count for other, count in enumerate(row) if other != index and count}
    if not mistakes:
        return "–"
    worst = max(mistakes, key=lambda other: mistakes[other])
    return f"{classes[worst]} ({mistakes[worst]})"
