"""``edgewise export RUN --to c --out DIR``: a compressed network as a program for machines without Python."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from edgewise.cli.console import answer, next_commands, say, watching
from edgewise.cli.jobs import job
from edgewise.cli.options import Debug, Json, Quiet, Run
from edgewise.core.units import megabytes, percent


def export(
    run: Run,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The program's folder; it must not exist.")],
    to: Annotated[str, typer.Option("--to", metavar="c", help="What to make: c, C99 without libraries.")] = "c",
    activations: Annotated[
        str, typer.Option(metavar="int8|int16", help="Bits of the numbers between the layers.")
    ] = "int8",
    calibrate: Annotated[
        Path | None,
        typer.Option(metavar="DATA", help="Photos to calibrate on; by default those the run was trained on."),
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Turn a compressed network into a C program that only adds and subtracts.

    It is compiled and compared with Python on photos before it is said to be done.
    """
    exporting = job("export")
    request = exporting.ExportRequest(run, out, to, activations, calibrate)
    with watching(quiet, as_json) as listener:
        found = exporting.export(request, listener)
    if as_json:
        answer(found)
        return
    proved, bytes_ = found["photos"]["proved"], found["bytes"]
    if proved:
        say(f"On {proved} photos every logit is that of Python, bit for bit; in float to {found['float_error']:.1g}.")
        same, calibrated = percent(found["same_answers"]), found["photos"]["calibrated"]
        say(f"The network in float gives the same answer for {same} of {calibrated:,} photos.")
    say(f"{megabytes(bytes_['constants'])} of constants, {megabytes(bytes_['memory'])} of memory: {out}")
    next_commands(f"make -C {shlex.quote(str(out))}", f"{shlex.quote(str(out / 'edgewise'))} PHOTOS.rgb")
