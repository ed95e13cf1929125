"""The layout all pages share, and how a page is put together."""

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from edgewise.core.units import duration, megabytes, percent


def whole(count: float) -> str:
    """``1234567`` → ``"1,234,567"``."""
    return f"{count:,.0f}"


def unbroken(text: str) -> str:
    """``text`` that no line break parts: a number stays with its unit."""
    return text.replace(" ", "\u00a0")


def between(low: float, high: float) -> str:
    """``(0.836, 0.902)`` → ``"83.6 to 90.2 %"``."""
    return unbroken(f"{100 * low:.1f} to {100 * high:.1f} %")


_PAGES = Environment(
    loader=PackageLoader("edgewise.report"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_PAGES.filters.update(
    percent=lambda value: unbroken(percent(value)),
    megabytes=lambda value: unbroken(megabytes(value)),
    duration=lambda value: unbroken(duration(value)),
    whole=whole,
)


def render(template: str, context: Mapping[str, Any]) -> str:
    """The page ``templates/TEMPLATE`` with everything in ``context`` escaped, figures (``|safe``) excepted."""
    return _PAGES.get_template(template).render(context) + "\n"
