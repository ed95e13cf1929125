"""``edgewise profile``: what one training step takes, in three numbers."""

from typing import Annotated, Any

import typer

from edgewise.cli.console import answer, next_commands, say, show_table, watching
from edgewise.cli.jobs import job
from edgewise.cli.options import Debug, Json, Quiet
from edgewise.core.settings import parse_assignments
from edgewise.core.units import megabytes

KINDS = {
    "weights": "Weights",
    "optimizer": "Adam's moments",
    "input": "Photos of the batch",
    "kept": "Kept for the backward pass",
    "transient": "In work, gradients included",
}


def profile(
    backbone: Annotated[str, typer.Option(metavar="NAME", help="See edgewise models.")] = "mobilenet_v2",
    width: Annotated[float | None, typer.Option(help="Width multiplier of the backbone.")] = None,
    method: Annotated[str, typer.Option(metavar="NAME", help="See edgewise methods.")] = "repnet",
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A setting of the method; repeatable."),
    ] = None,
    classes: Annotated[int, typer.Option(help="Classes of the head.")] = 10,
    image_size: Annotated[int | None, typer.Option(help="Side of the network's input in pixels.")] = None,
    batch_size: Annotated[int, typer.Option(help="Photos in a step.")] = 8,
    lean: Annotated[
        str, typer.Option(metavar="small|fast|off", help="How the backward pass is stored, as for fit.")
    ] = "small",
    threads: Annotated[int | None, typer.Option(help="Threads; by default what the machine has.")] = None,
    measure: Annotated[bool, typer.Option("--measure", help="Run the step too, and count its memory.")] = False,
    quiet: Quiet = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Say what one training step takes: published, predicted and measured memory.

    Needs no weights and no photos: memory does not depend on values.
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
        threads=threads,
    )
    with watching(quiet, as_json) as listener:
        found = profiling.profile(request, measure, listener)
    if as_json:
        answer(found)
        return
    show(found)
    if not measure:
        next_commands("edgewise profile … --measure")


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
        say(f"One step: {found['step_ms']:.0f} ms on {found['threads']} threads.")
    if found["measured_peak_mb"] is None and found.get("heap_counter"):
        say(f"The peak could not be counted: {found['heap_counter']}. The resident size stands for it.")
    say(*(f"Not covered: {text}" for text in found["uncovered"]))
