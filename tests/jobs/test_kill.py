"""A fit that is killed and resumed ends with the very bytes of one that was left alone."""

import importlib
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

from edgewise.core.surgery import digest

RECIPES = Path(__file__).resolve().parents[2] / "recipes"


def recipe():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(RECIPES)
        return importlib.import_module("kill_resume")


def arguments(photos, **changes):
    settings = {"backbone": "pocket", "weights": "none", "method": "repnet", "epochs": "6", **changes}
    return [str(photos), *(part for name, value in settings.items() for part in (f"--{name}", value))]


@pytest.mark.parametrize("kills", [1, pytest.param(20, marks=pytest.mark.slow)])
def test_kill_9_at_random_moments(photos, tmp_path, kills):
    rows = recipe().trials(tmp_path, arguments(photos), kills, seed=kills)
    assert [row["equal"] for row in rows] == [True] * kills


def test_ctrl_c_exits_with_3_names_the_command_and_resumes_to_the_same_bits(photos, tmp_path):
    module, fit_arguments = recipe(), arguments(photos, epochs="12", **{"adam-bits": "8"})  # whose rounding is random
    module.undisturbed(tmp_path / "whole", fit_arguments)
    command = module.fit_command(tmp_path / "cut", fit_arguments)
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "cut" / "checkpoint" / "state.safetensors").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 3
    assert "--resume" in errors
    assert "Traceback" not in errors
    assert subprocess.run([*command, "--resume"], check=False).returncode == 0
    whole, cut = (load_file(tmp_path / n / "artifact/adapter.safetensors") for n in ("whole", "cut"))
    assert digest(whole) == digest(cut)


def test_module_runs_as_a_command():
    done = subprocess.run([sys.executable, "-m", "edgewise", "--help"], capture_output=True, text=True, check=True)
    assert "fit" in done.stdout
