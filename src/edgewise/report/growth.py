"""How a quantity grows with another: lines over it, with a dot at every value that was computed."""

from collections.abc import Sequence

from edgewise.report.curves import Line
from edgewise.report.scale import Linear, steps
from edgewise.report.svg import extent, figure, group, hint, label, tag

WIDTH, HEIGHT = 400, 260
TOP, BOTTOM, RIGHT = 36, 42, 12
MOST_DOTS = 12  # above that the line alone says it


def growth(title: str, lines: Sequence[Line], x_name: str, unit: str, marked: float | None = None) -> str:
    """``lines`` over ``x_name``; ``unit`` is that of the values (``"MB"``), whose axis begins at 0.

    ``marked`` is the value of ``x_name`` that the page is about.  Lines without points are left out;
    raises `ValueError` when none has any.
    """
    drawn = [line for line in lines if line.points]
    if not drawn:
        raise ValueError(f"there is nothing to draw in {title!r}")
    places = sorted({x for line in drawn for x, _ in line.points})
    marks = steps(0.0, max(y for line in drawn for _, y in line.points))
    left = max(extent(f"{mark:g} {unit}") for mark in marks) + 10
    first, last = places[0], places[-1]
    # Where the places lie far from 0, the room up to there would only press them together.
    begin = max(0.0, first - 0.08 * (last - first)) if first > 0.2 * last else 0.0
    across = Linear(begin, last if last > begin else begin + 1, left, WIDTH - RIGHT)
    up = Linear(0, marks[-1], HEIGHT - BOTTOM, TOP)
    shown = places if len(places) <= MOST_DOTS else [x for x in steps(0, places[-1], 7, whole=True) if x <= places[-1]]
    body = [
        *(_up_mark(up(mark), left, f"{mark:g} {unit}") for mark in marks),
        *(
            label(across(x), HEIGHT - BOTTOM + 18, f"{x:g}", "muted" if x != marked else "value", "middle")
            for x in _sparse(shown, across, marked)
        ),
        label((left + WIDTH - RIGHT) / 2, HEIGHT - 6, x_name, "muted", "middle"),
        "" if marked is None else tag("path", d=f"M{across(marked):.1f} {TOP - 6}V{HEIGHT - BOTTOM}", class_="marker"),
        *(_line(line, across, up, unit) for line in drawn),
        *_names(drawn),
    ]
    words = "; ".join(
        f"{line.name} from {line.points[0][1]:.3g} {unit} at {line.points[0][0]:g} "
        f"to {line.points[-1][1]:.3g} {unit} at {line.points[-1][0]:g}"
        for line in drawn
    )
    return figure(WIDTH, HEIGHT, title, f"Against {x_name}: {words}.", "".join(body))


def _line(line: Line, across: Linear, up: Linear, unit: str) -> str:
    path = "L".join(f"{across(x):.1f} {up(y):.1f}" for x, y in line.points)
    dots = line.points if len(line.points) <= MOST_DOTS else ()
    return group(
        tag("path", d=f"M{path}", class_=f"line t{line.tone}"),
        *(
            group(
                hint(f"{line.name} at {x:g}: {y:,.4g} {unit}"),
                tag("circle", cx=across(x), cy=up(y), r=3.5, class_=f"dot t{line.tone}"),
            )
            for x, y in dots
        ),
    )


def _names(lines: Sequence[Line]) -> list[str]:
    """The lines' names in a row above the plot, each behind a piece of its line."""
    parts, x = [], 0.0
    for line in lines:
        parts.append(tag("path", d=f"M{x:.1f} 11h24", class_=f"line t{line.tone}"))
        parts.append(label(x + 31, 15, line.name, f"name t{line.tone}"))
        x += 31 + extent(line.name) + 18
    return parts


def _up_mark(y: float, left: float, text: str) -> str:
    return tag("path", d=f"M{left:.1f} {y:.1f}H{WIDTH - RIGHT}", class_="grid") + label(
        left - 8, y + 4, text, "muted", "end"
    )


def _sparse(places: Sequence[float], across: Linear, marked: float | None) -> list[float]:
    """The places whose numbers do not touch; the marked one first, then from the right."""
    kept: list[float] = []
    for x in sorted(places, key=lambda x: (x != marked, -x)):
        if all(abs(across(x) - across(other)) >= (extent(f"{x:g}") + extent(f"{other:g}")) / 2 + 6 for other in kept):
            kept.append(x)
    return kept
