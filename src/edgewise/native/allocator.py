"""Give memory back: a setting of the C library's allocator.

glibc keeps freed blocks for itself, and raises its threshold for doing so whenever a large block is
freed.  That is right on a server and wrong on a small device: the process then holds tens of
megabytes that it does not use.
"""

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
# Larger blocks go back to the system at once, smaller ones are used again.  Lower is smaller and
# slower: every page that comes back has to be cleared.
THRESHOLD = 4 * 1024 * 1024


def give_memory_back() -> bool:
    """From now on, freed memory leaves the process; False where this platform has no such setting.

    For processes of ours only (the command line, a measurement): a library does not change the
    allocator of the program that imports it.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # musl
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, THRESHOLD) and mallopt(M_TRIM_THRESHOLD, THRESHOLD))
