"""Memory that a process has and does not use: giving it back to the system.

glibc keeps freed blocks for itself, and raises its threshold for doing so whenever a large block is
freed.  And importing torch runs through its code once, tens of megabytes of which nothing later needs.
Both are right on a server and wrong on a small device.

For processes of ours only (the command line, a measurement): a library does not change the
allocator of the program that imports it.
"""

import ctypes
import sys
from collections.abc import Iterator
from pathlib import Path

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
# Blocks that are larger go back to the system at once, smaller ones are used again.  Lower is smaller and
# slower: every page that comes back has to be cleared.  Higher is dear where much is kept between blocks
# that come and go: their holes stay.
LOW, HIGH_FOR_AN_IMAGE, HIGHEST = 3 * 2**20, 8 * 2**20, 32 * 2**20  # glibc takes no more
MUCH = 32_000_000
MADV_DONTNEED = 4


def give_memory_back(images: int = 0, kept: int = 0) -> bool:
    """From now on, freed memory leaves the process; False where this platform has no such setting.

    Blocks of ``images`` taken at once are used again instead, where a step keeps not much: ``kept`` bytes.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # musl
        return False
    threshold = LOW if kept > MUCH else min(max(LOW, images * HIGH_FOR_AN_IMAGE), HIGHEST)
    return bool(mallopt(M_MMAP_THRESHOLD, threshold) and mallopt(M_TRIM_THRESHOLD, threshold))


def forget_code() -> int:
    """Let go of all code in memory; what is needed comes back from the system's cache, page by page.

    Returns the bytes let go of at most: 0 where the system does not say where code lies.  To be called
    when the imports are done.
    """
    if not sys.platform.startswith("linux"):
        return 0
    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    return sum(size for start, size in _code() if madvise(start, size, MADV_DONTNEED) == 0)


def _code() -> Iterator[tuple[int, int]]:
    """Start and size of what is mapped from files to be executed, and never written."""
    try:
        lines = Path("/proc/self/maps").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        span, mode, *rest = line.split(maxsplit=5)
        if mode == "r-xp" and len(rest) == 4 and rest[3].startswith("/"):
            start, end = (int(place, 16) for place in span.split("-"))
            yield start, end - start
