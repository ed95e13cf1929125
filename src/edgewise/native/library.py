"""A compiled source opened for calls through ctypes, with threads where the process has an OpenMP runtime."""

import ctypes
import sys
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from edgewise.native.build import build


def opened(
    source: str, signatures: Mapping[str, Sequence[Any]], may_fail: Collection[str] = ()
) -> tuple[ctypes.CDLL | None, str | None]:
    """The library of ``native/<source>``, or None and the reason.

    ``signatures``: the types of each function's arguments; those in ``may_fail`` give an int, the others nothing.
    """
    reason = None
    # Elsewhere a symbol that is missing is noticed when it is first called, which ends the process.
    for openmp in (True, False) if sys.platform == "linux" else (False,):
        built = build(source, openmp)
        if built.path is None:
            reason = built.reason
            continue
        try:
            library = ctypes.CDLL(str(built.path))  # fails at once where no OpenMP runtime is loaded
        except OSError as error:
            reason = str(error)
            continue
        for name, arguments in signatures.items():
            function = getattr(library, name)
            function.argtypes = list(arguments)
            function.restype = ctypes.c_int if name in may_fail else None
        return library, None
    return None, reason
