"""Compiling on first use: cached, shared between processes, and never a reason to fail."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

from commands import environment
from edgewise.native import build as module
from edgewise.native import kernels
from edgewise.native import library as opening
from edgewise.native.build import SWITCH, Built, build

SOURCE = '__attribute__((visibility("default"))) int answer(void) { return 42; }\n'
compiles = pytest.mark.skipif(build("kernels.c").path is None, reason=str(build("kernels.c").reason))


@pytest.fixture(autouse=True)
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As in a new process, with an empty cache and one small source; the folder of the cache."""
    (tmp_path / "small.c").write_text(SOURCE)
    monkeypatch.setattr(module, "SOURCES", tmp_path)
    monkeypatch.setattr(module, "_built", {})
    monkeypatch.setenv("EDGEWISE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(SWITCH, raising=False)
    return tmp_path / "cache" / "native"


def answer(built: Built) -> int:
    assert built.reason is None
    return ctypes.CDLL(str(built.path)).answer()


def again(monkeypatch: pytest.MonkeyPatch) -> Built:
    """What another process would find."""
    monkeypatch.setattr(module, "_built", {})
    return build("small.c")


def compiler(folder: Path, script: str) -> str:
    """A folder for PATH whose only program is a ``cc``."""
    folder.mkdir()
    (folder / "cc").write_text(f"#!{sys.executable}\nimport sys\n{script}\n")
    (folder / "cc").chmod(0o755)
    return str(folder)


@compiles
def test_it_is_compiled_once(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = build("small.c")
    assert answer(first) == 42
    assert [path.name for path in fresh.iterdir()] == [first.path.name]
    written = first.path.stat().st_mtime_ns
    assert build("small.c") is first
    assert again(monkeypatch) == first
    assert first.path.stat().st_mtime_ns == written


@compiles
def test_another_source_header_or_flag_is_another_library(
    tmp_path: Path, fresh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = {build("small.c").path, build("small.c", openmp=True).path}
    (tmp_path / "small.c").write_text(SOURCE.replace("42", "43"))
    changed = again(monkeypatch)
    assert answer(changed) == 43
    paths.add(changed.path)
    (tmp_path / "part.h").write_text("/* new */")
    paths.add(again(monkeypatch).path)
    assert len(paths) == len(list(fresh.iterdir())) == 4


@compiles
@pytest.mark.parametrize("damage", [lambda old: old[: len(old) // 2], lambda old: b"", lambda old: old[:-1] + b"x"])
def test_a_damaged_library_is_made_again(damage, monkeypatch: pytest.MonkeyPatch) -> None:
    path = build("small.c").path
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    assert answer(again(monkeypatch)) == 42
    assert path.read_bytes() == whole


@compiles
def test_two_processes_at_once(tmp_path: Path, fresh: Path) -> None:
    code = (
        "import pathlib, sys; from edgewise.native import build; build.SOURCES = pathlib.Path(sys.argv[1])\n"
        "input(); print(build.build('small.c').path)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    own = {**environment(), "EDGEWISE_CACHE": os.environ["EDGEWISE_CACHE"]}
    both = [
        subprocess.Popen(command, env=own, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(2)
    ]
    for process in both:
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = {process.communicate(timeout=60)[0].strip() for process in both}
    assert answers == {str(path) for path in fresh.iterdir()}
    assert answer(Built(Path(*answers))) == 42


def test_without_a_compiler_there_is_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert build("small.c") == Built(None, "there is no C compiler")


@pytest.mark.parametrize("off", ["off", "0", "OFF"])
def test_it_can_be_switched_off(off: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SWITCH, off)
    assert build("small.c") == Built(None, "EDGEWISE_NATIVE is off")


def test_a_compiler_that_fails_is_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", compiler(tmp_path / "bad", "sys.exit(1)"))
    assert "does not understand -O3" in build("small.c").reason
    script = "if '-E' not in sys.argv: sys.exit('small.c:1: error: no memory')"
    monkeypatch.setenv("PATH", compiler(tmp_path / "worse", script))
    assert again(monkeypatch).reason.endswith("could not make small.c: small.c:1: error: no memory")
    (tmp_path / "worse" / "cc").write_text("#!/no/such/interpreter\n")
    assert "No such file" in again(monkeypatch).reason


def test_a_compiler_that_hangs_is_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", compiler(tmp_path / "slow", "import time; time.sleep(60)"))
    monkeypatch.setattr(module, "LIMIT", 0.2)
    assert build("small.c").reason.endswith("did not finish in 0.2 s")


@compiles
def test_a_compiler_that_does_not_know_the_processor_is_asked_for_less(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = module.shutil.which("cc") or module.shutil.which("gcc") or module.shutil.which("clang")
    script = f"import os\nif '-march=native' in sys.argv: sys.exit(1)\nos.execv({real!r}, [{real!r}, *sys.argv[1:]])"
    monkeypatch.setenv("PATH", compiler(tmp_path / "old", script) + os.pathsep + os.environ["PATH"])
    assert answer(build("small.c")) == 42


@compiles
def test_a_cache_that_cannot_be_written_to_is_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("EDGEWISE_CACHE", str(tmp_path / "file"))
    assert build("small.c").reason.startswith("the cache cannot be written to")


def test_without_compiled_code_everything_works(tmp_path: Path) -> None:
    code = (
        "import torch; from edgewise import native\n"
        "x, bits = torch.tensor([[-1.0, 3.0, 9.0]]), torch.empty(1, dtype=torch.uint8)\n"
        "native.clamp_(x, 0.0, 6.0, None, bits); print(x.tolist(), bits.tolist(), native.why_not())"
    )
    own = {**environment(), "PATH": str(tmp_path), "EDGEWISE_CACHE": str(tmp_path / "cache")}
    done = subprocess.run([sys.executable, "-c", code], env=own, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[[0.0, 3.0, 6.0]] [2] there is no C compiler\n", "")


@compiles
def test_a_library_that_cannot_be_opened_is_a_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Then threads are done without; and if that fails too, compiled code."""
    asked = []

    def unopenable(source: str, openmp: bool = False) -> Built:
        asked.append(openmp)
        (tmp_path / "none.so").write_bytes(b"not a library")
        return Built(tmp_path / "none.so")

    monkeypatch.setattr(opening, "build", unopenable)
    library, reason = kernels._opened.__wrapped__()
    assert library is None
    assert "none.so" in reason
    assert asked == [True, False]
