"""Accuracy against size: what a method gives and what it weighs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgewise.report.placing import Box, Place, beside, free, inside
from edgewise.report.scale import Linear, Log, ratio_steps, steps
from edgewise.report.svg import clipped, extent, figure, group, hint, label, tag

WIDTH, HEIGHT = 400, 270
LEFT, RIGHT, TOP, BOTTOM = 60, 28, 16, 46


@dataclass(frozen=True)
class Point:
    """A method at (``x`` > 0, ``y``), with the interval ``low``..``high`` of ``y``.  ``tone`` 1-4."""

    name: str
    x: float
    y: float
    low: float
    high: float
    tone: int


def scatter(
    title: str, points: Sequence[Point], x_name: str, show_x: Callable[[float], str], show_y: Callable[[float], str]
) -> str:
    """``points`` over a logarithmic horizontal axis, each with its interval as a whisker."""
    across_marks = ratio_steps([point.x for point in points])
    up_marks = steps(min(p.low for p in points), max(p.high for p in points))
    across = Log(across_marks[0], across_marks[-1], LEFT, WIDTH - RIGHT)
    up = Linear(up_marks[0], up_marks[-1], HEIGHT - BOTTOM, TOP)
    body = []
    for mark in up_marks:
        body.append(tag("path", d=f"M{LEFT} {up(mark):.1f}H{WIDTH - RIGHT}", class_="grid"))
        body.append(label(LEFT - 8, up(mark) + 4, show_y(mark), "muted", "end"))
    for mark in _sparse(across_marks, across):
        body.append(tag("path", d=f"M{across(mark):.1f} {HEIGHT - BOTTOM}v5", class_="grid"))
        body.append(label(across(mark), HEIGHT - BOTTOM + 19, show_x(mark), "muted", "middle"))
    body.append(label((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, x_name, "muted", "middle"))
    taken: list[Box] = [(across(p.x) - 7, up(p.high), across(p.x) + 7, up(p.low)) for p in points]
    for point in points:
        body.append(_point(point, across(point.x), up, show_x, show_y, taken))
    words = "; ".join(f"{p.name}: {show_y(p.y)} with {show_x(p.x)}" for p in points)
    return figure(WIDTH, HEIGHT, title, f"{words}.", "".join(body))


def _point(
    point: Point,
    x: float,
    up: Linear,
    show_x: Callable[[float], str],
    show_y: Callable[[float], str],
    taken: list[Box],
) -> str:
    y, top, bottom = up(point.y), up(point.high), up(point.low)
    name = clipped(point.name, 140)
    place = _spot(x, y, top, bottom, extent(name), taken)
    return group(
        hint(f"{point.name}: {show_y(point.y)} ({show_y(point.low)} to {show_y(point.high)}), {show_x(point.x)}"),
        tag(
            "path",
            d=f"M{x:.1f} {top:.1f}V{bottom:.1f}M{x - 4:.1f} {top:.1f}h8M{x - 4:.1f} {bottom:.1f}h8",
            class_=f"whisker t{point.tone}",
        ),
        _shape(point.tone, x, y),
        label(place.x, place.y, name, f"name t{point.tone}", place.anchor),
    )


def _shape(tone: int, x: float, y: float) -> str:
    """Each tone has its own form, so that the colour is never the only difference."""
    style = f"dot t{tone}"
    if tone == 1:
        return tag("circle", cx=x, cy=y, r=6, class_=style)
    if tone == 2:
        return tag("rect", x=x - 5.5, y=y - 5.5, width=11, height=11, class_=style)
    if tone == 3:
        return tag("path", d=f"M{x:.1f} {y - 7.5:.1f}l7 12.5h-14z", class_=style)
    return tag("path", d=f"M{x:.1f} {y - 7.5:.1f}l7.5 7.5l-7.5 7.5l-7.5 -7.5z", class_=style)


def _spot(x: float, y: float, top: float, bottom: float, width: float, taken: list[Box]) -> Place:
    """Where the name goes: the first place beside the point that is free and inside."""
    places, frame = list(beside(x, y, top, bottom, width)), (LEFT, 0, WIDTH, HEIGHT - BOTTOM)
    fitting = [place for place in places if free(place, frame, taken)]
    place = (fitting or [place for place in places if inside(place, frame)] or places)[0]
    taken.append(place.box)
    return place


def _sparse(marks: Sequence[float], across: Log, gap: float = 68) -> list[float]:
    """The marks whose texts do not touch, from the left."""
    kept: list[float] = []
    for mark in marks:
        if not kept or across(mark) - across(kept[-1]) >= gap:
            kept.append(mark)
    return kept
