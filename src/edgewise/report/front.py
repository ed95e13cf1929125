"""Accuracy against memory, and the front of what is not beaten in both (MobileTL, Fig. 5).

The paper says that the radius of a circle stands for the work; here its area does, as an eye compares areas.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from edgewise.report.placing import Box, Place, around, beside, free
from edgewise.report.scale import Linear, Log, steps
from edgewise.report.svg import clipped, extent, figure, group, hint, label, tag

WIDTH, HEIGHT = 760, 440
LEFT, RIGHT, TOP, BOTTOM = 62, 18, 14, 50
EDGE = 26  # between the frame and the outermost centres, so that circles stay inside
SMALLEST, LARGEST = 5.0, 20.0  # radii
FAR_APART = 2.5  # values of a larger ratio lie on a logarithmic axis
FACTORS, BETWEEN_MARKS = (1, 1.5, 2, 3, 5, 7), 64  # its marks, and how many units they are apart
MOST_NAME = 260

Show = Callable[[float], str]


@dataclass(frozen=True)
class Bubble:
    """A method at (``x``, ``y``), with the interval ``low``..``high`` of ``y``; ``size`` >= 0 is the circle's area."""

    name: str
    x: float
    y: float
    low: float
    high: float
    size: float


def pareto(bubbles: Sequence[Bubble]) -> list[Bubble]:
    """Those that no other beats: none has at most their ``x`` and at least their ``y``, and less or more of one.

    In ascending order of ``x``.  Of equals all are kept.
    """
    return sorted(
        (
            one
            for one in bubbles
            if not any(
                other.x <= one.x and other.y >= one.y and (other.x, other.y) != (one.x, one.y) for other in bubbles
            )
        ),
        key=lambda one: (one.x, one.y),
    )


def front(title: str, bubbles: Sequence[Bubble], x_name: str, y_name: str, show_x: Show, show_y: Show) -> str:
    """``bubbles`` with their names, none of which covers another, and the line of the `pareto` front."""
    best = pareto(bubbles)
    up_marks = steps(min(b.low for b in bubbles), max(b.high for b in bubbles))
    up = Linear(up_marks[0], up_marks[-1], HEIGHT - BOTTOM - 6, TOP + EDGE)
    across, across_marks = _across([bubble.x for bubble in bubbles])
    line = _stairs([(across(one.x), up(one.y)) for one in best])
    radii = {bubble: _radius(bubble.size, max(b.size for b in bubbles)) for bubble in bubbles}
    taken: list[Box] = [_around(across(b.x), up(b.y), radii[b]) for b in bubbles]
    taken += [(across(b.x) - 4, up(b.high), across(b.x) + 4, up(b.low)) for b in bubbles]
    taken += [(min(a, c) - 3, min(b, d) - 3, max(a, c) + 3, max(b, d) + 3) for (a, b), (c, d) in pairwise(line)]
    body = [
        *(_up_mark(up(mark), show_y(mark)) for mark in up_marks),
        *(_across_mark(across(mark), show_x(mark)) for mark in across_marks),
        label(WIDTH - RIGHT, HEIGHT - 8, x_name, "muted", "end"),
        label(LEFT, TOP, y_name, "muted"),
        tag("path", d="M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in line), class_="front"),
    ]
    names = []
    for bubble in sorted(bubbles, key=lambda b: (b not in best, b.x, b.name)):
        x, y, kind = across(bubble.x), up(bubble.y), "t1" if bubble in best else "t0"
        body.append(_circle(bubble, x, y, up, radii[bubble], kind, show_x, show_y))
        name = clipped(bubble.name, MOST_NAME)
        place = _spot(x, y, radii[bubble], up(bubble.high), up(bubble.low), extent(name), taken)
        taken.append(place.box)
        names.append(_leader(x, y, radii[bubble], place) + label(place.x, place.y, name, f"name {kind}", place.anchor))
    words = "; ".join(f"{b.name}: {show_y(b.y)} with {show_x(b.x)}" for b in bubbles)
    described = f"{words}. Not beaten in both: {', '.join(one.name for one in best)}."
    return figure(WIDTH, HEIGHT, title, described, "".join(body + names), "wide")


def _across(values: Sequence[float]) -> tuple[Linear | Log, list[float]]:
    """The horizontal axis and its marks."""
    start, stop = LEFT + EDGE, WIDTH - RIGHT - EDGE
    low, high = min(values), max(values)
    if low > 0 and high / low > FAR_APART:
        log, marks = Log(low, high, start, stop), list[float]()
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        for mark in (factor * 10.0**power for power in powers for factor in FACTORS):
            if low <= mark <= high and (not marks or log(mark) - log(marks[-1]) >= BETWEEN_MARKS):
                marks.append(mark)
        return log, marks
    marks = steps(low, high)
    return Linear(marks[0], marks[-1], start, stop), marks


def _stairs(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """From the bottom up the first point, then right and up to each other, and right to the edge."""
    corners = [(points[0][0], float(HEIGHT - BOTTOM)), points[0]]
    for (_, before), (x, y) in pairwise(points):
        corners += [(x, before), (x, y)]
    return [*corners, (float(WIDTH - RIGHT), points[-1][1])]


def _circle(
    bubble: Bubble, x: float, y: float, up: Linear, radius: float, kind: str, show_x: Show, show_y: Show
) -> str:
    top, bottom = up(bubble.high), up(bubble.low)
    whisker = f"M{x:.1f} {top:.1f}V{bottom:.1f}M{x - 4:.1f} {top:.1f}h8M{x - 4:.1f} {bottom:.1f}h8"
    spread = f" ({show_y(bubble.low)} to {show_y(bubble.high)})" if bubble.high > bubble.low else ""
    return group(
        hint(f"{bubble.name}: {show_y(bubble.y)}{spread}, {show_x(bubble.x)}"),
        tag("circle", cx=x, cy=y, r=radius, class_=f"bubble {kind}"),
        tag("path", d=whisker, class_=f"whisker {kind}") if spread else "",
        tag("circle", cx=x, cy=y, r=2, class_=f"dot {kind}"),
    )


def _spot(x: float, y: float, radius: float, top: float, bottom: float, width: float, taken: Sequence[Box]) -> Place:
    """The first free place beside the circle, else farther and farther away."""
    frame: Box = (LEFT, TOP + 4, WIDTH, HEIGHT - BOTTOM)
    near = list(beside(x, y, min(top, y - radius), max(bottom, y + radius), width, radius + 5))
    far = around(x, y, radius + 12, width, WIDTH)
    return next((place for place in (*near, *far) if free(place, frame, taken)), near[0])


def _leader(x: float, y: float, radius: float, place: Place) -> str:
    """A line from the circle to a name that does not stand beside it."""
    left, top, right, bottom = place.box
    end_x, end_y = min(max(x, left), right), min(max(y, top), bottom)
    distance = math.hypot(end_x - x, end_y - y)
    if distance < radius + 10:
        return ""
    part = radius / distance
    return tag(
        "path", d=f"M{x + part * (end_x - x):.1f} {y + part * (end_y - y):.1f}L{end_x:.1f} {end_y:.1f}", class_="leader"
    )


def _radius(size: float, largest: float) -> float:
    return max(SMALLEST, LARGEST * math.sqrt(size / largest)) if largest > 0 else SMALLEST


def _around(x: float, y: float, radius: float) -> Box:
    return x - radius, y - radius, x + radius, y + radius


def _up_mark(y: float, text: str) -> str:
    return tag("path", d=f"M{LEFT} {y:.1f}H{WIDTH - RIGHT}", class_="grid") + label(
        LEFT - 8, y + 4, text, "muted", "end"
    )


def _across_mark(x: float, text: str) -> str:
    return tag("path", d=f"M{x:.1f} {HEIGHT - BOTTOM}v5", class_="grid") + label(
        x, HEIGHT - BOTTOM + 19, text, "muted", "middle"
    )
