"""What a plan chooses from: a method, and how its backward pass is stored."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from edgewise.lean import Lean

CHUNKS = (1, 2, 4, 0)
BITS = (32, 8)
RECOMPUTE = (True, False)


@dataclass(frozen=True)
class Option:
    """A method by name, and a `Lean`."""

    method: str
    lean: Lean


def options(methods: Sequence[str], batch_size: int) -> Iterator[Option]:
    """Every method with every way to store it, the smallest way first; chunks of a batch or more are one (0)."""
    for method in methods:
        for bits in sorted(BITS):
            for recompute in RECOMPUTE:
                for chunk in _chunks(batch_size):
                    yield Option(method, Lean(chunk, bits, recompute))


def needs_at_least(option: Option, batch_size: int) -> Option | None:
    """A smaller neighbour: where that does not fit, ``option`` does not either.  None for the smallest."""
    lean, chunks = option.lean, _chunks(batch_size)
    place = chunks.index(lean.chunk)
    return Option(option.method, Lean(chunks[place - 1], lean.frozen_bits, lean.recompute)) if place else None


def _chunks(batch_size: int) -> tuple[int, ...]:
    return tuple(chunk for chunk in CHUNKS if chunk < batch_size)
