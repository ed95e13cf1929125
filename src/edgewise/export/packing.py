"""Ternary codes as the C program keeps them: a bit for every group, and two bits for each weight of a stored group."""

import numpy as np
from numpy.typing import NDArray

from edgewise.export.rules import Ints

Bytes = NDArray[np.uint8]
Codes = NDArray[np.int8]


def packed_codes(codes: Codes, slab: int, pairs: bool) -> tuple[Bytes, Bytes]:
    """Bits of the groups that are stored, the first in the lowest bit; and (stored groups, bytes) of four codes each.

    ``codes`` (N, C, K, K) of -1, 0, 1; 1 becomes 01 and -1 becomes 10, the first in the lowest bits; a group fills
    whole bytes.  With ``pairs`` the weights of two channels under one tap lie side by side.
    """
    filters, channels, *kernel = codes.shape
    groups = codes.reshape(filters * channels // slab, slab, *kernel)
    there = groups.any((1, 2, 3))
    if pairs:
        groups = groups.reshape(len(groups), slab // 2, 2, *kernel).transpose(0, 1, 3, 4, 2)
    two_bits = np.where(groups < 0, 2, groups).astype(np.uint8).reshape(len(groups), -1)[there]
    four = np.pad(two_bits, ((0, 0), (0, -two_bits.shape[1] % 4))).reshape(len(two_bits), -1, 4)
    return np.packbits(there, bitorder="little"), (four << np.array([0, 2, 4, 6], np.uint8)).sum(2).astype(np.uint8)


def sums_taken(codes: Codes) -> Ints:
    """For every filter the sums of two channels that it adds, less those that it subtracts; ``codes`` (N, C, K, K)."""
    first, second = codes[:, 0::2].astype(np.int64), codes[:, 1::2]
    result: Ints = np.where(first == second, first, 0).sum((1, 2, 3))
    return result
