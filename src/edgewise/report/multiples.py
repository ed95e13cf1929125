"""The same chart many times, each with one line in front of all the others: for more lines than colours."""

from collections.abc import Sequence

from edgewise.report.curves import Line, Show, thinned
from edgewise.report.scale import Linear, value_steps
from edgewise.report.svg import extent, figure, group, hint, label, tag

WIDTH, HEIGHT = 210, 150
TOP, BOTTOM = 18, 22
MOST_POINTS = 60
MARKS = 4


def multiples(
    title: str, lines: Sequence[Line], show: Show, ceiling: float | None = None
) -> list[tuple[str, float, str]]:
    """For each line that has points its name, its last value and a chart; all on the same axes.

    ``show`` writes a value.  ``ceiling`` is a value the axis never passes (1 for accuracies).
    """
    drawn = [Line(line.name, thinned(line.points, MOST_POINTS), line.tone) for line in lines if line.points]
    if not drawn:
        return []
    epochs = [x for line in drawn for x, _ in line.points]
    values = [y for line in drawn for _, y in line.points]
    marks = value_steps(values, MARKS, ceiling)
    left = max(extent(show(mark)) for mark in marks) + 10
    first, last = min(epochs), max(epochs)
    aside = 0.5 if first == last else 0.0
    across = Linear(first - aside, last + aside, left, WIDTH - 8)
    up = Linear(marks[0], max(marks[-1], max(values)), HEIGHT - BOTTOM, TOP)
    grid = "".join(
        tag("path", d=f"M{left:.1f} {up(mark):.1f}H{WIDTH - 4}", class_="grid")
        + label(left - 8, up(mark) + 4, show(mark), "muted", "end")
        for mark in marks
    )
    ends = f"{first:g}", f"{last:g}"
    grid += label(across(first), HEIGHT - 4, ends[0], "muted", "middle")
    if first != last:
        grid += label(across(last) + 6, HEIGHT - 4, f"epoch {ends[1]}", "muted", "end")
    paths = ["L".join(f"{across(x):.1f} {up(y):.1f}" for x, y in line.points) for line in drawn]
    others = "".join(tag("path", d=f"M{path}", class_="other") for path in paths)
    return [
        (line.name, line.points[-1][1], _chart(title, line, grid + others, path, across, up, show))
        for line, path in zip(drawn, paths, strict=True)
    ]


def _chart(title: str, line: Line, ground: str, path: str, across: Linear, up: Linear, show: Show) -> str:
    x, y = line.points[-1]
    before = show(line.points[0][1])
    words = f"{before} after epoch {line.points[0][0]:g}, {show(y)} after epoch {x:g}."
    own = group(
        hint(f"{line.name}: {show(y)} in the last epoch"),
        tag("path", d=f"M{path}", class_="line t1"),
        tag("circle", cx=across(x), cy=up(y), r=3.5, class_="dot t1"),
    )
    return figure(WIDTH, HEIGHT, f"{title}, {line.name}", words, ground + own)
