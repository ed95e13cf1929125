"""What the lean pass may do."""

from dataclasses import dataclass

from edgewise.core.errors import unknown
from edgewise.core.settings import check, setting


@dataclass(frozen=True)
class Lean:
    """How the backward pass is stored; independent of the method.

    ``chunk`` images at a time go through every part of the network that treats images alike (exact);
    0 takes the whole batch.
    """

    chunk: int = setting(1, "images taken at once, 0 for the whole batch", low=0, high=65_536)

    def __post_init__(self) -> None:
        check(self)


SMALL, FAST = Lean(chunk=1), Lean(chunk=2)
PRESETS: dict[str, Lean | None] = {"small": SMALL, "fast": FAST, "off": None}


def lean_named(name: str) -> Lean | None:
    """The preset called ``name``; None for ``off``, stock autograd.  Raises `UsageError`."""
    if name not in PRESETS:
        raise unknown("setting of --lean", name, PRESETS)
    return PRESETS[name]
