"""Counting by shapes alone: on a batch of no images, which takes neither time nor memory."""

from collections.abc import Callable
from typing import TypeVar

Counted = TypeVar("Counted")


def on_fewest_images(count: Callable[[int], Counted]) -> Counted:
    """``count(0)``, or ``count(1)`` for a network that does not take a batch of none."""
    try:
        return count(0)
    except Exception:  # whatever it is, one image shows it again if it is not the empty batch's fault
        return count(1)
