"""Adam's moments in 8 bits: a quarter of their memory.

After Dettmers et al., "8-bit Optimizers via Block-wise Quantization" (ICLR 2022): of every 256 numbers the
largest magnitude is held as a float, and each number as a code c, a part of it:

    first moment   sign(c) · (|c| / 127)^4,  c in -127 … 127
    second moment  (c / 255)^8,              c in 0 … 255

Powers give small numbers as many codes as large ones.  Neighbours differ by 3 % at the top; a hundred times
below by 10 % (first moment) and 6 % (second).

**Rounded at random, right in the mean.**  A second moment loses a thousandth at every step.  Rounded to the
nearest code it would not move at all; so it goes to the code below or above with the probability that
makes the expected value the number itself.  The numbers drawn come from torch's generator, which training
seeds at every step: a resumed run draws the same.

Deviations from the paper: powers in place of its dynamic tree (the same idea without a table), random
rounding, blocks of 256 in place of 2048.  As there, small tensors stay floats.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

BLOCK = 256
WORTH_CODING = 4096  # numbers; a smaller tensor is left in floats
PIECE = 256 * BLOCK  # numbers that are floats at once


class Moment8:
    """One moment of ``count`` numbers, zero at the start.  ``signed`` for the first, else the second."""

    def __init__(self, count: int, signed: bool, device: torch.device | None = None) -> None:
        blocks = -(-count // BLOCK)
        self.codes = torch.zeros(blocks, BLOCK, dtype=torch.int8 if signed else torch.uint8, device=device)
        self.largest = torch.zeros(blocks, 1, device=device)
        # the power is 2 ** doublings
        self.signed, self.highest, self.doublings = (True, 127, 2) if signed else (False, 255, 3)

    def decoded(self, start: int, end: int) -> Tensor:
        """The numbers ``start`` to ``end`` as floats; ``start`` is a multiple of the block."""
        rows = _rows(start, end)
        values = self.codes[rows].float()
        signs = values.sign() if self.signed else None
        values = self._values(values.abs_()).mul_(self.largest[rows])
        return (values if signs is None else values.mul_(signs)).view(-1)[: end - start]

    def encode(self, start: int, numbers: Tensor) -> None:
        """Hold ``numbers`` from ``start`` on."""
        rows = _rows(start, start + len(numbers))
        values = torch.zeros_like(self.codes[rows], dtype=torch.float32)
        values.view(-1)[: len(numbers)] = numbers
        signs = values.sign() if self.signed else None
        largest = values.abs_().amax(1, keepdim=True)
        values /= largest.clamp_min(torch.finfo(values.dtype).tiny)
        below = values.clone()
        for _ in range(self.doublings):
            below.sqrt_()
        # the largest itself has no code above
        below.mul_(self.highest).floor_().clamp_(max=self.highest - 1)
        low, high = self._values(below.clone()), self._values(below + 1)
        share = values.sub_(low).div_(high.sub_(low))
        codes = below.add_(torch.rand_like(share) < share)
        self.codes[rows] = (codes if signs is None else codes.mul_(signs)).to(self.codes.dtype)
        self.largest[rows] = largest

    def tensors(self) -> dict[str, Tensor]:
        """The live tensors, by name."""
        return {"codes": self.codes, "largest": self.largest}

    def _values(self, codes: Tensor) -> Tensor:
        codes.div_(self.highest)
        for _ in range(self.doublings):
            codes.square_()
        return codes


def pieces(count: int) -> Iterator[tuple[int, int]]:
    """Starts and ends of what is decoded at once."""
    return ((start, min(start + PIECE, count)) for start in range(0, count, PIECE))


def flat(tensor: Tensor) -> Tensor:
    """All numbers in the order in which they lie in memory: a view of a dense tensor."""
    return tensor.detach().as_strided((tensor.numel(),), (1,))


def _rows(start: int, end: int) -> slice:
    return slice(start // BLOCK, -(-end // BLOCK))
