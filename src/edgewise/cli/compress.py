"""``edgewise compress DATA``: train a network into ternary weights with empty groups."""

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from edgewise.cli.console import answer, next_commands, say, show_table, watching
from edgewise.cli.jobs import job
from edgewise.cli.options import Debug, Json, MaxBad, Quiet, Seed, command_line, newest_run, next_run, share
from edgewise.core.errors import InterruptedRun
from edgewise.core.runs import RunFolder
from edgewise.core.units import megabytes, percent

NETWORK, COMPRESSION, TRAINING, PHOTOS, RUN = "Network", "Compression", "Training", "Photos", "Run"


def compress(
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
        typer.Option(
            metavar="FILE",
            help="The backbone's weights (.safetensors, .pth); none for random.",
            rich_help_panel=NETWORK,
        ),
    ] = None,
    head: Annotated[
        str,
        typer.Option(
            metavar="auto|fresh",
            help="The last layer: kept where it has the photos' classes, or made new.",
            rich_help_panel=NETWORK,
        ),
    ] = "auto",
    image_size: Annotated[
        int | None,
        typer.Option(help="Side of the input in pixels; by default the backbone's.", rich_help_panel=NETWORK),
    ] = None,
    arm: Annotated[
        str,
        typer.Option(
            metavar="wpc|naive|tern|prune|float",
            help="Ternary weights with the clipped group penalty; with the plain one; without; the plain penalty in "
            "full precision; neither.",
            rich_help_panel=COMPRESSION,
        ),
    ] = "wpc",
    pe: Annotated[
        int,
        typer.Option(
            help="Input channels of a filter that are one group: what a processing element computes.",
            rich_help_panel=COMPRESSION,
        ),
    ] = 16,
    lam: Annotated[
        float, typer.Option("--lambda", help="Weight of the penalty on groups.", rich_help_panel=COMPRESSION)
    ] = 1e-2,
    clip: Annotated[
        float,
        typer.Option(
            help="Groups above so many mean norms of their layer are left alone.", rich_help_panel=COMPRESSION
        ),
    ] = 0.95,
    first_last: Annotated[
        str,
        typer.Option(metavar="float|ternary", help="The first convolution and the head.", rich_help_panel=COMPRESSION),
    ] = "float",
    epochs: Annotated[int, typer.Option(help="Times every photo is seen.", rich_help_panel=TRAINING)] = 10,
    batch_size: Annotated[int, typer.Option(help="Photos in a step.", rich_help_panel=TRAINING)] = 128,
    lr: Annotated[float, typer.Option(help="Learning rate at the start.", rich_help_panel=TRAINING)] = 0.02,
    weight_decay: Annotated[float, typer.Option(help="Pull of every weight to zero.", rich_help_panel=TRAINING)] = 3e-4,
    schedule: Annotated[
        str, typer.Option(metavar="cosine|steps", help="How the rate falls.", rich_help_panel=TRAINING)
    ] = "cosine",
    precision: Annotated[
        str,
        typer.Option(
            metavar="float32|bfloat16",
            help="Numbers a step computes with: 16 bits are faster where the processor has them.",
            rich_help_panel=TRAINING,
        ),
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
        typer.Option(metavar="DIR", help="The run folder; by default runs/compress-N.", rich_help_panel=RUN),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Finish the run in --out, or the newest runs/compress-N.", rich_help_panel=RUN),
    ] = False,
    quiet: Quiet = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Compress a network: weights of -1, 0 and +1, and groups of them left out.

    The network is trained on your photos meanwhile. What you carry away is
    RUN/artifact: one small file, which needs no other weights.
    """
    folder = out or (newest_run("compress") if resume else next_run("compress"))
    arguments = [word for word in ctx.obj if word != "--resume"]
    compressing = job("compress")
    request = compressing.CompressRequest(
        data=data,
        backbone=backbone,
        width=width,
        weights=weights,
        compression=compressing.Compression(arm=arm, pe=pe, lam=lam, clip=clip, first_last=first_last),
        head=head,
        epochs=epochs,
        batch_size=batch_size,
        image_size=image_size,
        lr=lr,
        weight_decay=weight_decay,
        schedule=schedule,
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
            record = compressing.compress(request, folder, resume, command_line(arguments), listener)
    except (InterruptedRun, KeyboardInterrupt) as stop:
        if not RunFolder(folder).config.exists():
            raise
        place = [] if out else ["--out", str(folder)]
        again = command_line([*arguments, *place, "--resume"])
        raise InterruptedRun(f"{str(stop) or 'Interrupted.'} Finish with: {again}") from stop
    if as_json:
        answer({"run": str(folder), **{key: record[key] for key in ("metrics", "compress", "sizes", "data")}})
        return
    show_result(record, folder)
    run = shlex.quote(str(folder))
    next_commands(f"edgewise eval {run} {shlex.quote(data)}", f"edgewise export {run} --to c")


def show_result(record: dict[str, Any], folder: Path) -> None:
    """What was reached, layer by layer and in all, and where it lies."""
    metrics, found = record["metrics"], record["compress"]
    rows = [
        [layer["name"], f"{layer['stored']:,} of {layer['groups']:,}", *_shares(layer)] for layer in found["layers"]
    ]
    if rows:
        groups, stored = (sum(layer[key] for layer in found["layers"]) for key in ("groups", "stored"))
        rows.append(["all layers", f"{stored:,} of {groups:,}", *_shares(found)])
        show_table(["Layer", "groups left", "groups empty", "weights 0"], rows, numbers=[1, 2, 3])
    rates, size = found["rates"], found["bytes"]
    rows = [
        [f"Accuracy on {metrics['n']:,} photos ({metrics['split']})", percent(metrics["accuracy"])],
        ["Validation accuracy (last epoch)", percent(metrics["val_accuracy"])],
        ["Smaller, by Eq. 2.8 (weights of the layers above)", f"{rates['eq_2_8']:.1f}x"],
        ["Smaller, with both ends and the index", f"{rates['with_ends']:.1f}x"],
        [
            f"Smaller, the whole file ({megabytes(size['float'])} to {megabytes(size['file'])})",
            f"{rates['file']:.1f}x",
        ],
    ]
    show_table(["Result", ""], rows, numbers=[1])
    say(f"Network: {folder / 'artifact'}", f"Report:  {folder / 'report.html'}")


def _shares(found: dict[str, Any]) -> list[str]:
    return [percent(found["group_sparsity"]), percent(found["overall_sparsity"])]
