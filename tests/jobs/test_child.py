"""Work in a process of its own: what is said comes over, and whatever happens there ends here."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from commands import environment
from edgewise.core.errors import EdgewiseError, UsageError
from edgewise.core.progress import Silent
from edgewise.jobs.child import ask

# Stays small: nothing of torch is imported, so a process starts at once.
MODULE = """
import os, signal, sys, time
from edgewise.core.errors import EdgewiseError, UsageError
from edgewise.jobs.child import answer

def work(request, report):
    for number in range(request["steps"]):
        report(number + 1, request["steps"])
    return {"given": request, "process": os.getpid(), "set": os.environ.get("OF_THE_TEST")}

def fail(request, report):
    report(1, 9)
    raise {"usage": UsageError, "failed": EdgewiseError}[request["kind"]](request["message"])

def killed(request, report):
    report(1, 9)
    print("a warning of before", file=sys.stderr, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)

def half(request, report):
    report(1, 9)
    sys.stdout.write('{"result": {"rows": [1, 2')
    sys.stdout.flush()
    os.kill(os.getpid(), signal.SIGKILL)

def chatty(request, report):
    print("a library says hello")
    print(48)
    report(1, 1)
    return {"rows": 3}

def defect(request, report):
    return {"rows": 1 / 0}

def silent(request, report):
    os._exit(0)

def patient(request, report):
    def save(number, frame):
        time.sleep(0.2)
        open(request["file"], "w").write(f"saved in session {os.getsid(0)}")
        sys.exit(3)
    signal.signal(signal.SIGTERM, save)
    report(1, 9)
    time.sleep(60)

if __name__ == "__main__":
    if sys.argv[1] == "deaf":
        os._exit(3)
    answer({name: globals()[name] for name in sys.argv[1:]})
"""


class Heard(Silent):
    def __init__(self) -> None:
        self.steps: list[tuple[int, int]] = []

    def progress(self, done: int, total: int) -> None:
        self.steps.append((done, total))


@pytest.fixture
def child(tmp_path: Path) -> Any:
    """Ask the module above."""
    (tmp_path / "worker_of_test.py").write_text(MODULE)
    paths = {"PYTHONPATH": environment(tmp_path)["PYTHONPATH"], "OF_THE_TEST": "yes"}

    def asked(task: str, listener: Silent | None = None, **request: Any) -> dict[str, Any]:
        return ask("worker_of_test", task, request, paths, listener)

    return asked


def test_a_request_goes_in_and_its_result_comes_out(child: Any) -> None:
    heard = Heard()
    found = child("work", heard, steps=5, text="ä \n ☃", nothing=None)
    assert found["given"] == {"steps": 5, "text": "ä \n ☃", "nothing": None}
    assert found["set"] == "yes"
    assert heard.steps == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]


def test_without_a_listener(child: Any) -> None:
    assert child("work", steps=2)["given"] == {"steps": 2}


@pytest.mark.parametrize(("kind", "expected"), [("usage", UsageError), ("failed", EdgewiseError)])
def test_an_error_crosses_over_as_what_it_is(kind: str, expected: type[EdgewiseError], child: Any) -> None:
    heard = Heard()
    with pytest.raises(EdgewiseError) as caught:
        child("fail", heard, kind=kind, message="There is no backbone 'x'. Error: known are a, b.")
    assert type(caught.value) is expected
    assert str(caught.value) == "There is no backbone 'x'. Error: known are a, b."
    assert heard.steps == [(1, 9)]


@pytest.mark.parametrize(("task", "status"), [("killed", -9), ("half", -9), ("silent", 0)])
def test_a_process_that_dies_is_an_error_and_no_hang(task: str, status: int, child: Any) -> None:
    with pytest.raises(EdgewiseError) as caught:
        child(task)
    assert type(caught.value) is EdgewiseError
    assert str(caught.value) == (
        f"The process that was to {task} ended with status {status} and without an answer. Is there enough memory?"
    )


def test_a_process_that_dies_before_it_listens(child: Any) -> None:
    with pytest.raises(EdgewiseError, match="The process that was to deaf ended with status 3"):
        child("deaf", text="more than a pipe holds" * 100_000)


def test_a_defect_over_there_is_told_in_its_last_line(child: Any) -> None:
    with pytest.raises(EdgewiseError, match="ZeroDivisionError: division by zero"):
        child("defect")


def test_what_a_library_prints_is_no_answer(child: Any) -> None:
    heard = Heard()
    assert child("chatty", heard) == {"rows": 3}
    assert heard.steps == [(1, 1)]


class Stops(Silent):
    def progress(self, done: int, total: int) -> None:
        raise KeyboardInterrupt


def test_an_interruption_goes_through(child: Any) -> None:
    with pytest.raises(KeyboardInterrupt):
        child("work", Stops(), steps=100_000)


def test_an_interruption_waits_until_the_process_has_saved(child: Any, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        child("patient", Stops(), file=str(tmp_path / "saved"))
    said = (tmp_path / "saved").read_text()
    assert said.startswith("saved in session ")
    assert int(said.split()[-1]) != os.getsid(0), "Ctrl-C in a terminal reaches one of the two"


def test_it_does_not_import_torch() -> None:
    """The side that asks stays small, whoever it is."""
    code = "import sys, edgewise.jobs.child; print([name for name in ('torch', 'numpy') if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True)
    assert (found.stdout, found.stderr) == ("[]\n", "")
