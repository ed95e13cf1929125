"""``edgewise reprogram DATA --source MODEL``: a frozen model serves other photos, even one that only answers."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from edgewise.cli.console import answer, next_commands, say, show_table, watching
from edgewise.cli.jobs import job
from edgewise.cli.options import (
    Debug,
    Json,
    MaxBad,
    Quiet,
    Seed,
    Token,
    command_line,
    newest_run,
    next_run,
    share,
    without_token,
)
from edgewise.core.errors import EdgewiseError, InterruptedRun
from edgewise.core.runs import RunFolder
from edgewise.core.settings import parse_assignments
from edgewise.core.units import megabytes, percent

SOURCE, PROGRAM, BLACK_BOX, PHOTOS, RUN = "Source", "Program", "A source that only answers", "Photos", "Run"


def reprogram(
    ctx: typer.Context,
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="A folder of class folders, a CSV of path,label, or NAME:FOLDER.")
    ],
    source: Annotated[
        str,
        typer.Option(
            metavar="NAME|RUN|URL",
            help="The frozen model: a backbone with its own classifier, a run folder, or where edgewise serve listens.",
            rich_help_panel=SOURCE,
        ),
    ],
    token: Token = None,
    weights: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="The source's weights (.safetensors, .pth).", rich_help_panel=SOURCE),
    ] = None,
    width: Annotated[float | None, typer.Option(help="Width multiplier of the source.", rich_help_panel=SOURCE)] = None,
    image_size: Annotated[
        int | None,
        typer.Option(help="Side of the source's input in pixels; by default its own.", rich_help_panel=SOURCE),
    ] = None,
    transform: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="How a photo becomes the source's: pad, prompt, resize.",
            rich_help_panel=PROGRAM,
        ),
    ] = "pad",
    mapping: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="How its classes are read as yours: first, random, frequency, iterative, optimal, similarity, "
            "bayesian, linear, verbaliser.",
            rich_help_panel=PROGRAM,
        ),
    ] = "frequency",
    m: Annotated[
        int | None,
        typer.Option("--m", help="The source's labels for each class; by default 1.", rich_help_panel=PROGRAM),
    ] = None,
    trainer: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="gradient; sphere or spsa where the source only answers (the default there: sphere).",
            rich_help_panel=PROGRAM,
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="PART.NAME=VALUE",
            help="A setting of the transform, mapping or trainer, such as pad.size=96; repeatable.",
            rich_help_panel=PROGRAM,
        ),
    ] = None,
    black_box: Annotated[
        str | None,
        typer.Option(
            metavar="probs|top-k|label",
            help="All that the source tells, although it is here; top-k are the 5 likeliest.",
            rich_help_panel=BLACK_BOX,
        ),
    ] = None,
    budget: Annotated[
        int | None,
        typer.Option(help="The most queries in all; one is one photo scored.", rich_help_panel=BLACK_BOX),
    ] = None,
    price: Annotated[float, typer.Option(help="What a query costs.", rich_help_panel=BLACK_BOX)] = 0.0,
    epochs: Annotated[
        int | None,
        typer.Option(
            help="Times every photo is seen; by default 10, or with --budget what it affords.", rich_help_panel=PROGRAM
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Photos in a step.", rich_help_panel=PROGRAM)] = 16,
    val_fraction: Annotated[
        float, typer.Option(help="Cut from train for validation where there is no val folder.", rich_help_panel=PHOTOS)
    ] = 0.15,
    max_bad: MaxBad = "1%",
    workers: Annotated[
        int | None,
        typer.Option(help="Processes that decode photos; by default what the machine has.", rich_help_panel=PHOTOS),
    ] = None,
    seed: Seed = 0,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The run folder; by default runs/reprogram-N.", rich_help_panel=RUN),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Finish the run in --out, or the newest runs/reprogram-N.", rich_help_panel=RUN),
    ] = False,
    quiet: Quiet = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Use a frozen model for your photos without changing it.

    What is learned goes around every photo, and how the model's answers are read.
    That works on a model that can only be asked, too. What you carry away is
    RUN/artifact: the program.
    """
    folder = out or (newest_run("reprogram") if resume else next_run("reprogram"))
    arguments = without_token([word for word in ctx.obj if word != "--resume"])
    reprogramming = job("reprogram")
    request = reprogramming.ReprogramRequest(
        data=data,
        source=source,
        weights=weights,
        width=width,
        image_size=image_size,
        transform=transform,
        mapping=mapping,
        m=m,
        trainer=trainer,
        settings=parse_assignments(set_ or []),
        black_box=black_box,
        budget=budget,
        price=price,
        epochs=epochs,
        batch_size=batch_size,
        val_fraction=val_fraction,
        max_bad=share("--max-bad", max_bad),
        workers=workers,
        seed=seed,
    )
    place = [] if out else ["--out", str(folder)]
    again = command_line([*arguments, *place, "--resume"])
    try:
        with watching(quiet, as_json) as listener:
            record = reprogramming.reprogram(request, folder, token, resume, command_line(arguments), listener)
    except (InterruptedRun, KeyboardInterrupt) as stop:
        if not RunFolder(folder).config.exists():
            raise
        raise InterruptedRun(f"{str(stop) or 'Interrupted.'} Finish with: {again}") from stop
    except reprogramming.UnreachableError as gone:
        if not RunFolder(folder).config.exists():
            raise
        raise EdgewiseError(f"{gone} What it answered is kept and not asked again. Go on with: {again}") from gone
    if as_json:
        parts = ("metrics", "source", "asked", "sizes", "data")
        answer({"run": str(folder), **{key: record[key] for key in parts}})
        return
    show_result(record, folder)
    run = shlex.quote(str(folder))
    next_commands(f"edgewise eval {run} {shlex.quote(data)}", f"edgewise predict {run} PHOTO")


def show_result(record: dict[str, Any], folder: Path) -> None:
    """What was reached, what was asked and paid, and where it lies."""
    metrics, sizes = record["metrics"], record["sizes"]
    rows = [[f"Accuracy on {metrics['n']:,} photos ({metrics['split']})", percent(metrics["accuracy"])]]
    if metrics["mapping_alone_accuracy"] is not None:
        rows.append(["The same with the mapping alone", percent(metrics["mapping_alone_accuracy"])])
    if metrics["best_epoch"]:
        rows.append([f"Validation accuracy (epoch {metrics['best_epoch']})", percent(metrics["val_accuracy"])])
    rows += [["Trained numbers", f"{sizes['trained_numbers']:,}"], ["Program", megabytes(sizes["artifact_bytes"])]]
    rows += _paid(record["asked"], sizes)
    rows.append(["Source", _proof(record["source"])])
    show_table(["Result", ""], rows, numbers=[1])
    say(f"Program: {folder / 'artifact'}", f"Report:  {folder / 'report.html'}")


def _paid(asked: dict[str, Any] | None, sizes: dict[str, Any]) -> Sequence[list[str]]:
    if asked is None:
        return []
    of = "" if asked["budget"] is None else f" of {asked['budget']:,}"
    rows = [["Queries", f"{asked['queries']:,}{of}"]]
    if asked["price"]:
        rows.append(["Cost", f"{asked['cost']:,.2f}"])
    if asked["sent_bytes"] is not None:
        rows.append(["Sent and received", f"{megabytes(asked['sent_bytes'])}, {megabytes(asked['received_bytes'])}"])
        if sizes["weight_bytes"]:
            rows.append(["The model itself would be", megabytes(sizes["weight_bytes"])])
    return rows


def _proof(source: dict[str, Any]) -> str:
    return {"weights": "untouched, its weights' hash is the same", "answers": "unchanged, it answers as before"}.get(
        source["checked"], "not asked again at the end"
    )
