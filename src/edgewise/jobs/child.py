"""Work in a process of its own: a request as JSON goes in, lines of JSON come out.

A line is ``{"progress": [done, total]}`` or, the last one, ``{"result": …}``.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from edgewise.core.errors import EdgewiseError, UsageError
from edgewise.core.progress import Listener, Silent

Report = Callable[[int, int], None]
Task = Callable[[dict[str, Any], Report], dict[str, Any]]


def ask(
    module: str,
    task: str,
    request: Mapping[str, Any],
    environment: Mapping[str, str] | None = None,
    listener: Listener | None = None,
) -> dict[str, Any]:
    """Run ``task`` of ``module`` (which calls `answer`) in a new process, with ``environment`` over this one's.

    Interrupted, it tells the process to end and waits for it: a fit saves everything first.
    Raises `EdgewiseError` with the process's own message (`UsageError` where it was one).
    """
    listener, result = listener or Silent(), None
    with tempfile.TemporaryFile("w+") as complaints:
        process = subprocess.Popen(
            [sys.executable, "-m", module, task],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            env={**os.environ, **(environment or {})},
            text=True,
            start_new_session=True,  # Ctrl-C is for us: a second signal would cut short what the first one began
        )
        assert process.stdin is not None
        assert process.stdout is not None
        # a process that ended before it read the request has no ear, and says why by its status
        with contextlib.suppress(BrokenPipeError), process.stdin as pipe:
            json.dump(dict(request), pipe)
        with process, _ended_with_us(process):
            for line in process.stdout:
                said = _said(line)
                if "progress" in said:
                    listener.progress(*said["progress"])
                result = said.get("result", result)
        complaints.seek(0)
        complaint = complaints.read().strip().splitlines()
    if process.returncode or result is None:
        # what a process that was killed has on standard error is a warning of before
        last = complaint[-1] if complaint and process.returncode > 0 else _silent_end(task, process.returncode)
        kind = UsageError if process.returncode == UsageError.status else EdgewiseError
        raise kind(last.removeprefix("Error: "))
    answered: dict[str, Any] = result
    return answered


@contextlib.contextmanager
def _ended_with_us(process: subprocess.Popen[str]) -> Iterator[None]:
    try:
        yield
    except BaseException:
        process.terminate()
        process.wait()
        raise


def _said(line: str) -> dict[str, Any]:
    """Nothing, where a line is not one of ours: a library's print, or half a line of a process that was killed."""
    try:
        said = json.loads(line)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _silent_end(task: str, status: int) -> str:
    return f"The process that was to {task} ended with status {status} and without an answer. Is there enough memory?"


def answer(tasks: Mapping[str, Task]) -> None:
    """The other side: do the task that was asked for; an error of ours is one line on standard error."""

    def report(done: int, total: int) -> None:
        print(json.dumps({"progress": [done, total]}), flush=True)

    try:
        result = tasks[sys.argv[1]](json.load(sys.stdin), report)
    except EdgewiseError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(error.status)
    print(json.dumps({"result": result}))
