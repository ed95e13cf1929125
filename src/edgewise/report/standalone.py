"""Figures as a file of their own: the page's light colours written out, on a light ground.

For documentation: a README shows such a file as an image, in a light and in a dark frame alike.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files

from edgewise.report.svg import label, tag

EDGE, HEADING = 18, 30  # units around every figure, and above it for its heading


@dataclass(frozen=True)
class Placed:
    """The SVG of a figure, its heading, and its size in units."""

    heading: str
    svg: str
    width: float
    height: float


def standalone(title: str, rows: Sequence[Sequence[Placed]]) -> str:
    """``rows`` of figures from left to right; the text of an SVG file."""
    parts, y = [], 0.0
    for row in rows:
        x = 0.0
        for one in row:
            parts.append(label(x + EDGE, y + EDGE + 16, one.heading, "heading"))
            parts.append(tag("g", one.svg, transform=f"translate({x + EDGE:g} {y + EDGE + HEADING:g})"))
            x += one.width + 2 * EDGE
        y += max(one.height for one in row) + HEADING + 2 * EDGE
    width = max(sum(one.width + 2 * EDGE for one in row) for row in rows)
    ground = tag("rect", width=width, height=y, rx=8, class_="ground")
    return (
        tag(
            "svg",
            tag("title", escape(title)) + tag("style", _style()) + ground + tag("g", "".join(parts), class_="figure"),
            xmlns="http://www.w3.org/2000/svg",
            viewBox=f"0 0 {width:g} {y:g}",
            width=width,
            height=y,
        )
        + "\n"
    )


def _style() -> str:
    """The rules for what lies in a figure, with every colour in numbers: not every viewer knows variables."""
    sheet = (files("edgewise.report") / "templates" / "style.css.j2").read_text(encoding="utf-8")
    light = sheet.partition("}")[0]
    values = dict(re.findall(r"--([\w-]+): ([^;]+);", light))
    rules = [line for line in sheet.splitlines() if line.startswith(".figure ") and not line.startswith(".figure {")]
    rules += [".figure text.heading { font-size: 15px; font-weight: 650; }", ".ground { fill: var(--card); }"]
    return re.sub(r"var\(--([\w-]+)\)", lambda match: values[match[1]], "\n".join(rules))
