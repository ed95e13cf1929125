"""From a sum to a result in integers: ((sum >> before) multiplier + offset) >> shift, for every filter of a layer.

Nothing overflows: numbers of 8 bits keep all of it within 32, numbers of 16 within 64.  ``before`` rounds the sum to 15
bits where it has more; the offset holds half of what ``shift`` cuts off, so that the result is rounded, too.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgewise.core.errors import EdgewiseError

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
LARGEST_FACTOR, LARGEST, MOST_SHIFT = {8: 2**15 - 1, 16: 2**31 - 1}, {8: 2**31 - 1, 16: 2**63 - 1}, {8: 30, 16: 46}
SUM_BITS = 15  # of a sum that is multiplied within 32 bits


@dataclass(frozen=True)
class Rule:
    """One number each for every filter."""

    offset: Ints
    multiplier: Ints
    shift: Ints
    before: Ints

    def apply(self, sums: Ints) -> Ints:
        """``sums`` (filters, …) as the C program rounds them."""
        shape = (-1, *(1 for _ in sums.shape[1:]))
        offset, multiplier, shift, before = (
            part.reshape(shape) for part in (self.offset, self.multiplier, self.shift, self.before)
        )
        result: Ints = (((sums + (1 << before >> 1)) >> before) * multiplier + offset) >> shift
        return result


def rule(ratio: Floats, offset: Floats, bound: Floats, bits: int) -> Rule:
    """The rule that comes nearest to ``ratio sum + offset`` for sums up to ``bound``; all (filters,).

    ``bits`` of a sample: 8 or 16.  Raises `EdgewiseError` where a layer's numbers are too far apart for it.
    """
    if not (np.isfinite(ratio).all() and np.isfinite(offset).all()):
        raise EdgewiseError("A layer's scale or offset is not finite; train it again, or from other weights.")
    before = np.zeros(len(ratio), np.int64)
    if bits == 8:
        before = np.maximum(0, np.ceil(np.log2(np.maximum(bound, 1) + 1)) - SUM_BITS).astype(np.int64)
    # further out it is clamped whatever the sum
    reach = np.abs(ratio) * bound + 2.0 ** (17 if bits == 16 else 9)
    offset = np.clip(offset, -reach, reach)
    most = np.floor(bound / 2.0**before) + 1
    shift = np.full(len(ratio), -1, np.int64)
    for tried in range(MOST_SHIFT[bits], -1, -1):
        factor = np.abs(np.rint(ratio * 2.0 ** (before + tried)))
        fits = (factor <= LARGEST_FACTOR[bits]) & (
            most * factor + np.abs(offset) * 2.0**tried + 2.0**tried < LARGEST[bits] / 4
        )
        shift = np.where((shift < 0) & fits, tried, shift)
    if (shift < 0).any():
        raise EdgewiseError("A layer's scale is too large for integers: export it with --activations int16.")
    multiplier = np.rint(ratio * 2.0 ** (before + shift)).astype(np.int64)
    rounded = np.rint(offset * 2.0**shift).astype(np.int64) + (1 << shift >> 1)
    return Rule(rounded, multiplier, shift, before)
