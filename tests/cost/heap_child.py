"""Runs under the heap counter (see test_heap.py) and prints what it counted while taking memory of known size."""

import ctypes
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy
import torch

from edgewise.cost.heap import VARIABLE, heap

MB = 1_000_000
libc = ctypes.CDLL(None)
for name in ("malloc", "calloc", "realloc", "reallocarray", "memalign", "aligned_alloc"):
    getattr(libc, name).restype = ctypes.c_void_p
SIZE = ctypes.c_size_t

del os.environ[VARIABLE]  # what we start is not to be counted
counter = heap()
assert counter is not None


def taken(make: Callable[[], Any], give_back: Callable[[int], Any] | None) -> list[int]:
    """Live bytes before, with and after 40 MB, and the peak."""
    counter.reset()
    before = counter.live()
    block = make()
    during = counter.live()
    if give_back:
        give_back(ctypes.c_void_p(block))
    del block
    return [before, during, counter.live(), counter.peak()]


def aligned() -> int:
    block = ctypes.c_void_p()
    assert libc.posix_memalign(ctypes.byref(block), SIZE(24), SIZE(8)) != 0, "24 is no alignment"
    assert libc.posix_memalign(ctypes.byref(block), SIZE(64), SIZE(40 * MB)) == 0
    assert block.value % 64 == 0
    return block.value


def peak() -> list[int]:
    counter.reset()
    before = counter.live()
    small, large = torch.empty(2 * MB), torch.empty(4 * MB)
    del small, large
    other = torch.empty(5 * MB)
    del other
    highest = counter.peak()
    counter.reset()
    return [before, highest, counter.peak()]


def grown() -> list[int]:
    sizes, block = [counter.live()], None
    for size in (1 * MB, 9 * MB, 3 * MB):
        block = libc.realloc(ctypes.c_void_p(block), SIZE(size))
        sizes.append(counter.live())
    libc.free(ctypes.c_void_p(block))
    return [*sizes, counter.live()]


def failed() -> list[int]:
    before = counter.live()
    block = ctypes.c_void_p(libc.malloc(SIZE(MB)))
    assert libc.realloc(block, SIZE(2**62)) is None
    assert libc.reallocarray(block, SIZE(2**40), SIZE(2**40)) is None
    after = counter.live()
    libc.free(block)
    return [before, after, counter.live()]


def threads() -> list[int]:
    ready, leave = threading.Barrier(5), threading.Barrier(5)

    def work() -> None:
        for size in range(1, 300):
            numpy.empty(1000 * size, numpy.uint8)
        held = [numpy.empty(100_000, numpy.uint8) for _ in range(50)]
        ready.wait()
        leave.wait()
        del held

    everybody = [threading.Thread(target=work) for _ in range(4)]
    before = counter.live()
    for thread in everybody:
        thread.start()
    ready.wait()
    during = counter.live()
    leave.wait()
    for thread in everybody:
        thread.join()
    return [before, during, counter.live()]


code = "import ctypes\ntry: print(ctypes.CDLL(None).edgewise_heap_live)\nexcept AttributeError: print(None)"
torch.empty(10), numpy.empty(10), threads()  # what is loaded or set up once is not what is measured
results = {
    "torch": taken(lambda: torch.empty(10 * MB), None),
    "numpy": taken(lambda: numpy.empty(5 * MB), None),
    "malloc": taken(lambda: libc.malloc(SIZE(40 * MB)), libc.free),
    "calloc": taken(lambda: libc.calloc(SIZE(MB), SIZE(40)), libc.free),
    "memalign": taken(lambda: libc.memalign(SIZE(4096), SIZE(40 * MB)), libc.free),
    "aligned": taken(aligned, libc.free),
    "peak": peak(),
    "realloc": grown(),
    "failed": failed(),
    "threads": threads(),
    "grandchild": subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip(),
}
print(json.dumps(results))
