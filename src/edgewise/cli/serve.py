"""``edgewise serve MODEL``: a frozen model as an endpoint."""

import sys
from typing import Annotated

import typer

from edgewise.cli.console import answer, paragraph, say
from edgewise.cli.jobs import job
from edgewise.cli.options import Debug, Json, Quiet


def serve(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A run folder, or a backbone: see edgewise models.")],
    weights: Annotated[str | None, typer.Option(metavar="FILE", help="The backbone's weights.")] = None,
    width: Annotated[float | None, typer.Option(help="Width multiplier of the backbone.")] = None,
    image_size: Annotated[int | None, typer.Option(help="Side of the input in pixels.")] = None,
    told: Annotated[
        str, typer.Option("--answers", metavar="probs|top-k|label", help="All that is told of an answer.")
    ] = "probs",
    top: Annotated[int, typer.Option(help="How many classes top-k tells.")] = 5,
    most: Annotated[int, typer.Option(help="Samples that a request may hold.")] = 64,
    host: Annotated[
        str, typer.Option(help="Address to listen at; by default this machine alone is heard.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes any that is free.")] = 8000,
    token: Annotated[
        str | None,
        typer.Option(envvar="EDGEWISE_TOKEN", help="What a caller must know; by default one is made up and shown."),
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Let others ask a frozen model, without its weights.

    A caller needs the token. Images cross as bytes, nothing that is sent is kept,
    and no request can name a file. Ctrl-C ends it.
    """
    given = token is not None

    def ready(address: str, own: str, heard: bool) -> None:
        if as_json:
            answer({"address": address, "token": own})
        else:
            say(f"Serving {model} at {address}", *([] if given else [f"Token: {own}"]))
        if heard and not (quiet or as_json):
            paragraph("Other machines can reach it, and what crosses is not encrypted: put it behind a proxy with TLS.")
        sys.stdout.flush()  # whoever started this waits for the address

    serving = job("serve")
    request = serving.ServeRequest(model, weights, width, image_size, told, top, most, host, port, token)
    serving.serve(request, ready)
    if not as_json:
        say("Stopped.")
