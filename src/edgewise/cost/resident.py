"""Resident memory of this process, in bytes; None where the system does not tell."""

from pathlib import Path

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def resident() -> int | None:
    """Resident size now."""
    return _field("VmRSS")


def highest_resident() -> int | None:
    """Highest resident size since the process began, or since `forget_highest`."""
    return _field("VmHWM")


def forget_highest() -> bool:
    """Start the highest mark anew at the present size; False where the system does not allow it."""
    try:
        CLEAR.write_text("5")
    except OSError:
        return False
    return True


def _field(name: str) -> int | None:
    try:
        lines = STATUS.read_text().splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith(f"{name}:")), None)
