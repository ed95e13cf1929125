"""``edgewise predict RUN PHOTO…``: what a finished run says about photos."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from edgewise.cli.console import answer, say, show_table, watching
from edgewise.cli.jobs import job
from edgewise.cli.options import Debug, Json, Quiet, Run, Source, Token, Weights
from edgewise.core.errors import EdgewiseError
from edgewise.core.files import write_text
from edgewise.core.units import percent


def predict(
    run: Run,
    photos: Annotated[list[Path], typer.Argument(metavar="PHOTO…", help="Photos, or folders of photos.")],
    weights: Weights = None,
    source: Source = None,
    token: Token = None,
    top: Annotated[int, typer.Option(min=1, help="How many classes to name for each photo.")] = 1,
    csv_file: Annotated[
        Path | None,
        typer.Option("--csv", metavar="FILE", help="Write the answers to a table, too."),
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Say what is on photos.

    A photo that cannot be read is named, and the others are answered; the exit status is then 1.
    """
    with watching(quiet, as_json) as listener:
        answers: list[dict[str, Any]] = job("predict").predict(run, photos, weights, top, listener, source, token)
    if csv_file:
        write_text(csv_file, as_csv(answers))
    if as_json:
        answer({"run": str(run), "predictions": answers})
    else:
        show_table(
            ["Photo", "Class", "Confidence"],
            [row for entry in answers for row in _rows(entry)],
            numbers=[2],
        )
        if csv_file:
            say(f"Written to {csv_file}.")
    if failed := [entry for entry in answers if entry["error"]]:
        raise EdgewiseError(f"{len(failed)} of {len(answers)} photos could not be read.")


def as_csv(answers: Sequence[dict[str, Any]]) -> str:
    """``file,label,confidence,error``: one row a photo."""
    out = io.StringIO()
    columns = ["file", "label", "confidence", "error"]
    writer = csv.DictWriter(out, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(answers)
    return out.getvalue()


def _rows(entry: dict[str, Any]) -> list[list[str]]:
    if entry["error"]:
        return [[str(entry["file"]), entry["error"], "–"]]
    return [
        [str(entry["file"]) if rank == 0 else "", label, percent(share)]
        for rank, (label, share) in enumerate(entry["top"])
    ]
