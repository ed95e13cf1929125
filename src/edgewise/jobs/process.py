"""The process that a fit runs in, and what may be done to it."""

from collections.abc import Callable
from dataclasses import dataclass

from edgewise.native.allocator import give_memory_back
from edgewise.train.loop import Watchdog, unwatched


def _leave_it(images: int, kept: int) -> bool:
    return False


@dataclass(frozen=True)
class Process:
    """``settle(images, kept)`` arranges its allocator for a step; ``watchdog`` looks at it after every step."""

    settle: Callable[[int, int], bool] = _leave_it
    watchdog: Watchdog = unwatched


USERS = Process()
"""One that does other things too: it stays as it is."""
OURS = Process(give_memory_back)
"""One that does nothing else."""
