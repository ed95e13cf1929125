"""The bytes of an ``.ew3`` file, taken one piece after the other and never beyond the end."""

import struct
from typing import Any

import numpy as np
import torch
from torch import Tensor

from edgewise.core.errors import EdgewiseError

MOST_IN_FILTER = 1 << 16  # weights of one filter
MOST_WEIGHTS, MOST_FOR_A_BYTE = 1 << 28, 1024  # of a whole network, and for each byte of its file


class Cursor:
    """Where reading stands.  Every method raises `EdgewiseError` rather than read or make what is not there."""

    def __init__(self, content: bytes) -> None:
        self.content, self.at, self.room = content, 0, most_weights(len(content))

    def take(self, count: int) -> bytes:
        """The next ``count`` bytes."""
        if count > len(self.content) - self.at:
            raise damaged(f"it ends after {len(self.content)} bytes, and byte {self.at} says that {count} follow")
        self.at += count
        return self.content[self.at - count : self.at]

    def numbers(self, layout: struct.Struct) -> tuple[Any, ...]:
        """The next numbers, as ``layout`` has them."""
        return layout.unpack(self.take(layout.size))

    def floats(self, count: int) -> Tensor:
        """(count,) float32, all finite."""
        values = torch.from_numpy(np.frombuffer(self.take(4 * count), "<f4").astype(np.float32))
        if not bool(values.isfinite().all()):
            raise damaged(f"a number before byte {self.at} is not finite")
        return values

    def text(self) -> bytes:
        """Up to the next byte of 0, which is passed."""
        end = self.content.find(b"\0", self.at)
        if end < 0:
            raise damaged(f"the name at byte {self.at} has no end")
        return self.take(end + 1 - self.at)[:-1]

    def align(self) -> None:
        """On to the next multiple of 4."""
        self.take(-self.at % 4)

    def claim(self, filters: int, weights: int) -> None:
        """Before a layer of ``filters`` filters of ``weights`` weights is made: is that a size that can be?"""
        self.room -= filters * weights
        if not 1 <= weights <= MOST_IN_FILTER or filters < 1 or self.room < 0:
            raise damaged(
                f"a layer of {filters:,} filters of {weights:,} weights is announced before byte {self.at}; a filter "
                f"has 1 to {MOST_IN_FILTER:,}, all layers together {most_weights(len(self.content)):,} in such a file"
            )


def most_weights(length: int) -> int:
    """Of all layers in a file of ``length`` bytes: absent groups take next to nothing, and must not ask for memory."""
    return min(MOST_WEIGHTS, MOST_FOR_A_BYTE * length)


def damaged(fact: str) -> EdgewiseError:
    """What is said of a file that cannot be what was written."""
    return EdgewiseError(f"The packed network cannot be read: {fact}. It was cut off or changed; copy it again.")
