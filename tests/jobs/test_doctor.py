"""The doctor finds what is there, and what is wrong comes with a remedy."""

import json
from pathlib import Path

import pytest
import torch

from commands import edgewise
from edgewise.jobs import doctor
from edgewise.jobs.doctor import Check, available_memory, diagnose


def found(name: str) -> Check:
    return next(check for check in diagnose() if check.name == name)


def test_everything_is_looked_at_once() -> None:
    checks = diagnose()
    names = [check.name for check in checks]
    assert len(set(names)) == len(names) == 12
    assert all(check.fact for check in checks)
    assert all(check.remedy for check in checks if not check.ok)
    assert torch.__version__ in found("torch").fact
    assert f"{torch.get_num_threads()} for torch" in found("threads").fact


def test_little_memory_and_little_disk_are_faults_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "MEMORY_TO_FIT", 1e18)
    monkeypatch.setattr(doctor, "DISK_TO_RUN", 1e18)
    for name, remedy in {"memory": "--batch-size", "disk": "--out"}.items():
        check = found(name)
        assert not check.ok
        assert remedy in check.remedy


def test_memory_is_what_the_system_says() -> None:
    free = available_memory()
    if not Path("/proc/meminfo").exists():
        assert free is None
    else:
        assert free is not None
        assert 1e6 < free < 1e14


def test_the_cache_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEWISE_CACHE", str(tmp_path))
    assert found("weights cache").fact == f"{tmp_path}: empty"
    (tmp_path / "w.safetensors").write_bytes(b"x" * 2_000_000)
    assert found("weights cache").fact == f"{tmp_path}: 2.00 MB of weights"


def test_compiled_loops_are_there_or_there_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "why_not", lambda: None)
    assert found("compiled loops") == Check("compiled loops", True, "ready")
    monkeypatch.setattr(doctor, "why_not", lambda: "there is no C compiler")
    assert found("compiled loops") == Check("compiled loops", True, "none, plain torch instead: there is no C compiler")


def test_what_is_not_installed_is_optional_and_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "EXTRAS", {"no_such_package": "edgewise[none]"})
    monkeypatch.setattr(doctor, "USES", {"no_such_package": "nothing"})
    assert found("no_such_package") == Check(
        "no_such_package", True, "not installed (optional)", "for nothing: pip install 'edgewise[none]'"
    )


def test_the_command_answers(tmp_path: Path) -> None:
    done = edgewise(tmp_path, "doctor", "--json")
    answer = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert answer["ok"] is True
    assert {"name", "ok", "fact", "remedy"} == set(answer["checks"][0])
    shown = edgewise(tmp_path, "doctor")
    assert shown.returncode == 0
    assert shown.stdout.splitlines()[-1] == "  edgewise demo"
    assert max(map(len, shown.stdout.splitlines())) <= 80


def test_a_broken_torchvision_is_found_and_fails_the_command(tmp_path: Path) -> None:
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text("raise OSError('_C.so: undefined symbol')")
    done = edgewise(tmp_path, "doctor", before=(tmp_path,))
    assert done.returncode == 1
    assert done.stderr == "Error: This machine is not ready: torchvision.\n"
    assert "undefined symbol" in done.stdout
    assert "pip install --force-reinstall 'edgewise[timm]'" in done.stdout
