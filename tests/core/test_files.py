"""Nothing is ever half written: full disks, kills and folders that cannot be written to, for real."""

import errno
import json
import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from edgewise.core.errors import EdgewiseError
from edgewise.core.files import append_line, read_json, sha256_of, write_atomically, write_json, write_text

FULL = "The disk is full: {} could not be written. What was saved before is intact"
SOURCES = Path(__file__).resolve().parents[2] / "src"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write_past_the_end_of_the_disk(part: Path) -> None:
    part.write_bytes(b"half")
    with open("/dev/full", "wb", buffering=0) as handle:  # every write to it finds the disk full
        handle.write(b"more")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 kB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)]
    if sys.platform != "linux" or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small file system takes Linux and root")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file may grow beyond 64 kB."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_folders_are_made_and_content_replaced(tmp_path: Path) -> None:
    file = tmp_path / "a" / "b.txt"
    write_text(file, "one")
    write_text(file, "zwei ü")
    assert file.read_bytes() == "zwei ü".encode()
    assert names(file.parent) == ["b.txt"]


def test_json_is_readable_and_keeps_its_order(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    write_json(file, {"z": "ü", "a": [1, None], "name": "caf\udce9"})
    assert file.read_text(encoding="utf-8").startswith('{\n  "z": "ü",\n  "a"')
    assert read_json(file, "note") == {"z": "ü", "a": [1, None], "name": "caf\udce9"}


def test_nan_is_refused_and_the_old_file_stays(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    write_json(file, {"loss": 1.0})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(file, {"loss": float("nan")})
    assert json.loads(file.read_text()) == {"loss": 1.0}
    assert names(tmp_path) == ["a.json"]


def test_full_disk_keeps_what_was_there(tmp_path: Path) -> None:
    file = tmp_path / "state"
    write_text(file, "good")
    with pytest.raises(EdgewiseError) as caught:
        write_atomically(file, write_past_the_end_of_the_disk)
    assert str(caught.value) == (
        f"The disk is full: {file} could not be written. What was saved before is intact; "
        "free some space and repeat the command with --resume."
    )
    assert file.read_text() == "good"
    assert names(tmp_path) == ["state"]


def test_full_disk_in_earnest(small_disk: Path) -> None:
    file = small_disk / "state"
    write_text(file, "good")
    with pytest.raises(EdgewiseError, match=re.escape(FULL.format(file))):
        write_text(file, "x" * (1 << 20))
    assert file.read_text() == "good"
    assert names(small_disk) == ["state"]


def test_full_disk_while_tensors_are_written(small_disk: Path) -> None:
    """safetensors reports it as an error of its own."""
    file = small_disk / "state.safetensors"
    write_atomically(file, lambda part: save_file({"a": torch.ones(8)}, part))
    before = sha256_of(file)
    with pytest.raises(EdgewiseError, match=re.escape(FULL.format(file))):
        write_atomically(file, lambda part: save_file({"a": torch.ones(1 << 18)}, part))
    assert sha256_of(file) == before
    assert names(small_disk) == ["state.safetensors"]


def test_full_disk_at_the_log(small_disk: Path) -> None:
    write_text(small_disk / "a", "x" * (1 << 17))
    with pytest.raises(EdgewiseError, match=re.escape(FULL.format(small_disk / "log.txt"))):
        append_line(small_disk / "log.txt", "x" * (1 << 18))


def test_a_file_that_may_not_grow(tmp_path: Path, small_files: None) -> None:
    file = tmp_path / "state"
    write_text(file, "good")
    with pytest.raises(EdgewiseError) as caught:
        write_text(file, "x" * (1 << 17))
    assert str(caught.value) == f"{file} could not be written: {os.strerror(errno.EFBIG)}."
    with pytest.raises(EdgewiseError, match=re.escape(os.strerror(errno.EFBIG))):
        write_atomically(file, lambda part: save_file({"a": torch.ones(1 << 16)}, part))
    assert file.read_text() == "good"
    assert names(tmp_path) == ["state"]


def test_tensors_that_cannot_be_written_for_another_reason(tmp_path: Path) -> None:
    shared = torch.ones(4)
    with pytest.raises(RuntimeError, match="share memory"):
        write_atomically(tmp_path / "a", lambda part: save_file({"a": shared, "b": shared}, part))
    assert names(tmp_path) == []


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(EdgewiseError, match=re.escape(f"{tmp_path / 'run' / 'a'} could not be written: ")):
        write_text(tmp_path / "run" / "a", "text")


def test_a_folder_where_a_file_should_be(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(EdgewiseError, match=re.escape(os.strerror(errno.EISDIR))):
        write_text(tmp_path / "a", "text")
    assert names(tmp_path) == ["a"]


@pytest.mark.skipif(not Path("/proc/version").exists(), reason="needs a folder that not even root can write to")
def test_a_folder_that_cannot_be_written_to() -> None:
    with pytest.raises(EdgewiseError):
        write_text(Path("/proc/edgewise/a"), "text")


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.EPERM])
def test_no_permission(tmp_path: Path, code: int) -> None:
    def refuse(part: Path) -> None:
        raise OSError(code, os.strerror(code))

    with pytest.raises(EdgewiseError) as caught:
        write_atomically(tmp_path / "a", refuse)
    assert str(caught.value) == (
        f"{tmp_path} cannot be written to ({os.strerror(code)}). Choose another folder with --out."
    )


@pytest.mark.parametrize("moment", ["while it is written", "between write and rename"])
def test_kill(tmp_path: Path, moment: str) -> None:
    """The process dies with the new file unfinished, or finished and not yet in place."""
    file = tmp_path / "state"
    write_text(file, "good")
    script = """
import os, signal, sys
from pathlib import Path
from edgewise.core.files import write_atomically

def write(part):
    part.write_text("new" if sys.argv[2].startswith("between") else "n")
    os.kill(os.getpid(), signal.SIGKILL)

write_atomically(Path(sys.argv[1]), write)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(file), moment], env={**os.environ, "PYTHONPATH": str(SOURCES)}
    )
    assert done.returncode == -signal.SIGKILL
    assert file.read_text() == "good"
    write_text(file, "newer")
    assert file.read_text() == "newer"


def test_an_interruption_leaves_nothing_behind(tmp_path: Path) -> None:
    def write(part: Path) -> None:
        part.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "a", write)
    assert names(tmp_path) == []


@pytest.mark.parametrize("content", [b"", b'{"a": 1', b"\xff\xfe", b"nonsense"])
def test_json_that_was_cut_off(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "a.json"
    file.write_bytes(content)
    with pytest.raises(EdgewiseError) as caught:
        read_json(file, "record")
    assert str(caught.value).startswith(f"The record {file} cannot be read (")
    assert str(caught.value).endswith("). Was it cut off or edited?")


def test_json_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(EdgewiseError) as caught:
        read_json(tmp_path / "a.json", "record of the run")
    assert str(caught.value) == f"There is no record of the run at {tmp_path / 'a.json'}."


def test_sha256(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"abc")
    assert sha256_of(file) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
