"""``edgewise VERB …``: the verbs, the exit status, and the one place where errors become text."""

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from edgewise import __version__
from edgewise.cli.compare import compare
from edgewise.cli.compress import compress
from edgewise.cli.demo import demo
from edgewise.cli.doctor import doctor
from edgewise.cli.eval import evaluate
from edgewise.cli.export import export
from edgewise.cli.fit import fit
from edgewise.cli.methods import methods
from edgewise.cli.models import models
from edgewise.cli.plan import plan
from edgewise.cli.predict import predict
from edgewise.cli.profile import profile
from edgewise.cli.reprogram import reprogram
from edgewise.cli.serve import serve
from edgewise.cli.subnets import subnets
from edgewise.core.errors import EdgewiseError, unknown
from edgewise.core.startup import prepare_process

VERBS: dict[str, Callable[..., None]] = {
    "demo": demo,
    "fit": fit,
    "eval": evaluate,
    "predict": predict,
    "models": models,
    "methods": methods,
    "doctor": doctor,
    "plan": plan,
    "profile": profile,
    "compare": compare,
    "reprogram": reprogram,
    "serve": serve,
    "compress": compress,
    "subnets": subnets,
    "export": export,
}


class Verbs(TyperGroup):
    """The group of all verbs; a mistyped one is answered with the nearest."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args[0] not in VERBS and not args[0].startswith("-"):
            raise unknown("verb", args[0], VERBS)
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=Verbs, add_completion=False, no_args_is_help=True, context_settings={"help_option_names": ["-h", "--help"]}
)
for name, verb in VERBS.items():
    app.command(name)(verb)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"edgewise {__version__}")
        raise typer.Exit


@app.callback()
def edgewise(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Adapt a pretrained image classifier to your own photos on a small device.

    Begin with: edgewise demo
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit: 0 done, 1 failed, 2 wrong usage, 3 interrupted but resumable."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    prepare_process()
    _survive_any_encoding()
    try:
        try:
            typer.main.get_command(app).main(words, "edgewise", obj=words)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # The reader has gone (edgewise models | head): say nothing, and let the interpreter's own flush find a home.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        sys.exit(explain(error, "--debug" in words))


def explain(error: Exception, debug: bool) -> int:
    """Print ``error`` in one message on standard error; the exit status."""
    if debug:
        traceback.print_exception(error)
    if isinstance(error, EdgewiseError):
        print(f"Error: {error}", file=sys.stderr)
        return error.status
    print(
        f"This is a defect of Edgewise: {type(error).__name__}: {error}; repeat with --debug and report it.",
        file=sys.stderr,
    )
    return EdgewiseError.status


def _survive_any_encoding() -> None:
    """A terminal that cannot show a sign gets a question mark, not an error."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]
