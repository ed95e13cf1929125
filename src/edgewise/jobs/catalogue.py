"""What there is to choose from: backbones and methods, as plain values for a table or for JSON."""

import dataclasses
import inspect
import typing
from collections.abc import Sequence
from typing import Any

from edgewise.adapt import METHODS
from edgewise.backbones import FAMILIES


def models() -> list[dict[str, Any]]:
    """One row a backbone: ``name``, ``description``, ``size`` in pixels, ``weights`` (do they ship?)."""
    return [
        {"name": name, "description": family.description, "size": family.size, "weights": family.weights is not None}
        for name, family in FAMILIES.items()
    ]


def methods() -> list[dict[str, Any]]:
    """One row a method: ``name``, ``title``, ``grade``, ``summary`` and its ``settings``."""
    return [
        {
            "name": name,
            "title": method.title,
            "grade": method.grade,
            "summary": (inspect.getdoc(method) or "").split("\n\n")[0].replace("\n", " ").replace("``", ""),
            "settings": [_setting(field, kind) for field, kind in _fields(method)],
        }
        for name, method in METHODS.items()
    ]


def _fields(method: type) -> list[tuple[dataclasses.Field[Any], Any]]:
    hints = typing.get_type_hints(method)
    return [(field, hints[field.name]) for field in dataclasses.fields(method)]


def _setting(field: dataclasses.Field[Any], kind: Any) -> dict[str, str]:
    """``name, default, values, help``, all text as ``--set`` takes it."""
    rule = field.metadata
    return {
        "name": field.name,
        "default": _text(field.default),
        "values": _values(kind, rule.get("choices"), rule.get("low"), rule.get("high")),
        "help": rule.get("help", ""),
    }


def _values(kind: Any, choices: Sequence[str] | None, low: float | None, high: float | None) -> str:
    if choices:
        return ", ".join(choices)
    if kind is bool:
        return "true, false"
    if low is not None:
        return f"{low:g} to {high:g}" if high is not None else f"{low:g} or more"
    return f"up to {high:g}" if high is not None else "text" if kind is str else "a number"


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)
