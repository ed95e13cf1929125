"""Lines over epochs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from edgewise.report.scale import Linear, steps, value_steps
from edgewise.report.svg import BOLD, clipped, extent, figure, group, hint, label, tag

WIDTH, HEIGHT = 400, 248
TOP, BOTTOM = 24, 42
MOST_NAME = 136
MOST_POINTS = 300  # more than the pixels of a line would only make the page heavy

Show = Callable[[float], str]


@dataclass(frozen=True)
class Line:
    """A named line through (epoch, value) points.  ``tone`` 1-4 picks its colour and dash."""

    name: str
    points: tuple[tuple[float, float], ...]
    tone: int


@dataclass(frozen=True)
class _Frame:
    """Where epochs and values lie, how values are written, and the epoch to point out."""

    across: Linear
    up: Linear
    show: Show
    marked: float | None

    @property
    def left(self) -> float:
        return self.across.start

    @property
    def right(self) -> float:
        return self.across.stop


def curves(
    title: str, lines: Sequence[Line], show: Show, marked: float | None = None, ceiling: float | None = None
) -> str:
    """A chart of ``lines``; ``show`` writes a value, ``marked`` is the epoch to point out.

    ``ceiling`` is a value the axis never passes (1 for accuracies).  Lines without points are left
    out.  Raises `ValueError` when no line has any.
    """
    drawn = [Line(line.name, thinned(line.points), line.tone) for line in lines if line.points]
    if not drawn:
        raise ValueError(f"there is nothing to draw in {title!r}")
    epochs = [x for line in drawn for x, _ in line.points]
    values = [y for line in drawn for _, y in line.points]
    marks = value_steps(values, ceiling=ceiling)
    left = max(extent(show(mark)) for mark in marks) + 10
    names = min(float(MOST_NAME), BOLD * max(extent(line.name) for line in drawn)) + 18
    first, last = min(epochs), max(epochs)
    aside = 0.5 if first == last else 0.0
    frame = _Frame(
        across=Linear(first - aside, last + aside, left, WIDTH - names),
        up=Linear(marks[0], max(marks[-1], max(values)), HEIGHT - BOTTOM, TOP),
        show=show,
        marked=marked if marked is not None and first <= marked <= last else None,
    )
    body = [
        *(_value_mark(frame, mark) for mark in marks),
        *(_epoch_mark(frame, mark) for mark in steps(first, last, 7, whole=True) if first <= mark <= last),
        label((frame.left + frame.right) / 2, HEIGHT - 6, "epoch", "muted", "middle"),
        _best(frame),
    ]
    heights = _apart([frame.up(line.points[-1][1]) for line in drawn])
    body += [_line(frame, line, height) for line, height in zip(drawn, heights, strict=True)]
    return figure(WIDTH, HEIGHT, title, _in_words(frame, drawn), "".join(body))


def _line(frame: _Frame, line: Line, height: float) -> str:
    """The line, its marked and last points, and its name at ``height`` beside the end."""
    path = "L".join(f"{frame.across(x):.1f} {frame.up(y):.1f}" for x, y in line.points)
    x, y = frame.across(line.points[-1][0]), frame.up(line.points[-1][1])
    rings = (
        tag("circle", cx=frame.across(epoch), cy=frame.up(value), r=4.5, class_=f"ring t{line.tone}")
        for epoch, value in line.points
        if epoch == frame.marked
    )
    leader = tag("path", d=f"M{x + 5:.1f} {y:.1f}L{frame.right + 13:.1f} {height:.1f}", class_="leader")
    return group(
        hint(f"{line.name}: {frame.show(line.points[-1][1])} in the last epoch"),
        tag("path", d=f"M{path}", class_=f"line t{line.tone}"),
        tag("circle", cx=x, cy=y, r=3, class_=f"dot t{line.tone}"),
        *rings,
        leader if abs(height - y) > 3 else "",
        label(frame.right + 16, height + 4, clipped(line.name, MOST_NAME), f"name t{line.tone}"),
    )


def _value_mark(frame: _Frame, value: float) -> str:
    y = frame.up(value)
    return tag("path", d=f"M{frame.left:.1f} {y:.1f}H{frame.right:.1f}", class_="grid") + label(
        frame.left - 8, y + 4, frame.show(value), "muted", "end"
    )


def _epoch_mark(frame: _Frame, epoch: float) -> str:
    return label(frame.across(epoch), HEIGHT - BOTTOM + 18, f"{epoch:g}", "muted", "middle")


def _best(frame: _Frame) -> str:
    if frame.marked is None:
        return ""
    x = frame.across(frame.marked)
    words = f"best epoch {frame.marked:g}"
    middle = min(max(x, extent(words) / 2), WIDTH - extent(words) / 2)
    line = tag("path", d=f"M{x:.1f} {TOP - 6}V{HEIGHT - BOTTOM}", class_="marker")
    return line + label(middle, TOP - 11, words, "muted small", "middle")


def thinned(points: tuple[tuple[float, float], ...], most: int = MOST_POINTS) -> tuple[tuple[float, float], ...]:
    """At most ``most`` of ``points``, evenly, the first and the last among them."""
    if len(points) <= most:
        return points
    last = len(points) - 1
    return tuple(points[round(index * last / (most - 1))] for index in range(most))


def _apart(heights: Sequence[float], gap: float = 16) -> list[float]:
    """Heights for the names at the lines' ends, moved so that none covers another."""
    order = sorted(range(len(heights)), key=heights.__getitem__)
    placed = list(heights)
    for above, below in pairwise(order):
        placed[below] = max(placed[below], placed[above] + gap)
    placed[order[-1]] = min(placed[order[-1]], float(HEIGHT - BOTTOM))
    for below, above in pairwise(order[::-1]):
        placed[above] = min(placed[above], placed[below] - gap)
    return placed


def _in_words(frame: _Frame, lines: Sequence[Line]) -> str:
    show = frame.show
    parts = [f"{line.name} from {show(line.points[0][1])} to {show(line.points[-1][1])}" for line in lines]
    best = f" Best epoch: {frame.marked:g}." if frame.marked is not None else ""
    return f"Over the epochs: {'; '.join(parts)}.{best}"
