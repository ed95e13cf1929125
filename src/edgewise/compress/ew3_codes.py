"""Ternary codes as bits: which groups are stored, and 2 bits for each weight of those (the layers of an ``.ew3`` file).

    bitmap  one bit for each group, filter by filter, low bits of a byte first; 1: stored.  ceil(groups / 8) bytes
    codes   of the stored groups only, one after the other without a gap, four to a byte, low bits first:
            00 is 0, 01 is +1, 10 is -1; 11 is illegal.  ceil(stored weights / 4) bytes

A group is ``slab`` input channels of one filter with their whole kernels, row by row.  It is stored if one of its codes
is not 0.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

VALUES = np.array([0, 1, -1], dtype=np.int8)
SHIFTS = np.array([0, 2, 4, 6], dtype=np.uint8)


def packed_codes(codes: Tensor, slab: int) -> tuple[bytes, bytes]:
    """Bitmap and codes of int8 ``codes`` (N, C, K, K); ``slab`` divides C."""
    groups = codes.numpy().reshape(codes.shape[0] * codes.shape[1] // slab, -1)
    stored = groups.any(axis=1)
    return np.packbits(stored, bitorder="little").tobytes(), _in_bytes(groups[stored].reshape(-1))


def unpacked_codes(bitmap: bytes, codes: bytes, shape: tuple[int, int, int, int], slab: int) -> Tensor:
    """The inverse: int8 codes of ``shape`` (N, C, K, K).  `ValueError` where a code is 11."""
    data = np.frombuffer(codes, np.uint8)
    if (data & (data >> 1) & 0x55).any():
        raise ValueError("a code is 11, which stands for no weight")
    stored = stored_groups(bitmap, shape[0] * shape[1] // slab)
    groups = np.zeros((len(stored), slab * shape[2] * shape[3]), np.int8)
    symbols = ((data[:, None] >> SHIFTS) & 3).reshape(-1)[: int(stored.sum()) * groups.shape[1]]
    groups[stored] = VALUES[symbols].reshape(-1, groups.shape[1])
    return torch.from_numpy(groups.reshape(shape))


def codes_in_bytes(codes: Tensor) -> bytes:
    """All of int8 ``codes`` in 2 bits each, absent groups too: for a picture of a layer."""
    return _in_bytes(codes.numpy().reshape(-1))


def stored_groups(bitmap: bytes, groups: int) -> NDArray[np.bool_]:
    """Which of ``groups`` groups are stored."""
    return np.unpackbits(np.frombuffer(bitmap, np.uint8), count=groups, bitorder="little").astype(bool)


def _in_bytes(codes: NDArray[np.int8]) -> bytes:
    symbols = np.where(codes < 0, 2, codes).astype(np.uint8)
    quads = np.concatenate([symbols, np.zeros(-len(symbols) % 4, np.uint8)]).reshape(-1, 4)
    packed: NDArray[np.uint8] = np.bitwise_or.reduce(quads << SHIFTS, axis=1)
    return packed.tobytes()
