"""Variables that the libraries under torch read once, when they are loaded: to be set before that."""

import os

# MKL gives the buffers of its products back, some 5 MB.  torch asks for huge pages where a block is
# large: a page fault for 2 MB instead of 512, which makes blocks that come and go about as fast as kept ones.
# A thread that waits for the others spins no longer than a call takes: where another program wants the
# processor too, longer spinning keeps the very thread away that is waited for, and a step takes many times as long.
SETTINGS = {"MKL_DISABLE_FAST_MM": "1", "THP_MEM_ALLOC_ENABLE": "1", "GOMP_SPINCOUNT": "1000"}


def prepare_process() -> None:
    """Set what the user has not set, for a process of ours that has not imported torch yet."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
