"""Processes that decode photos: how many, how they stay quiet when the user presses Ctrl-C, and when they end."""

import ctypes
import os
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from edgewise.core.errors import EdgewiseError

PR_SET_PDEATHSIG = 1


def default_workers() -> int:
    """Half the processors, at most 4: the other half trains.  0 (decode in place) on a single one."""
    # containers and taskset give a process fewer processors than the machine has
    processors = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return min(4, processors // 2)


def settle_in(worker: int = 0) -> None:
    """To run first in a worker: Ctrl-C is for the process that started it, and the worker ends when that one does.

    Killed by force, a process cannot tell its workers; one that waits for room in a full queue would wait for ever.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


@contextmanager
def starting_workers() -> Iterator[None]:
    """Start workers in here.  Ctrl-C is kept back until they ignore it, and delivered afterwards.

    Warnings are dropped: that there are more workers than processors (the user chose the number),
    and, since Python 3.12, that a process with threads is forked (the workers run none of its code).
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if os.name != "posix":
            yield
            return
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def worker_died(error: Exception) -> EdgewiseError:
    """The error for a worker that was killed from outside, most often for want of memory."""
    return EdgewiseError(
        "A process that decodes photos was ended by the system, most often because memory ran out "
        f"({str(error).splitlines()[0]}). Repeat with --workers 0, which decodes without further processes."
    )
