"""Horizontal bars: a name, a length, a value."""

from collections.abc import Sequence
from dataclasses import dataclass

from edgewise.report.svg import clipped, extent, figure, group, hint, label, tag

WIDTH, ROW, MOST_NAME = 400, 26, 140


@dataclass(frozen=True)
class Bar:
    """``share`` (0-1) of the full length; None draws no bar, only ``text``.  ``tone`` 1-4 is the colour."""

    name: str
    share: float | None
    text: str
    tone: int = 1
    note: str = ""


def bars(title: str, rows: Sequence[Bar], named: str = "") -> str:
    """``rows`` from top to bottom; ``named`` says in words what the lengths are."""
    names = min(float(MOST_NAME), max(extent(row.name) for row in rows))
    gutter = names + 10
    text = max(extent(row.text) for row in rows) + 14
    room = WIDTH - gutter - text
    parts = []
    for index, row in enumerate(rows):
        y = index * ROW
        lengths = ""
        if row.share is not None:
            length = max(room * row.share, 2.0 if row.share else 0.0)
            lengths = tag("rect", x=gutter, y=y + 8, width=room, height=10, rx=5, class_="track") + (
                tag(
                    "rect",
                    x=gutter,
                    y=y + 8,
                    width=length,
                    height=10,
                    rx=min(5.0, length / 2),
                    class_=f"bar t{row.tone}",
                )
                if length
                else ""
            )
        parts.append(
            group(
                hint(row.note or f"{row.name}: {row.text}"),
                label(gutter - 10, y + 17, clipped(row.name, names), "", "end"),
                lengths,
                label(WIDTH, y + 17, row.text, "value", "end"),
            )
        )
    words = "; ".join(f"{row.name} {row.text}" for row in rows[:40])
    return figure(WIDTH, ROW * len(rows), title, f"{named} {words}.".strip(), "".join(parts))
