"""One accuracy on the way from 0 to 100 %, with its interval and what guessing would give."""

from edgewise.core.units import percent
from edgewise.report.page import between
from edgewise.report.scale import Linear
from edgewise.report.svg import figure, group, hint, label, tag

WIDTH, HEIGHT, EDGE = 340, 96, 10


def gauge(title: str, accuracy: float, low: float, high: float, guessing: float) -> str:
    """All values from 0 to 1; ``low``..``high`` is the interval drawn around ``accuracy``."""
    across = Linear(0, 1, EDGE, WIDTH - EDGE)
    y = 50
    guess_end = "start" if guessing < 0.2 else "end" if guessing > 0.8 else "middle"
    words = (
        f"{percent(accuracy)} right, 95 % interval {percent(low)} to {percent(high)}; "
        f"always answering the most frequent class gives {percent(guessing)}."
    )
    body = [
        tag("rect", x=EDGE, y=y - 6, width=WIDTH - 2 * EDGE, height=12, rx=6, class_="track"),
        tag("rect", x=EDGE, y=y - 6, width=max(12.0, across(accuracy) - EDGE), height=12, rx=6, class_="bar t1"),
        group(
            hint(f"95 % interval: {percent(low)} to {percent(high)}"),
            tag("path", d=f"M{across(low):.1f} {y - 13}v26M{across(high):.1f} {y - 13}v26", class_="limit"),
            tag("path", d=f"M{across(low):.1f} {y}H{across(high):.1f}", class_="limit"),
        ),
        tag("path", d=f"M{across(guessing):.1f} {y - 13}v32", class_="marker"),
        label(across(guessing), y + 34, f"guessing {percent(guessing)}", "muted", guess_end),
        label(
            min(max(across((low + high) / 2), 90), WIDTH - 90),
            y - 22,
            between(low, high),
            "value",
            "middle",
        ),
    ]
    return figure(WIDTH, HEIGHT, title, words, "".join(body))
