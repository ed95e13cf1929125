"""Heap: the bytes a process holds from malloc, and their peak, counted exactly in a process of its own.

The counter (``native/heap_counter.c``) must be loaded before anything else, so it cannot be switched on
in a running process: start a new one with `preload` in its environment, and ask `heap` in there ::

    subprocess.run(command, env={**os.environ, **preload()})

It sees torch's tensors, oneDNN's workspace and numpy's arrays; it does not see memory mapped past
malloc: code, thread stacks, and Python's arenas for objects up to 512 bytes.  Linux with glibc, and a C
compiler, are needed.
"""

import ctypes
import os
import platform
import sys

from edgewise.native.build import Built, build

VARIABLE = "LD_PRELOAD"


class Heap:
    """The counter of this process; bytes, with what malloc adds for its own order."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._live, self._peak, self._reset = (
            library.edgewise_heap_live,
            library.edgewise_heap_peak,
            library.edgewise_heap_reset,
        )
        self._live.restype = self._peak.restype = ctypes.c_int64
        self._reset.restype = None

    def live(self) -> int:
        """Bytes held now."""
        return int(self._live())

    def peak(self) -> int:
        """The most held at once since the process began, or since `reset`."""
        return int(self._peak())

    def reset(self) -> None:
        """Start the peak anew at what is held now."""
        self._reset()


def heap() -> Heap | None:
    """The counter of this process; None where it was not started under one."""
    if sys.platform != "linux":
        return None
    try:
        return Heap(ctypes.CDLL(None))
    except AttributeError:
        return None


def preload() -> dict[str, str] | None:
    """What to add to a child's environment so that it counts; None where that is impossible (`why_not`).

    Children of the child would count too, each for itself.  Where that is not wanted, the child does
    ``os.environ.pop("LD_PRELOAD")`` when it starts: its own counter stays.
    """
    path = _counter().path
    if path is None:
        return None
    others = os.environ.get(VARIABLE)
    return {VARIABLE: f"{path}:{others}" if others else str(path)}


def why_not() -> str | None:
    """Why no process can be counted on this machine; None where it can."""
    return _counter().reason


def _counter() -> Built:
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
        return Built(None, "counting the heap needs Linux with glibc")
    return build("heap_counter.c")
