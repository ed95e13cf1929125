"""What there is to choose from: backbones and methods, as plain values for a table or for JSON."""

import dataclasses
import inspect
import typing
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
    """One row a method: ``name``, ``title``, ``summary`` and its ``settings``."""
    return [
        {
            "name": name,
            "title": method.title,
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
    low, high = rule.get("low"), rule.get("high")
    if rule.get("choices"):
        values = ", ".join(map(str, rule["choices"]))
    elif kind is bool:
        values = "true, false"
    elif low is not None and high is not None:
        values = f"{low:g} to {high:g}"
    elif low is not None:
        values = f"{low:g} or more"
    else:
        values = getattr(kind, "__name__", str(kind))
    return {"name": field.name, "default": _text(field.default), "values": values, "help": rule.get("help", "")}


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) or value is None else f"{value:g}" if isinstance(value, float) else str(value)
