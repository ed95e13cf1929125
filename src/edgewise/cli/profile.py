"""``edgewise profile``: what one training step takes, in three numbers."""

from pathlib import Path
from typing import Annotated, Any

import typer

from edgewise.cli.console import answer, next_commands, say, show_table, watching
from edgewise.cli.jobs import job
from edgewise.cli.options import Debug, Json, Quiet, command_line
from edgewise.core.settings import parse_assignments
from edgewise.core.units import megabytes

KINDS = {
    "weights": "Weights",
    "optimizer": "Adam's moments",
    "input": "Photos of the batch",
    "kept": "Kept for the backward pass",
    "transient": "In work, gradients included",
}


NETWORK, ANSWER = "Network and method", "Answer"


def profile(
    ctx: typer.Context,
    backbone: Annotated[
        str, typer.Option(metavar="NAME", help="See edgewise models; or timm:NAME, hf:NAME.", rich_help_panel=NETWORK)
    ] = "mobilenet_v2",
    width: Annotated[
        float | None, typer.Option(help="Width multiplier of the backbone.", rich_help_panel=NETWORK)
    ] = None,
    method: Annotated[
        str, typer.Option(metavar="NAME", help="See edgewise methods.", rich_help_panel=NETWORK)
    ] = "repnet",
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="NAME=VALUE", help="A setting of the method; repeatable.", rich_help_panel=NETWORK
        ),
    ] = None,
    classes: Annotated[int, typer.Option(help="Kinds of photos to tell apart.", rich_help_panel=NETWORK)] = 10,
    image_size: Annotated[
        int | None,
        typer.Option(help="Side of the input in pixels; by default the backbone's.", rich_help_panel=NETWORK),
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Photos in a step.", rich_help_panel=NETWORK)] = 8,
    lean: Annotated[
        str,
        typer.Option(
            metavar="small|fast|off",
            help="What the backward pass keeps: least memory, least time, or what stock PyTorch keeps.",
            rich_help_panel=NETWORK,
        ),
    ] = "small",
    frozen_bits: Annotated[
        int, typer.Option(metavar="8|32", help="Bits of a frozen weight, as for fit.", rich_help_panel=NETWORK)
    ] = 32,
    adam_bits: Annotated[
        int, typer.Option(metavar="8|32", help="Bits of Adam's moments, as for fit.", rich_help_panel=NETWORK)
    ] = 32,
    threads: Annotated[
        int | None, typer.Option(help="Threads; by default what the machine has.", rich_help_panel=NETWORK)
    ] = None,
    measure: Annotated[
        bool,
        typer.Option("--measure", help="Also run the step and count the memory it takes.", rich_help_panel=ANSWER),
    ] = False,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.html",
            help="Write a page with pictures: where memory goes, and what it grows with. Takes a minute.",
            rich_help_panel=ANSWER,
        ),
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Say how much memory one training step takes, before you train.

    Three numbers: published (counted by the papers' rule), predicted (the real
    code, run on shapes alone), and with --measure what a real step took. Needs
    no weights and no photos: memory does not depend on what is in them.
    """
    profiling = job("profile")
    request = profiling.StepRequest(
        backbone=backbone,
        width=width,
        method=method,
        method_settings=parse_assignments(set_ or []),
        classes=classes,
        image_size=image_size,
        batch_size=batch_size,
        lean=lean,
        frozen_bits=frozen_bits,
        adam_bits=adam_bits,
        threads=threads,
    )
    with watching(quiet, as_json) as listener:
        found = profiling.profile(request, measure, listener, report, command_line(ctx.obj))
    if as_json:
        answer(found)
        return
    show(found)
    if report is not None:
        say(f"Report: {report}")
    if not measure:
        next_commands(command_line([*ctx.obj, "--measure"]))
    elif report is None:
        next_commands(command_line([*ctx.obj, "--report", "memory.html"]))


def show(found: dict[str, Any]) -> None:
    """The three numbers, and what the fullest moment consists of."""

    def size(value: float | None) -> str:
        return "–" if value is None else megabytes(1e6 * value)

    show_table(
        ["Memory of one step", ""],
        [
            ["Published (the papers' rule)", size(found["published_mb"])],
            ["Predicted peak", size(found["predicted_mb"])],
            ["Measured peak", size(found["measured_peak_mb"])],
            ["Resident, over import", size(found["measured_rss_mb"])],
        ],
        numbers=[1],
    )
    kinds = found["fullest"]["kinds"]
    rows = [[name, size(kinds[kind])] for kind, name in KINDS.items() if kinds.get(kind)]
    show_table(["Predicted, at the fullest moment", ""], rows, numbers=[1])
    say(
        f"Trains {found['trainable_params']:,} of {found['total_params']:,} parameters; "
        f"{found['macs_forward'] / 1e6:,.0f} M multiply-adds forward for one photo."
    )
    if found["step_ms"] is not None:
        threads = f"{found['threads']} thread{'' if found['threads'] == 1 else 's'}"
        say(f"One step: {found['step_ms']:.0f} ms on {threads}.")
    if found["measured_peak_mb"] is None and found.get("heap_counter"):
        say(f"The peak could not be counted: {found['heap_counter']}. The resident size stands for it.")
    say(*(f"Not covered: {text}" for text in found["uncovered"]))
