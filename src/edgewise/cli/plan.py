"""``edgewise plan``: what a budget of memory allows."""

from typing import Annotated, Any

import typer

from edgewise.cli.console import answer, next_commands, say, show_table, watching
from edgewise.cli.jobs import job
from edgewise.cli.options import Debug, Json, Quiet, command_line
from edgewise.core.errors import EdgewiseError
from edgewise.core.settings import parse_assignments
from edgewise.core.units import megabytes

SHOWN = 12
KINDS = {"kept": "kept", "transient": "in work", "weights": "weights", "optimizer": "Adam", "input": "photos"}


def plan(
    budget: Annotated[str, typer.Option(metavar="48MB", help="Memory a training step may take over import.")],
    backbone: Annotated[str, typer.Option(metavar="NAME", help="See edgewise models.")] = "mobilenet_v2",
    width: Annotated[float | None, typer.Option(help="Width multiplier of the backbone.")] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="This method; repeatable. By default all but those for comparison."),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A setting of the one method; repeatable."),
    ] = None,
    classes: Annotated[int, typer.Option(help="Classes of the head.")] = 10,
    image_size: Annotated[int | None, typer.Option(help="Side of the network's input in pixels.")] = None,
    batch_size: Annotated[int, typer.Option(help="Photos in a step.")] = 8,
    adam_bits: Annotated[int, typer.Option(metavar="8|32", help="Bits of Adam's moments, as for fit.")] = 32,
    quiet: Quiet = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Say which methods fit a budget of memory, and how, the best first.

    Needs no weights and no photos: memory does not depend on values. Nothing is trained.
    """
    planning = job("plan")
    limit = planning.parse_budget(budget)
    request = planning.PlanRequest(
        backbone=backbone,
        width=width,
        methods=tuple(method or ()),
        method_settings=parse_assignments(set_ or []),
        classes=classes,
        image_size=image_size,
        batch_size=batch_size,
        adam_bits=adam_bits,
    )
    with watching(quiet, as_json) as listener:
        found = planning.plan(request, limit, listener)
    if as_json:
        answer(found)
        return
    if not found["choices"]:
        least = found["smallest"]
        raise EdgewiseError(
            f"Nothing fits {megabytes(limit)}. The smallest budget that would do is "
            f"{megabytes(1e6 * found['smallest_mb'])}: {least['method']}, {_stored(least)}; "
            f"most of it is {KINDS[least['binds']]}. "
            "Or use a smaller --batch-size or --image-size."
        )
    show(found)
    say(f"edgewise fit --budget counts the whole command: up to {megabytes(planning.BESIDES)} more than a step.")
    network = {"--backbone": backbone, "--width": width, "--image-size": image_size, "--batch-size": batch_size}
    words = [word for option, value in network.items() if value is not None for word in (option, str(value))]
    next_commands(command_line(["fit", "photos/", "--weights", "FILE", *words, "--budget", budget]))


def show(found: dict[str, Any]) -> None:
    """The ranked choices; those that differ in nothing shown are one line."""
    rows: list[list[str]] = []
    for choice in found["choices"]:
        row = [
            choice["grade"],
            choice["method"],
            _stored(choice),
            megabytes(1e6 * choice["predicted_mb"]),
            f"{choice['step_ms_estimate']:.0f}",
            KINDS[choice["binds"]],
        ]
        if not any(row[:2] == other[:2] and row[3:] == other[3:] for other in rows):
            rows.append(row)
    show_table(["Grade", "Method", "Stored", "Peak", "Time", "Most is"], rows[:SHOWN], numbers=[3, 4])
    more = f" {len(rows) - SHOWN} more with --json." if len(rows) > SHOWN else ""
    say(
        f"{'1 way fits' if len(rows) == 1 else f'{len(rows)} ways fit'} {megabytes(1e6 * found['budget_mb'])}.{more}",
        "Grade: A leads in our comparison (docs/results.md), -: 8-bit weights change the network slightly.",
        "Peak: predicted for a training step. Time: estimated, to compare; edgewise profile measures.",
    )


def _stored(choice: dict[str, Any]) -> str:
    """``"1 photo, 8 bits, again"``."""
    lean = choice["lean"]
    photos = "whole batch" if lean["chunk"] == 0 else f"{lean['chunk']} photo{'s' * (lean['chunk'] > 1)}"
    again = ", again" if choice["macs_again"] else ""
    return f"{photos}, {lean['frozen_bits']} bits{again}"
