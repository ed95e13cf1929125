"""The exported C program called from Python: compiled as a shared library, the same numbers as the program's."""

import ctypes
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewise.core.errors import EdgewiseError
from edgewise.export.source import Sources
from edgewise.native.build import COMPILERS, LIMIT, LINK, NATIVE

C_FOLDER = Path(__file__).parent / "c"
KERNELS = ("edgewise.h", "adding.h", "edgewise.c")
PROGRAM = ("main.c", "Makefile")
WARNINGS = ("-Wall", "-Wextra", "-Werror", "-std=c99")
FAST = ("-O3", NATIVE)
FLOAT = "-DEW_FLOAT"


@dataclass(frozen=True)
class Library:
    """``edgewise_run`` for one photo after the other.  Not for two threads at once: its arrays are static."""

    library: ctypes.CDLL
    classes: int
    in_float: bool

    def run(self, photos: NDArray[np.uint8]) -> NDArray[Any]:
        """(N, S, S, 3) bytes to logits (N, classes): int32, or float32 where it was compiled for them."""
        photos = np.ascontiguousarray(photos)
        logits = np.zeros((len(photos), self.classes), np.float32 if self.in_float else np.int32)
        for photo, row in zip(photos, logits, strict=True):
            self.library.edgewise_run(ctypes.c_void_p(photo.ctypes.data), ctypes.c_void_p(row.ctypes.data))
        return logits

    @property
    def memory(self) -> int:
        """Bytes of its static arrays beside the constants."""
        return ctypes.c_uint32.in_dll(self.library, "edgewise_memory").value


def compiler() -> str | None:
    """The C compiler of this machine."""
    return next((path for name in COMPILERS if (path := shutil.which(name))), None)


def write_sources(folder: Path, sources: Sources, program: bool = True) -> None:
    """All that a compiler needs, with ``main.c`` and ``Makefile`` if it is to be a ``program``."""
    folder.mkdir(exist_ok=True)
    for name in (*KERNELS, *(PROGRAM if program else ())):
        (folder / name).write_bytes((C_FOLDER / name).read_bytes())
    (folder / "network.h").write_text(sources.header)
    (folder / "network.c").write_text(sources.content)


def compiled(folder: Path, result: Path, flags: Sequence[str] = FAST, command: str | None = None) -> Path:
    """``result``, made by the compiler (``command``) from the C files in ``folder``.

    Raises `EdgewiseError` where there is no compiler, or it refuses.
    """
    command = command or compiler()
    if command is None:
        raise EdgewiseError(f"There is no C compiler here ({', '.join(COMPILERS)}): install one, such as gcc.")
    files = sorted(map(str, folder.glob("*.c")))
    done = subprocess.run(
        [command, *WARNINGS, *flags, *files, "-o", str(result)],
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=LIMIT,
    )
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()
        raise EdgewiseError(f"{command} could not compile the exported program: {said}")
    return result


def library(sources: Sources, classes: int, in_float: bool = False, flags: Sequence[str] = FAST) -> Library:
    """``sources`` with the kernels, compiled and loaded; raises as `compiled` does."""
    with tempfile.TemporaryDirectory(prefix="edgewise-") as name:
        folder = Path(name)
        write_sources(folder, sources, program=False)
        shared = (*flags, "-fPIC", *LINK, *((FLOAT,) if in_float else ()))
        return Library(ctypes.CDLL(str(compiled(folder, folder / "network.so", shared))), classes, in_float)
