"""Two amounts as two squares, the smaller in a corner of the larger: what a factor of twenty looks like."""

from math import sqrt

from edgewise.report.svg import figure, label, tag

SIDE, EDGE = 240.0, 1.0
WIDTH, HEIGHT = 400, 262


def areas(title: str, whole: tuple[float, str, str], part: tuple[float, str, str]) -> str:
    """``whole`` and ``part`` are each an amount, its text (``"1.08 MB"``) and a name; ``part`` is the smaller."""
    share = sqrt(min(1.0, part[0] / whole[0]))
    left, side = (WIDTH - SIDE) / 2 - 60, SIDE * share
    top = HEIGHT - SIDE - EDGE
    x = left + SIDE + 14
    body = [
        tag("rect", x=left, y=top, width=SIDE, height=SIDE, rx=4, class_="track"),
        tag("rect", x=left, y=top + SIDE - side, width=side, height=side, rx=min(4.0, side / 6), class_="bar t1"),
        label(x, top + 15, whole[2], "muted"),
        label(x, top + 33, whole[1], "value"),
        tag("path", d=f"M{left + side + 5:.1f} {top + SIDE - side / 2:.1f}H{x - 6:.1f}", class_="leader"),
        label(x, top + SIDE - side / 2 - 5, part[2], "muted"),
        label(x, top + SIDE - side / 2 + 13, part[1], "value"),
    ]
    words = f"{whole[2]} {whole[1]}, {part[2]} {part[1]}."
    return figure(WIDTH, HEIGHT, title, words, "".join(body))
