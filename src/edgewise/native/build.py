"""C sources compiled on first use, with the compiler of the machine, and kept in the user's cache.

Without a compiler everything still works, only slower: nothing here raises, the answer is a `Built`
that says why there is no library.  ``EDGEWISE_NATIVE=off`` in the environment switches compiled code
off.

A cached library is named after everything that it depends on (sources, flags, the compiler and what
it knows of this processor) and after its own content, so a file that was cut off is not loaded.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgewise.core.cache import cache_folder
from edgewise.core.errors import EdgewiseError
from edgewise.core.files import sha256_of, write_bytes

SWITCH = "EDGEWISE_NATIVE"
SOURCES = Path(__file__).parent
COMPILERS = ("cc", "gcc", "clang")
# Fast without changing what NaN, infinity and zero do: -ffast-math would lose a loss that is not finite.
FLAGS = ("-O3", "-std=gnu11", "-fPIC", "-fvisibility=hidden", "-fno-math-errno", "-fno-trapping-math")
CONTRACT, NATIVE, OPENMP = "-ffp-contract=fast", "-march=native", "-fopenmp"
LINK = ("-shared", "-undefined", "dynamic_lookup") if sys.platform == "darwin" else ("-shared",)
LIMIT = 120  # seconds for one command
_DIGITS = 20  # of a digest in a file's name

_built: dict[tuple[str, bool], "Built"] = {}
_lock = threading.Lock()


@dataclass(frozen=True)
class Built:
    """A shared library, or the reason why there is none."""

    path: Path | None
    reason: str | None = None


def build(source: str, openmp: bool = False) -> Built:
    """The library made from ``native/<source>``, found in the cache or compiled; remembered.

    ``openmp`` compiles for several threads but links no OpenMP runtime: the process that loads the
    library must have one.
    """
    with _lock:
        key = (source, openmp)
        if key not in _built:
            _built[key] = _build(source, openmp)
        return _built[key]


def _build(source: str, openmp: bool) -> Built:
    if os.environ.get(SWITCH, "").lower() in ("off", "0", "no"):
        return Built(None, f"{SWITCH} is off")
    compiler = next((path for name in COMPILERS if (path := shutil.which(name))), None)
    if compiler is None:
        return Built(None, "there is no C compiler")
    wanted = (*FLAGS, CONTRACT, *((OPENMP,) if openmp else ()))
    try:
        known = _known_macros(compiler, (*wanted, NATIVE))
        # Some compilers know the processor only under another name, or not at all.
        flags, known = ((*wanted, NATIVE), known) if known else (wanted, _known_macros(compiler, wanted))
        if known is None:
            return Built(None, f"{compiler} does not understand {' '.join(wanted)}")
        key = _key(source, flags, known)
        return Built(_cached(key) or _compile(compiler, source, flags, key))
    except _CompilerError as error:
        return Built(None, str(error))
    except subprocess.TimeoutExpired:
        return Built(None, f"{compiler} did not finish in {LIMIT} s")
    except OSError as error:
        return Built(None, f"{error.filename or compiler}: {error.strerror or error}")
    except EdgewiseError as error:
        return Built(None, f"the cache cannot be written to: {error}")


class _CompilerError(Exception):
    """The compiler said no."""


def _known_macros(compiler: str, flags: Sequence[str]) -> bytes | None:
    """What the compiler defines: its version and the processor's abilities; None if it objects to the flags."""
    done = _run([compiler, *flags, "-dM", "-E", "-x", "c", os.devnull])
    return done.stdout if done.returncode == 0 else None


def _key(source: str, flags: Sequence[str], known: bytes) -> str:
    digest = hashlib.sha256(known)
    for text in (*flags, *LINK):
        digest.update(text.encode() + b"\0")
    for path in (SOURCES / source, *sorted(SOURCES.glob("*.h"))):
        digest.update(path.read_bytes() + b"\0")
    return f"{Path(source).stem}-{digest.hexdigest()[:_DIGITS]}"


def _folder() -> Path:
    return cache_folder() / "native"


def _cached(key: str) -> Path | None:
    found = sorted(_folder().glob(f"{key}-*.so"))
    return next((path for path in found if path.stem.endswith(f"-{sha256_of(path)[:_DIGITS]}")), None)


def _compile(compiler: str, source: str, flags: Sequence[str], key: str) -> Path:
    with tempfile.TemporaryDirectory(prefix="edgewise-") as folder:
        thing, library = Path(folder, "object.o"), Path(folder, "library.so")
        for command in (
            [compiler, *flags, "-c", str(SOURCES / source), "-o", str(thing)],
            [compiler, *LINK, str(thing), "-o", str(library)],
        ):
            done = _run(command)
            if done.returncode:
                said = done.stderr.decode(errors="replace").splitlines()
                error = next((line for line in said if "error" in line), f"exit status {done.returncode}")
                raise _CompilerError(f"{compiler} could not make {source}: {error.strip()}")
        content = library.read_bytes()
    path = _folder() / f"{key}-{hashlib.sha256(content).hexdigest()[:_DIGITS]}.so"
    write_bytes(path, content)
    return path


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=LIMIT)
