"""Where a name may stand beside its point without covering anything."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

Box = tuple[float, float, float, float]  # left, top, right, bottom
RISE, SINK = 13, 3  # a text of the page's size lies this far above and below its baseline
TURNS = tuple(math.tau * turn / 16 for turn in (0, 8, 1, 15, 7, 9, 2, 14, 6, 10, 4, 12, 3, 13, 5, 11))


@dataclass(frozen=True)
class Place:
    """The baseline of a text begins, ends or is centred (``anchor``) at (x, y); ``box`` is what it covers."""

    x: float
    y: float
    anchor: str
    box: Box


def beside(x: float, y: float, top: float, bottom: float, width: float, gap: float = 12) -> Iterator[Place]:
    """Places for a text ``width`` wide at a point whose whisker goes from ``top`` to ``bottom``; the best first."""
    for place_x, place_y, anchor in (
        (x + gap, y + 4, "start"),
        (x - gap, y + 4, "end"),
        (x, top - gap + 4, "middle"),
        (x, bottom + gap + 5, "middle"),
        (x + gap, top + 2, "start"),
        (x - gap, bottom + 2, "end"),
        (x + gap - 2, bottom + gap + 9, "end"),
        (x + gap - 2, top - gap + 2, "end"),
    ):
        yield _place(place_x, place_y, anchor, width)


def around(x: float, y: float, radius: float, width: float, farthest: float) -> Iterator[Place]:
    """Places on wider and wider rings about a point, for when there is no room beside it."""
    while radius < farthest:
        for turn in TURNS:
            side = math.cos(turn)
            anchor = "start" if side > 0.3 else "end" if side < -0.3 else "middle"
            yield _place(x + radius * side, y + radius * math.sin(turn) + 4, anchor, width)
        radius += 8


def free(place: Place, frame: Box, taken: Sequence[Box]) -> bool:
    """Does ``place`` lie inside ``frame`` and cover nothing that is ``taken``?"""
    return inside(place, frame) and not any(_cross(place.box, box) for box in taken)


def inside(place: Place, frame: Box) -> bool:
    left, top, right, bottom = place.box
    return left >= frame[0] and top >= frame[1] and right <= frame[2] and bottom <= frame[3]


def _place(x: float, y: float, anchor: str, width: float) -> Place:
    left = x - {"start": 0.0, "middle": width / 2, "end": width}[anchor]
    return Place(x, y, anchor, (left, y - RISE, left + width, y + SINK))


def _cross(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
