"""All layers of a network side by side: as wide as it has groups, and filled as high as they are stored."""

from collections.abc import Sequence
from dataclasses import dataclass

from edgewise.core.units import percent
from edgewise.report.scale import Linear
from edgewise.report.svg import extent, figure, group, hint, label, tag

WIDTH, HEIGHT = 1000, 250
TOP, BOTTOM, LEFT, RIGHT = 12, 40, 54, 4
GAP = 1.5
MARKS = (0.0, 0.5, 1.0)


@dataclass(frozen=True)
class Column:
    """A layer with so many ``groups``, of which ``stored`` are not absent."""

    name: str
    groups: int
    stored: int


def depth(title: str, columns: Sequence[Column]) -> str:
    """``columns`` from the first layer to the last.  Filled area is what is stored, all area what there was.

    Raises `ValueError` when there is no column.
    """
    if not columns:
        raise ValueError(f"there is nothing to draw in {title!r}")
    groups = sum(column.groups for column in columns)
    stored = sum(column.stored for column in columns)
    room = WIDTH - LEFT - RIGHT - GAP * (len(columns) - 1)
    up = Linear(0.0, 1.0, HEIGHT - BOTTOM, TOP)
    parts = [
        tag("path", d=f"M{LEFT - 4} {up(mark):.1f}h4", class_="grid")
        + label(LEFT - 9, up(mark) + 4, f"{100 * mark:g} %", "muted", "end")
        for mark in MARKS
    ]
    x, free = float(LEFT), float(LEFT)
    for column in columns:
        width = room * column.groups / groups
        y = up(column.stored / column.groups)
        parts.append(
            group(
                hint(f"{column.name}: {column.stored:,} of {column.groups:,} groups stored"),
                tag("rect", x=x, y=TOP, width=width, height=HEIGHT - BOTTOM - TOP, class_="track"),
                tag("rect", x=x, y=y, width=width, height=HEIGHT - BOTTOM - y, class_="bar t1"),
            )
        )
        if x >= free and x + extent(column.name, 11) <= WIDTH:
            parts.append(tag("path", d=f"M{x + 0.5:.1f} {HEIGHT - BOTTOM + 2}v5", class_="leader"))
            parts.append(label(x, HEIGHT - BOTTOM + 18, column.name, "muted small"))
            free = x + extent(column.name, 11) + 12
        x += width + GAP
    parts.append(label((LEFT + WIDTH) / 2, HEIGHT - 4, "layers, from the image to the answer", "muted", "middle"))
    words = f"{stored:,} of {groups:,} groups are stored, {percent(stored / groups)}. " + "; ".join(
        f"{column.name} {percent(column.stored / column.groups)}" for column in columns
    )
    return figure(WIDTH, HEIGHT, title, f"{words}.", "".join(parts), "wide")
