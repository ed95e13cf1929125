"""``python -m edgewise.jobs.fit_process fit``: one ``edgewise fit`` in a process of its own.

So that nothing which ran before is in the memory that it measures.
"""

import dataclasses
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgewise.core.errors import EdgewiseError
from edgewise.core.progress import Listener, Silent
from edgewise.core.runs import RunFolder
from edgewise.core.startup import SETTINGS
from edgewise.jobs.child import Report, answer, ask
from edgewise.jobs.fit import fit
from edgewise.jobs.request import FitRequest, resolve_method, resolved


def fit_in_process(settings: Mapping[str, Any], out: Path, listener: Listener | None = None) -> dict[str, Any]:
    """Run or finish the fit with these fields of `FitRequest` in the folder ``out``; its record.

    A finished run is read, not repeated.  ``listener`` hears of epochs, as progress.  Interrupted, the run
    saves everything before this returns.  Raises `EdgewiseError` with the process's own message, and
    `UsageError` where the folder holds a run with other settings.
    """
    folder, request = RunFolder(out), FitRequest(**settings)
    if not _finished(folder, request):
        asked = {"settings": dict(settings), "out": str(out), "command": _command(settings)}
        ask("edgewise.jobs.fit_process", "fit", asked, SETTINGS, listener)
    return folder.read_record()


def _finished(folder: RunFolder, request: FitRequest) -> bool:
    folder.started(resolved(request, resolve_method(request)), resume=True)
    try:
        folder.read_record()
    except EdgewiseError:  # there is none, or it was cut off
        return False
    return folder.report.exists()


def _command(settings: Mapping[str, Any]) -> str:
    """The same run as a user types it."""
    usual = {field.name: field.default for field in dataclasses.fields(FitRequest)}
    words = ["edgewise", "fit", str(settings["data"])]
    for name, value in settings.items():
        option = name.replace("_", "-")
        if name == "data" or value == usual[name]:
            continue
        words += [f"--{'' if value else 'no-'}{option}"] if isinstance(value, bool) else [f"--{option}", str(value)]
    return shlex.join(words)


class _Heartbeat(Silent):
    """Reports epochs.  A line that says nothing after every step ends this process where nobody reads it any more."""

    def __init__(self, report: Report) -> None:
        self._report = report

    def progress(self, done: int, total: int) -> None:
        print(flush=True)

    def epoch(self, row: Mapping[str, Any], epochs: int) -> None:
        self._report(row["epoch"], epochs)


def _fit(asked: dict[str, Any], report: Report) -> dict[str, Any]:
    fit(FitRequest(**asked["settings"]), Path(asked["out"]), True, asked["command"], _Heartbeat(report))
    return {}


if __name__ == "__main__":
    answer({"fit": _fit})
