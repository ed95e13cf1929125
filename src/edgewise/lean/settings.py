"""What the lean pass may do."""

from dataclasses import dataclass, replace

from edgewise.core.errors import UsageError, unknown
from edgewise.core.settings import check, setting


@dataclass(frozen=True)
class Lean:
    """How the backward pass is stored; independent of the method.

    ``chunk`` images at a time go through every part of the network that treats images alike (exact);
    0 takes the whole batch.  With ``frozen_bits=8`` the weights of frozen convolutions are held in 8
    bits, and the network computes something slightly different (`edgewise.lean.frozen`).  Without
    ``recompute`` everything that the backward pass reads is kept; with it, what costs fewer bytes to
    compute again is not (exact).
    """

    chunk: int = setting(1, "images taken at once, 0 for the whole batch", low=0, high=65_536)
    frozen_bits: int = setting(32, "bits in which the weights of frozen convolutions are held", choices=(8, 32))
    recompute: bool = True

    def __post_init__(self) -> None:
        check(self)


SMALL, FAST = Lean(chunk=1), Lean(chunk=4, recompute=False)
PRESETS: dict[str, Lean | None] = {"small": SMALL, "fast": FAST, "off": None}


def lean_named(name: str, frozen_bits: int = 32) -> Lean | None:
    """The preset called ``name``; None for ``off``, stock autograd, which has 32 bits only.  Raises `UsageError`."""
    if name not in PRESETS:
        raise unknown("setting of --lean", name, PRESETS)
    preset, bits = PRESETS[name], Lean(frozen_bits=frozen_bits).frozen_bits
    if preset is not None:
        return replace(preset, frozen_bits=bits)
    if bits != 32:
        raise UsageError(f"--frozen-bits {bits} needs --lean small or fast: stock PyTorch holds weights in 32 bits.")
    return None
