"""Writing files so that nothing is ever half written, and reading their digests.

A file appears under its name only when it is complete: written beside it, flushed to the disk,
renamed.  Whatever happens before the rename (a kill, a full disk), the previous file survives.
"""

import contextlib
import datetime
import errno
import hashlib
import itertools
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from edgewise.core.errors import EdgewiseError


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Let ``write`` fill a temporary neighbour of ``path``, then move it into place.

    Raises `EdgewiseError` when the disk is full or the folder cannot be written to.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch()
        mode = temporary.stat().st_mode  # what the user's umask gives; some writers make files private
        write(temporary)
        temporary.chmod(mode)
        with open(temporary, "rb") as handle:
            os.fsync(handle.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise _explained(error, path) from error
    except SafetensorError as error:
        raise _explained(_system_error(error), path) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Atomically write ``content``."""
    write_atomically(path, lambda part: _write_all(part, content))


def write_text(path: Path, text: str) -> None:
    """Atomically write UTF-8 text; bytes of a file name that are not UTF-8 appear as ``\\udcNN``."""
    write_atomically(path, lambda part: _write_all(part, text.encode(errors="backslashreplace")))


def add_result(folder: Path, name: str, result: Any) -> Path:
    """Write ``NAME_DATE.json`` into ``folder``, with a number after the date where that exists.

    Results are added, never replaced.  Returns the path.
    """
    stem = f"{name}_{datetime.date.today()}"
    names = (stem if number == 1 else f"{stem}_{number}" for number in itertools.count(1))
    path = next(path for path in (folder / f"{name}.json" for name in names) if not path.exists())
    write_text(path, json.dumps(result, indent=1) + "\n")
    return path


def append_line(path: Path, line: str) -> None:
    """Add one line of text to ``path``, a log: what is there stays, a cut last line does no harm."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "a", encoding="utf-8", errors="backslashreplace") as handle:
            handle.write(line + "\n")
    except OSError as error:
        raise _explained(error, path) from error


def write_json(path: Path, value: Any) -> None:
    """Atomically write JSON, indented, keys in the order given; NaN is refused."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path, what: str) -> Any:
    """The JSON in ``path``; ``what`` names the file's role in the message when it is not readable."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise EdgewiseError(f"There is no {what} at {path}.") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise EdgewiseError(f"The {what} {path} cannot be read ({error}). Was it cut off or edited?") from error


def sha256_of(path: Path) -> str:
    """Hex digest of a file's bytes, read in pieces."""
    digest = hashlib.sha256()
    with open(path, "rb") as handle:
        while piece := handle.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def _write_all(path: Path, content: bytes) -> None:
    with open(path, "wb") as handle:
        handle.write(content)
        handle.flush()


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _system_error(error: SafetensorError) -> OSError:
    # safetensors reports a full disk as its own error; the number is only in the text
    found = re.search(r"\(os error (\d+)\)", str(error))
    return OSError(int(found[1]), os.strerror(int(found[1]))) if found else OSError(str(error))


def _explained(error: OSError, path: Path) -> EdgewiseError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return EdgewiseError(
            f"The disk is full: {path} could not be written. What was saved before is intact; "
            "free some space and repeat the command with --resume."
        )
    if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
        return EdgewiseError(
            f"{path.parent} cannot be written to ({error.strerror}). Choose another folder with --out."
        )
    return EdgewiseError(f"{path} could not be written: {error.strerror or error}.")
