"""A budget in words: ``"48MB"`` is 48,000,000 bytes of live heap over the level after import."""

import re

from edgewise.core.errors import UsageError

UNITS = {"": 10**6, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
# What a process may hold beyond its budget in resident memory: code it runs, blocks not yet given back.
RESIDENT_SLACK = 20_000_000
# What a fit holds at most besides a predicted step (measured): photos, plans, oneDNN's caches, Python's own objects.
BESIDES = 11_000_000


def parse_budget(text: str) -> int:
    """Bytes of ``"48MB"``, ``"0.5 GB"``, ``"64 MiB"``, ``"48"`` (MB); raises `UsageError`."""
    found = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([a-zA-Z]*)\s*", text)
    if found is None or found[2].lower() not in UNITS:
        raise UsageError(f"The budget {text!r} is no amount of memory; write it like 48MB or 0.5GB.")
    amount = float(found[1]) * UNITS[found[2].lower()]
    if not 1 <= amount < 2**60:
        raise UsageError(f"The budget is {text!r}; it must be more than nothing, and a number of bytes that exists.")
    return round(amount)  # 2.01 * 10**6 lies below 2,010,000


def rounded_up(count: int) -> int:
    """``count`` bytes or a little more: as many as two decimals of MB say, so that what is printed is enough."""
    return -(-count // 10_000) * 10_000
