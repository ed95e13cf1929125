"""Writing files so that nothing is ever half written, and reading their digests.

A file appears under its name only when it is complete: written beside it, flushed to the disk,
renamed.  Whatever happens before the rename (a kill, a full disk), the previous file survives.
"""

import contextlib
import errno
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgewise.core.errors import EdgewiseError


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Let ``write`` fill a temporary neighbour of ``path``, then move it into place.

    Raises `EdgewiseError` when the disk is full or the folder cannot be written to.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(temporary)
        with open(temporary, "rb") as handle:
            os.fsync(handle.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise _explained(error, path) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Atomically write UTF-8 text."""
    write_atomically(path, lambda part: _write_all(part, text.encode()))


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


def _explained(error: OSError, path: Path) -> EdgewiseError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return EdgewiseError(
            f"The disk is full: {path} could not be written. What was saved before is intact; "
            "free some space and repeat the command with --resume."
        )
    if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
        return EdgewiseError(f"{path.parent} cannot be written to ({error.strerror}). Choose another folder with --out.")
    return EdgewiseError(f"{path} could not be written: {error.strerror or error}.")
