"""``edgewise fit DATA``: adapt a network to a folder of photos."""

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from edgewise.cli.console import answer, next_commands, say, show_table, watching
from edgewise.cli.jobs import job
from edgewise.cli.options import Debug, Json, MaxBad, Quiet, Seed, command_line, newest_run, next_run, share
from edgewise.core.errors import InterruptedRun, UsageError
from edgewise.core.runs import RunFolder
from edgewise.core.settings import parse_assignments
from edgewise.core.units import megabytes, percent

NETWORK, TRAINING, PHOTOS, RUN = "Network and method", "Training", "Photos", "Run"


def fit(
    ctx: typer.Context,
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="A folder of class folders, a CSV of path,label, or NAME:FOLDER.")
    ],
    backbone: Annotated[
        str, typer.Option(metavar="NAME", help="See edgewise models; or timm:NAME, hf:NAME.", rich_help_panel=NETWORK)
    ] = "mobilenet_v2",
    width: Annotated[
        float | None,
        typer.Option(help="Width multiplier of the backbone.", rich_help_panel=NETWORK),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="The backbone's weights (.safetensors, .pth); none for random.",
            rich_help_panel=NETWORK,
        ),
    ] = None,
    method: Annotated[
        str, typer.Option(metavar="NAME", help="See edgewise methods.", rich_help_panel=NETWORK)
    ] = "repnet",
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="A setting of the method; repeatable.",
            rich_help_panel=NETWORK,
        ),
    ] = None,
    image_size: Annotated[
        int | None,
        typer.Option(help="Side of the input in pixels; by default the backbone's.", rich_help_panel=NETWORK),
    ] = None,
    epochs: Annotated[int, typer.Option(help="Times every photo is seen.", rich_help_panel=TRAINING)] = 10,
    batch_size: Annotated[int, typer.Option(help="Photos in a step.", rich_help_panel=TRAINING)] = 8,
    lr: Annotated[
        float | None,
        typer.Option(help="Learning rate of the head; by default the method's.", rich_help_panel=TRAINING),
    ] = None,
    side_lr: Annotated[
        float | None,
        typer.Option(help="Learning rate of the method's own part.", rich_help_panel=TRAINING),
    ] = None,
    label_smoothing: Annotated[
        float, typer.Option(help="Share of the target spread over all classes.", rich_help_panel=TRAINING)
    ] = 0.0,
    val_fraction: Annotated[
        float, typer.Option(help="Cut from train for validation where there is no val folder.", rich_help_panel=PHOTOS)
    ] = 0.15,
    balance: Annotated[
        bool, typer.Option("--balance/--no-balance", help="Draw every class equally often.", rich_help_panel=PHOTOS)
    ] = False,
    colour: Annotated[
        str,
        typer.Option(metavar="none|torch|tf", help="Vary brightness and colour in training.", rich_help_panel=PHOTOS),
    ] = "none",
    flip: Annotated[
        bool, typer.Option("--flip/--no-flip", help="Mirror half of the photos in training.", rich_help_panel=PHOTOS)
    ] = True,
    crop_scale: Annotated[
        float, typer.Option(help="Smallest share of a photo's area that a random crop shows.", rich_help_panel=PHOTOS)
    ] = 0.5,
    lean: Annotated[
        str,
        typer.Option(
            metavar="small|fast|off",
            help="What the backward pass keeps: least memory, least time, or what stock PyTorch keeps.",
            rich_help_panel=TRAINING,
        ),
    ] = "small",
    frozen_bits: Annotated[
        int,
        typer.Option(
            metavar="8|32",
            help="Bits of a frozen weight; 8 takes a quarter of their memory and changes the network slightly.",
            rich_help_panel=TRAINING,
        ),
    ] = 32,
    adam_bits: Annotated[
        int,
        typer.Option(
            metavar="8|32",
            help="Bits of Adam's moments; 8 takes a quarter of their memory and rounds them at random.",
            rich_help_panel=TRAINING,
        ),
    ] = 32,
    budget: Annotated[
        str | None,
        typer.Option(
            metavar="48MB",
            help="Memory to stay within; chooses --lean, --frozen-bits and, unless given, --method.",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    max_bad: MaxBad = "1%",
    workers: Annotated[
        int | None,
        typer.Option(
            help="Processes that decode photos; by default what the machine has.",
            rich_help_panel=PHOTOS,
        ),
    ] = None,
    seed: Seed = 0,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The run folder; by default runs/fit-N.", rich_help_panel=RUN),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Finish the run in --out, or the newest runs/fit-N.", rich_help_panel=RUN)
    ] = False,
    quiet: Quiet = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Adapt a pretrained network to your own photos.

    DATA holds a folder per class, or train/, val/ and test/ with such folders.
    What you carry away is RUN/artifact: an adapter of 0.2 to 1.6 MB.
    """
    folder = out or (newest_run("fit") if resume else next_run("fit"))
    arguments = [word for word in ctx.obj if word != "--resume"]
    settings = {
        "data": data,
        "backbone": backbone,
        "width": width,
        "weights": weights,
        "method": method,
        "method_settings": parse_assignments(set_ or []),
        "epochs": epochs,
        "batch_size": batch_size,
        "image_size": image_size,
        "lr": lr,
        "side_lr": side_lr,
        "label_smoothing": label_smoothing,
        "val_fraction": val_fraction,
        "balance": balance,
        "colour": colour,
        "flip": flip,
        "crop_scale": crop_scale,
        "max_bad": share("--max-bad", max_bad),
        "adam_bits": adam_bits,
        "workers": workers,
        "seed": seed,
    }
    if budget is not None:
        _leave_to_the_plan(ctx)
    fitting = job("fit")
    settings["lean"] = fitting.lean_named(lean, frozen_bits)
    limit = None if budget is None else fitting.parse_budget(budget)
    request, any_method = fitting.FitRequest(**settings), not _given(ctx, "method")
    try:
        with watching(quiet, as_json) as listener:
            record = fitting.fit(request, folder, resume, command_line(arguments), listener, limit, any_method)
    except (InterruptedRun, KeyboardInterrupt) as stop:
        if not RunFolder(folder).config.exists():
            raise
        place = [] if out else ["--out", str(folder)]
        again = command_line([*arguments, *place, "--resume"])
        raise InterruptedRun(f"{str(stop) or 'Interrupted.'} Finish with: {again}") from stop
    if as_json:
        answer({"run": str(folder), **{key: record[key] for key in ("metrics", "cost", "sizes", "data")}})
        return
    show_result(record, folder)
    run, photos = shlex.quote(str(folder)), shlex.quote(data)
    next_commands(f"edgewise eval {run} {photos}", f"edgewise predict {run} PHOTO")


def _given(ctx: typer.Context, name: str) -> bool:
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _leave_to_the_plan(ctx: typer.Context) -> None:
    for name in ("lean", "frozen_bits", "workers"):
        if _given(ctx, name):
            raise UsageError(f"--budget chooses --{name.replace('_', '-')} itself; leave one of the two out.")


def show_result(record: dict[str, Any], folder: Path) -> None:
    """What was reached, what it took, and where it lies."""
    metrics, sizes = record["metrics"], record["sizes"]
    rows = [
        [f"Accuracy on {metrics['n']:,} photos ({metrics['split']})", percent(metrics["accuracy"])],
        [f"Validation accuracy (epoch {metrics['best_epoch']})", percent(metrics["val_accuracy"])],
        ["Trained parameters", f"{sizes['trainable_params']:,} of {sizes['total_params']:,}"],
        ["Adapter", megabytes(sizes["artifact_bytes"])],
        ["Kept for the backward pass", megabytes(record["cost"]["kept_mb"] * 1e6)],
    ]
    show_table(["Result", ""], rows, numbers=[1])
    say(f"Adapter: {folder / 'artifact'}", f"Report:  {folder / 'report.html'}")
