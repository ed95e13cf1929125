"""When a sub-net's mask changes, and by how much.

    level      1 - (1 - k / T)^3                       of update k of T: 0 as it starts, 1 at its final density
    density    d_i + (d_n - d_i) level                 GraNet's cubic schedule
    exchange   r_1 + (r_0 - r_1) (1 + cos(pi p)) / 2   p: progress of the run, 0 to 1

An update happens every so many of a sub-net's own steps, and those of sub-net n are n offsets late (Observation 2:
intermittent sparsity increments).  After update T the density stays and weights are only exchanged.
"""

import math
from dataclasses import dataclass

from edgewise.core.errors import UsageError

UPDATES = 62  # in a run, where nothing else is asked for: 160 epochs of CIFAR-10 in the released code
OFFSET = 0.3  # of the time between two updates: 100 of 333 steps


def level(update: int, updates: int) -> float:
    """How far pruning has come at ``update`` of ``updates``: 1 from the last one on."""
    return 1 - (1 - min(update / updates, 1)) ** 3


def density_at(start: float, end: float, level: float) -> float:
    """Density on the way from ``start`` to ``end``; exactly ``end`` at 1."""
    return end if level == 1 else start + (end - start) * level


def exchanged(progress: float, first: float, last: float) -> float:
    """The share of a layer's weights that an update at ``progress`` exchanges."""
    return last + (first - last) * (1 + math.cos(math.pi * progress)) / 2


@dataclass(frozen=True)
class Timing:
    """Updates every ``every`` own steps of a sub-net, sub-net n late by n times ``offset``; pruning ends with
    update ``pruning``."""

    every: int
    offset: int
    pruning: int

    def update(self, sub_net: int, own: int) -> int | None:
        """The number (from 1) of the update in own step ``own`` (from 0) of ``sub_net``; None where there is none."""
        number, rest = divmod(own - sub_net * self.offset, self.every)
        return number if rest == 0 and number >= 1 else None

    def level(self, update: int) -> float:
        return level(update, self.pruning)

    def last_pruning(self, sub_net: int) -> int:
        """The own step in which ``sub_net`` reaches its density."""
        return sub_net * self.offset + self.pruning * self.every


def timing(own: int, sub_nets: int, until: float, every: int | None = None, offset: int | None = None) -> Timing:
    """For ``sub_nets`` of at least ``own`` steps each; pruning ends with the last update before ``until`` of them.

    By default `UPDATES` updates in the run, and `OFFSET`.  Raises `UsageError` where a sub-net would not reach its
    density.
    """
    every = max(1, round(own / UPDATES)) if every is None else every
    offset = round(OFFSET * every) if offset is None else offset
    found = Timing(every, offset, int(until * own / every))
    if found.pruning < 1 or found.last_pruning(sub_nets - 1) >= own:
        raise UsageError(
            f"Every sub-net gets {own} steps, and its masks change every {every} of them, {offset} later from one "
            f"sub-net to the next: so the last sub-net would not reach its density. Train longer (--epochs), with a "
            "smaller --batch-size, or lower --every and --offset."
        )
    return found
