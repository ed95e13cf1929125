"""``edgewise subnets DATA``: train several sparse networks in one set of weights, for the price of one."""

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from edgewise.cli.console import answer, next_commands, say, show_table, watching
from edgewise.cli.jobs import job
from edgewise.cli.options import Debug, Json, MaxBad, Quiet, Seed, command_line, newest_run, next_run, share
from edgewise.core.errors import InterruptedRun, UsageError
from edgewise.core.runs import RunFolder
from edgewise.core.units import megabytes, percent

NETWORK, SUBNETS, TRAINING, PHOTOS, RUN = "Network", "Sub-nets", "Training", "Photos", "Run"


def subnets(
    ctx: typer.Context,
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="A folder of class folders, a CSV of path,label, or NAME:FOLDER.")
    ],
    backbone: Annotated[
        str, typer.Option(metavar="NAME", help="See edgewise models; or timm:NAME, hf:NAME.", rich_help_panel=NETWORK)
    ] = "resnet20",
    width: Annotated[
        float | None, typer.Option(help="Width multiplier of the backbone.", rich_help_panel=NETWORK)
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="The weights to start from; none for random.", rich_help_panel=NETWORK),
    ] = None,
    head: Annotated[
        str,
        typer.Option(metavar="auto|fresh", help="The last layer: kept where it fits.", rich_help_panel=NETWORK),
    ] = "auto",
    image_size: Annotated[
        int | None,
        typer.Option(help="Side of the input in pixels; by default the backbone's.", rich_help_panel=NETWORK),
    ] = None,
    densities: Annotated[
        str,
        typer.Option(
            metavar="D,D,…",
            help="Share of the weights each sub-net has, the largest first; 0.1 is called 90%.",
            rich_help_panel=SUBNETS,
        ),
    ] = "0.1,0.05,0.02",
    patterns: Annotated[
        str,
        typer.Option(
            metavar="N:M,…",
            help="In place of densities: keep N of every M weights along the channels, as in 2:4,1:4.",
            rich_help_panel=SUBNETS,
        ),
    ] = "",
    relation: Annotated[
        str,
        typer.Option(
            metavar="nd|cs",
            help="Masks of their own that may overlap, or each inside the one before.",
            rich_help_panel=SUBNETS,
        ),
    ] = "nd",
    gc: Annotated[
        bool,
        typer.Option(
            "--gc/--no-gc", help="Take conflicts out of consecutive sub-nets' gradients.", rich_help_panel=SUBNETS
        ),
    ] = True,
    training: Annotated[
        str,
        typer.Option(
            metavar="ast|joint|granet|mest|srste|dense",
            help="In turns; all on every batch; or one sub-net alone.",
            rich_help_panel=SUBNETS,
        ),
    ] = "ast",
    start: Annotated[float, typer.Option(help="Density that all sub-nets start with.", rich_help_panel=SUBNETS)] = 1.0,
    norms: Annotated[
        str,
        typer.Option(
            metavar="private|shared", help="Norms of each sub-net's own, or one for all.", rich_help_panel=SUBNETS
        ),
    ] = "private",
    only_active: Annotated[
        bool,
        typer.Option(
            "--only-active/--all-move",
            help="Decay and momentum leave alone what the sub-net has not.",
            rich_help_panel=SUBNETS,
        ),
    ] = True,
    dense_head: Annotated[
        bool,
        typer.Option("--dense-head/--sparse-head", help="All weights of the last layer.", rich_help_panel=SUBNETS),
    ] = False,
    prune_until: Annotated[
        float, typer.Option(help="Share of the run in which sub-nets are pruned.", rich_help_panel=SUBNETS)
    ] = 0.6875,
    every: Annotated[
        int | None,
        typer.Option(help="Steps of a sub-net between two changes of its mask.", rich_help_panel=SUBNETS),
    ] = None,
    offset: Annotated[
        int | None,
        typer.Option(help="Steps by which each sub-net changes later than the one before.", rich_help_panel=SUBNETS),
    ] = None,
    exchange: Annotated[
        float,
        typer.Option(help="Share of a layer's weights exchanged at a change, at first.", rich_help_panel=SUBNETS),
    ] = 0.5,
    epochs: Annotated[int, typer.Option(help="Times every photo is seen.", rich_help_panel=TRAINING)] = 10,
    batch_size: Annotated[int, typer.Option(help="Photos in a step.", rich_help_panel=TRAINING)] = 128,
    lr: Annotated[float, typer.Option(help="Learning rate at the start.", rich_help_panel=TRAINING)] = 0.1,
    weight_decay: Annotated[float, typer.Option(help="Pull of every weight to zero.", rich_help_panel=TRAINING)] = 5e-4,
    schedule: Annotated[
        str, typer.Option(metavar="cosine|steps", help="How the rate falls.", rich_help_panel=TRAINING)
    ] = "cosine",
    label_smoothing: Annotated[
        float, typer.Option(help="Share of the target spread over all classes.", rich_help_panel=TRAINING)
    ] = 0.0,
    precision: Annotated[
        str,
        typer.Option(metavar="float32|bfloat16", help="Numbers a step computes with.", rich_help_panel=TRAINING),
    ] = "float32",
    val_fraction: Annotated[
        float, typer.Option(help="Cut from train for validation where there is no val folder.", rich_help_panel=PHOTOS)
    ] = 0.1,
    pad: Annotated[
        int,
        typer.Option(
            help="Move training photos by at most so many pixels; 0 for random crops.", rich_help_panel=PHOTOS
        ),
    ] = 4,
    crop_scale: Annotated[
        float,
        typer.Option(help="With --pad 0: smallest share of a photo that a crop shows.", rich_help_panel=PHOTOS),
    ] = 0.5,
    flip: Annotated[
        bool, typer.Option("--flip/--no-flip", help="Mirror half of the photos in training.", rich_help_panel=PHOTOS)
    ] = True,
    max_bad: MaxBad = "1%",
    workers: Annotated[
        int | None,
        typer.Option(help="Processes that decode photos; by default what the machine has.", rich_help_panel=PHOTOS),
    ] = None,
    seed: Seed = 0,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The run folder; by default runs/subnets-N.", rich_help_panel=RUN),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Finish the run in --out, or the newest runs/subnets-N.", rich_help_panel=RUN),
    ] = False,
    quiet: Quiet = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Train several sparse networks in one, to switch between while it runs.

    Every step trains one of them on one batch, so that all together cost what
    one network costs. What you carry away is RUN/artifact: their weights once,
    and a mask and the norms of each.
    """
    folder = out or (newest_run("subnets") if resume else next_run("subnets"))
    arguments = [word for word in ctx.obj if word != "--resume"]
    shares = _numbers(densities)
    training_job = job("subnets")
    request = training_job.SubNetsRequest(
        data=data,
        backbone=backbone,
        width=width,
        weights=weights,
        subnets=training_job.SubNetSettings(
            training=training,
            densities=shares,
            patterns=tuple(part.strip() for part in patterns.split(",") if part.strip()),
            relation=relation,
            gc=gc,
            start=start,
            norms=norms,
            only_active=only_active,
            dense_head=dense_head,
            prune_until=prune_until,
            every=every,
            offset=offset,
            exchange=exchange,
        ),
        head=head,
        epochs=epochs,
        batch_size=batch_size,
        image_size=image_size,
        lr=lr,
        weight_decay=weight_decay,
        schedule=schedule,
        label_smoothing=label_smoothing,
        precision=precision,
        val_fraction=val_fraction,
        pad=pad,
        crop_scale=crop_scale,
        flip=flip,
        max_bad=share("--max-bad", max_bad),
        workers=workers,
        seed=seed,
    )
    try:
        with watching(quiet, as_json) as listener:
            record = training_job.subnets(request, folder, resume, command_line(arguments), listener)
    except (InterruptedRun, KeyboardInterrupt) as stop:
        if not RunFolder(folder).config.exists():
            raise
        place = [] if out else ["--out", str(folder)]
        again = command_line([*arguments, *place, "--resume"])
        raise InterruptedRun(f"{str(stop) or 'Interrupted.'} Finish with: {again}") from stop
    if as_json:
        answer({"run": str(folder), **{key: record[key] for key in ("metrics", "subnets", "sizes", "data")}})
        return
    show_result(record, folder)
    sparsest = record["subnets"]["names"][-1]
    next_commands(f"edgewise eval {shlex.quote(str(folder))} {shlex.quote(data)} --subnet {sparsest}")


def show_result(record: dict[str, Any], folder: Path) -> None:
    """Every sub-net: what it reached, what it keeps, what it adds to the file."""
    metrics, found = record["metrics"], record["subnets"]
    rows = [
        [
            name,
            percent(density),
            percent(found["accuracy"][name]),
            megabytes(found["bytes"][name]["masks"] + found["bytes"][name]["norms"]),
        ]
        for name, density in zip(found["names"], found["densities"], strict=True)
    ]
    heading = f"accuracy on {metrics['n']:,} photos ({metrics['split']})"
    show_table(["Sub-net", "weights", heading, "adds"], rows, numbers=[1, 2, 3])
    once = megabytes(found["bytes"]["weights"]["bytes"])
    say(
        f"Weights, once for all: {once}; the file: {megabytes(record['sizes']['artifact_bytes'])}",
        f"Engine:   {found['engine']}",
        f"Sub-nets: {folder / 'artifact'}",
    )


def _numbers(text: str) -> tuple[float, ...]:
    """``"0.1,0.05"`` → ``(0.1, 0.05)``."""
    try:
        return tuple(float(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise UsageError(f"--densities {text!r} is no list of numbers; write them as in 0.1,0.05,0.02.") from None
