"""``edgewise doctor``: is this machine ready, and if not, what mends it?

Every check looks and changes nothing, apart from filling the cache of compiled code.  An optional
part that is absent is not a fault; a part that is there and does not work is.
"""

import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from edgewise.backbones.external import ensure_torchvision
from edgewise.core.cache import cache_folder, cached_weights
from edgewise.core.units import megabytes
from edgewise.native import why_not

MEMORY_TO_FIT, DISK_TO_RUN = 1e9, 2e8
EXTRAS = {"timm": "edgewise[timm]", "transformers": "edgewise[hf]", "sklearn": "edgewise[demo]"}
USES = {"timm": "--backbone timm:NAME", "transformers": "--backbone hf:NAME", "sklearn": "edgewise demo"}


@dataclass(frozen=True)
class Check:
    """One fact about the machine; ``remedy`` is empty where there is nothing to do."""

    name: str
    ok: bool
    fact: str
    remedy: str = ""


def diagnose() -> tuple[Check, ...]:
    """Everything Edgewise relies on, from the interpreter outwards."""
    checks: tuple[Callable[[], Check], ...] = (
        _python,
        _torch,
        _threads,
        _memory,
        _disk,
        *(lambda module=module: _extra(module) for module in EXTRAS),
        _torchvision,
        _compiled,
        _cache,
        _terminal,
    )
    return tuple(check() for check in checks)


def _python() -> Check:
    ok = sys.version_info >= (3, 10)
    return Check("Python", ok, platform.python_version(), "" if ok else "Edgewise needs Python 3.10 or newer.")


def _torch() -> Check:
    where = f"CUDA, {torch.cuda.get_device_name(0)}" if torch.cuda.is_available() else "CPU"
    return Check("torch", True, f"{torch.__version__} on {where} ({torch.backends.cpu.get_cpu_capability()})")


def _threads() -> Check:
    return Check("threads", True, f"{torch.get_num_threads()} for torch, {os.cpu_count()} processors")


def _memory() -> Check:
    free = available_memory()
    if free is None:
        return Check("memory", True, "this system does not say how much is free")
    ok = free >= MEMORY_TO_FIT
    remedy = "" if ok else "Close other programs, or use a smaller --batch-size and --image-size."
    return Check("memory", ok, f"{free / 1e9:.1f} GB free", remedy)


def _disk() -> Check:
    free = shutil.disk_usage(Path.cwd()).free
    ok = free >= DISK_TO_RUN
    remedy = "" if ok else "Free some space, or name a folder on another disk with --out."
    return Check("disk", ok, f"{free / 1e9:.1f} GB free in this folder", remedy)


def _extra(module: str) -> Check:
    if importlib.util.find_spec(module) is not None:
        return Check(module, True, "installed")
    return Check(module, True, "not installed (optional)", f"for {USES[module]}: pip install '{EXTRAS[module]}'")


def _torchvision() -> Check:
    """A torchvision built for another torch fails to import; timm and transformers fall with it."""
    try:
        state = ensure_torchvision()
    except Exception as error:  # whatever a broken installation raises is the finding
        mend = "pip install --force-reinstall 'edgewise[timm]'"
        return Check("torchvision", False, f"cannot be imported ({type(error).__name__}: {error})", mend)
    facts = {
        "missing": "not installed (optional)",
        "full": "installed",
        "no-ops": "installed without its compiled operators; Edgewise does not need them",
    }
    return Check("torchvision", True, facts[state])


def _compiled() -> Check:
    """Compiles them if no run has yet: only then is it known whether they work."""
    reason = why_not()
    return Check("compiled loops", True, "ready" if reason is None else f"none, plain torch instead: {reason}")


def _cache() -> Check:
    folder, files = cache_folder(), cached_weights()
    total = sum(path.stat().st_size for path in files)
    fact = f"{folder}: {megabytes(total)} of weights" if files else f"{folder}: empty"
    return Check("weights cache", True, fact)


def _terminal() -> Check:
    encoding = sys.stdout.encoding or "unknown"
    size = shutil.get_terminal_size()
    kind = f"{size.columns} columns" if sys.stdout.isatty() else "no terminal: plain lines"
    return Check("output", True, f"{kind}, {encoding}")


def available_memory() -> int | None:
    """Bytes a new process can have without swapping; None where the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")), None)
