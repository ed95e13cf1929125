"""How often values occur, with a threshold: what lies below it in one colour, what lies above in another."""

from collections.abc import Sequence
from math import ceil, floor

from edgewise.report.scale import Linear, steps
from edgewise.report.svg import extent, figure, group, hint, label, tag

WIDTH, HEIGHT = 400, 236
TOP, BOTTOM, RIGHT = 34, 42, 10
BINS = 28
BELOW, ABOVE = 2, 1  # tones


def histogram(title: str, values: Sequence[float], x_name: str, counted: str, threshold: float | None) -> str:
    """``values`` (zero or more) in `BINS` columns from 0; ``counted`` is what they are (``"groups"``).

    A column ends at ``threshold`` exactly, so that none has two colours; without one all are ``ABOVE``.
    Raises `ValueError` when there is nothing to count.
    """
    if not values:
        raise ValueError(f"there is nothing to draw in {title!r}")
    width = _width(max(values), threshold)
    counts = [0] * (floor(max(values) / width) + 1)
    for value in values:
        counts[floor(value / width)] += 1
    marks = steps(0.0, max(counts), 5, whole=True)
    places = steps(0.0, width * len(counts), 7)
    left = max(extent(f"{mark:g}") for mark in marks) + 12
    across = Linear(0.0, max(width * len(counts), places[-2]), left, WIDTH - RIGHT)
    up = Linear(0.0, marks[-1], HEIGHT - BOTTOM, TOP)
    body = [
        *(
            tag("path", d=f"M{left:.1f} {up(mark):.1f}H{WIDTH - RIGHT}", class_="grid")
            + label(left - 8, up(mark) + 4, f"{mark:g}", "muted", "end")
            for mark in marks
        ),
        *(
            label(across(place), HEIGHT - BOTTOM + 18, f"{place:g}", "muted", "middle")
            for place in places
            if across(place) <= WIDTH - RIGHT
        ),
        label((left + WIDTH - RIGHT) / 2, HEIGHT - 6, x_name, "muted", "middle"),
        *(_column(index, count, width, threshold, counted, across, up) for index, count in enumerate(counts) if count),
        "" if threshold is None else _threshold(threshold, across),
    ]
    words = f"{len(values)} {counted}, {x_name} from {min(values):.3g} to {max(values):.3g}."
    if threshold is not None:
        words += f" {sum(value < threshold for value in values)} lie below the threshold {threshold:.3g}."
    return figure(WIDTH, HEIGHT, title, words, "".join(body))


def _width(most: float, threshold: float | None) -> float:
    """Of a column: about `BINS` up to ``most``, a whole number of them up to ``threshold``."""
    plain = most / BINS or 1.0
    if not threshold or threshold > 4 * (most or 1.0):
        return plain
    return threshold / ceil(threshold / plain)


def _column(
    index: int, count: int, width: float, threshold: float | None, counted: str, across: Linear, up: Linear
) -> str:
    tone = ABOVE if threshold is None or (index + 0.5) * width > threshold else BELOW
    x, right = across(index * width), across((index + 1) * width)
    y = min(up(count), up(0) - 1)
    return group(
        hint(f"{index * width:.3g} to {(index + 1) * width:.3g}: {count} {counted}"),
        tag("rect", x=x + 0.5, y=y, width=right - x - 1, height=up(0) - y, class_=f"bar t{tone}"),
    )


def _threshold(value: float, across: Linear) -> str:
    x, words = across(value), f"threshold {value:.3g}"
    if x > across.stop + 0.5:
        return label(across.stop, TOP - 14, f"{words}, beyond", "muted small", "end")
    middle = min(max(x, extent(words) / 2), WIDTH - extent(words) / 2)
    line = tag("path", d=f"M{x:.1f} {TOP - 8}V{HEIGHT - BOTTOM}", class_="marker")
    return line + label(middle, TOP - 14, words, "muted small", "middle")
