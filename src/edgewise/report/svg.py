"""SVG as text.  Every value passes through `tag`, which escapes it; colours are classes of the page's style."""

from html import escape
from typing import Literal
from unicodedata import east_asian_width

FONT = 13.5  # pixels, the largest at which the page's style sets the text of a figure
BOLD = 1.1  # how much wider bold text is


def tag(name: str, body: str = "", **attributes: str | float) -> str:
    """``tag("rect", x=1, class_="bar")`` → ``<rect x="1" class="bar"/>``; ``body`` is markup already."""
    shown = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_value(value))}"' for key, value in attributes.items()
    )
    return f"<{name}{shown}>{body}</{name}>" if body else f"<{name}{shown}/>"


def label(x: float, y: float, text: str, class_: str = "", anchor: str = "start", turn: float = 0) -> str:
    """Text with its baseline at (x, y), turned by ``turn`` degrees about that point."""
    turned: dict[str, str | float] = {"transform": f"rotate({turn:g} {_value(x)} {_value(y)})"} if turn else {}
    style: dict[str, str | float] = {"class_": class_} if class_ else {}
    return tag("text", escape(text), x=x, y=y, text_anchor=anchor, **style, **turned)


def group(*parts: str, **attributes: str | float) -> str:
    return tag("g", "".join(parts), **attributes)


def hint(text: str) -> str:
    """What a pointer resting on the enclosing group is told."""
    return tag("title", escape(text))


def figure(
    width: float,
    height: float,
    title: str,
    description: str,
    body: str,
    kind: Literal["chart", "sheet", "wide"] = "chart",
) -> str:
    """A whole picture of ``width`` × ``height`` units.

    ``title`` names it and ``description`` says in words what it shows, for those who cannot see it.
    A ``chart`` fills the room it gets, a ``sheet`` only shrinks to it, and where a ``wide`` one does
    not fit it is scrolled in its box.
    """
    head = tag("title", escape(title)) + tag("desc", escape(description))
    return tag(
        "svg",
        head + body,
        xmlns="http://www.w3.org/2000/svg",
        class_=f"figure {kind}",
        role="img",
        aria_label=f"{title}. {description}",
        viewBox=f"0 0 {_value(width)} {_value(height)}",
        width=width,
        height=height,
    )


def extent(text: str, size: float = FONT) -> float:
    """About how many pixels ``text`` is wide, for the widest of the page's fonts."""
    return size * sum(map(_advance, text))


def clipped(text: str, room: float, size: float = FONT) -> str:
    """``text``, cut with an ellipsis where it would be wider than ``room`` pixels."""
    if extent(text, size) <= room:
        return text
    kept = text
    while kept and extent(kept + "…", size) > room:
        kept = kept[:-1]
    return kept.rstrip() + "…"


def _advance(character: str) -> float:
    """Width in ems."""
    if east_asian_width(character) in "WF":
        return 1.0
    if character in "fijlrtI.,:;'|!()[]/- ":
        return 0.4
    if character in "mwMW%@":
        return 0.95
    return 0.7 if character.isupper() else 0.63


def _value(value: str | float) -> str:
    return value if isinstance(value, str) else f"{round(value, 2):g}" if abs(value) < 1e5 else f"{value:.0f}"
