"""What a process of ours sets before torch is imported."""

import os
import subprocess
import sys

import pytest

from commands import environment
from edgewise.core.startup import SETTINGS, prepare_process


def test_only_what_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    first, *others = SETTINGS
    for name in SETTINGS:
        monkeypatch.setenv(name, "")  # so that what is set below is taken back
        monkeypatch.delenv(name)
    monkeypatch.setenv(first, "the user's")
    before = dict(os.environ)
    prepare_process()
    assert {name: os.environ[name] for name in SETTINGS} == {**SETTINGS, first: "the user's"}
    assert others, "one was set and another was not"
    assert {name: value for name, value in os.environ.items() if name not in others} == before


def test_the_command_line_sets_it_before_torch_is_there() -> None:
    code = (
        "import os, sys\n"
        "from edgewise.cli import main as command\n"
        "real = command.prepare_process\n"
        "def watched():\n"
        "    print('torch' in sys.modules)\n"
        "    real()\n"
        "command.prepare_process = watched\n"
        "try:\n"
        "    command.main(['methods', '--json'])\n"
        "finally:\n"
        "    print('torch' in sys.modules, *(os.environ[name] for name in sys.argv[1:]))\n"
    )
    clean = {name: value for name, value in environment().items() if name not in SETTINGS}
    done = subprocess.run([sys.executable, "-c", code, *SETTINGS], env=clean, capture_output=True, text=True)
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert lines[0] == "False"
    assert lines[-1] == " ".join(["True", *SETTINGS.values()])
