"""``edgewise compare DATA``: many methods on the same photos, side by side."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from edgewise.cli.console import answer, next_commands, paragraph, say, show_table, watching
from edgewise.cli.jobs import job
from edgewise.cli.options import Debug, Json, MaxBad, Quiet, command_line, newest_run, next_run, share
from edgewise.core.errors import InterruptedRun
from edgewise.core.runs import RunFolder
from edgewise.core.units import megabytes, percent

NETWORK, TRAINING, PHOTOS, RUN = "Network and methods", "Training", "Photos", "Run"
SPLITS = {"test": "test", "val": "validation", "train": "training"}


def compare(
    ctx: typer.Context,
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="A folder of class folders, a CSV of path,label, or NAME:FOLDER.")
    ],
    backbone: Annotated[
        str, typer.Option(metavar="NAME", help="See edgewise models; or timm:NAME, hf:NAME.", rich_help_panel=NETWORK)
    ] = "mobilenet_v2",
    width: Annotated[
        float | None, typer.Option(help="Width multiplier of the backbone.", rich_help_panel=NETWORK)
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="The backbone's weights (.safetensors, .pth); none for random.",
            rich_help_panel=NETWORK,
        ),
    ] = None,
    methods: Annotated[
        str, typer.Option(metavar="NAME,NAME,…", help="Methods to compare, or all.", rich_help_panel=NETWORK)
    ] = "all",
    image_size: Annotated[
        int | None,
        typer.Option(help="Side of the input in pixels; by default the backbone's.", rich_help_panel=NETWORK),
    ] = None,
    epochs: Annotated[int, typer.Option(help="Times every photo is seen.", rich_help_panel=TRAINING)] = 10,
    seeds: Annotated[int, typer.Option(help="Runs of every method.", rich_help_panel=TRAINING)] = 3,
    batch_size: Annotated[int, typer.Option(help="Photos in a step.", rich_help_panel=TRAINING)] = 8,
    budget: Annotated[
        str | None,
        typer.Option(
            metavar="48MB", help="Leave out methods whose step is predicted to take more.", rich_help_panel=TRAINING
        ),
    ] = None,
    flip: Annotated[
        bool, typer.Option("--flip/--no-flip", help="Mirror half of the photos in training.", rich_help_panel=PHOTOS)
    ] = True,
    crop_scale: Annotated[
        float, typer.Option(help="Smallest share of a photo's area that a random crop shows.", rich_help_panel=PHOTOS)
    ] = 0.5,
    max_bad: MaxBad = "1%",
    workers: Annotated[
        int | None,
        typer.Option(help="Processes that decode photos; by default what the machine has.", rich_help_panel=PHOTOS),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the first run; the others follow.", rich_help_panel=RUN)] = 0,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The folder of all runs; by default runs/compare-N.", rich_help_panel=RUN),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Finish the one in --out, or the newest runs/compare-N; new methods and seeds are added.",
            rich_help_panel=RUN,
        ),
    ] = False,
    quiet: Quiet = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Try many methods on your photos, and see what each reaches and takes.

    Every method is trained with its own learning rates, one after another.
    OUT/report.html shows accuracy against memory; OUT/metrics.csv has all numbers.
    """
    folder = out or (newest_run("compare") if resume else next_run("compare"))
    arguments = [word for word in ctx.obj if word != "--resume"]
    comparing = job("compare")
    request = comparing.CompareRequest(
        data=data,
        backbone=backbone,
        width=width,
        weights=weights,
        methods=comparing.methods_named(methods),
        epochs=epochs,
        seeds=seeds,
        seed=seed,
        batch_size=batch_size,
        image_size=image_size,
        flip=flip,
        crop_scale=crop_scale,
        max_bad=share("--max-bad", max_bad),
        workers=workers,
    )
    limit = None if budget is None else comparing.parse_budget(budget)
    try:
        with watching(quiet, as_json) as listener:
            record = comparing.compare(request, folder, limit, resume, command_line(arguments), listener)
    except (InterruptedRun, KeyboardInterrupt) as stop:
        if not RunFolder(folder).config.exists():
            raise
        again = command_line([*arguments, *([] if out else ["--out", str(folder)]), "--resume"])
        raise InterruptedRun(f"Interrupted; what is done is kept. Finish with: {again}") from stop
    if as_json:
        answer(
            {"run": str(folder), "split": record["metrics"]["split"], "best": record["best"], "rows": record["rows"]}
        )
        return
    show(record, folder)
    next_commands(f"edgewise predict {shlex.quote(str(folder / record['best']['run']))} PHOTO")


def show(record: Mapping[str, Any], folder: Path) -> None:
    """A line for each method, what the columns are, why methods were left out, and where the pages lie."""
    rows, metrics = record["rows"], record["metrics"]
    show_table(
        ["Method", "Accuracy", "Peak", "Adapter", "Step", "Trained"],
        [
            [
                row["method"],
                _accuracy(row),
                _size(row["measured_peak_mb"], 1e6),
                _size(row["adapter_bytes"]),
                "–" if row["step_ms"] is None else f"{row['step_ms']:.0f} ms",
                "–" if row["trainable_params"] is None else f"{row['trainable_params']:,}",
            ]
            for row in rows
        ],
        numbers=range(1, 6),
    )
    most = max(row["seeds"] for row in rows)
    spread = f", mean ± standard deviation of {most} runs" if most > 1 else ", of one run"
    say(
        f"Accuracy: on {metrics['n']:,} {SPLITS[metrics['split']]} photos{spread}.",
        f"Peak: the most that a training step of {record['config']['batch_size']} photos held, measured.",
    )
    for row in rows:
        if row["reason"] is not None:
            paragraph(f"{row['method']} was left out. {row['reason']}")
    say(f"Page:  {folder / 'report.html'}", f"Table: {folder / 'metrics.csv'}")


def _accuracy(row: Mapping[str, Any]) -> str:
    if row["accuracy"] is None:
        return "left out"
    if row["accuracy_std"] is None:
        return percent(row["accuracy"])
    return f"{100 * row['accuracy']:.1f} ± {percent(row['accuracy_std'])}"


def _size(value: float | None, unit: float = 1) -> str:
    return "–" if value is None else megabytes(unit * value)
