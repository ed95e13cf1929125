"""A frozen dataclass is the settings, their validation, their file and their help.

Fields carry ``metadata={"help": …, "low": …, "high": …, "choices": …}``; `check` reports every
fault at once, in the spelling the user typed.
"""

import dataclasses
import math
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from edgewise.core.errors import UsageError, unknown

Settings = TypeVar("Settings")


def setting(
    default: Any,
    help: str,
    low: float | None = None,
    high: float | None = None,
    choices: Sequence[str | int] | None = None,
    start: bool = False,
) -> Any:
    """A dataclass field with its help and its range (both ends included).

    ``start``: it says what training starts from, so what was trained can be opened without it.
    """
    rules = {"help": help, "low": low, "high": high, "choices": choices, "start": start}
    return dataclasses.field(default=default, metadata=rules)


def without_start(settings: Settings) -> Settings:
    """A copy whose ``start`` fields have their defaults."""
    fields = (field for field in dataclasses.fields(settings) if field.metadata.get("start"))  # type: ignore[arg-type]
    return dataclasses.replace(settings, **{field.name: field.default for field in fields})  # type: ignore[type-var]


def check(settings: Any, what: str = "") -> None:
    """Raise `UsageError` naming every field of ``what`` (the class's name) whose value is out of its range."""
    faults = []
    for field in dataclasses.fields(settings):
        value, rule = getattr(settings, field.name), field.metadata
        low, high, choices = rule.get("low"), rule.get("high"), rule.get("choices")
        if choices and value not in choices:
            faults.append(f"{field.name} is {value!r}; choose one of {', '.join(map(str, choices))}")
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            below = low is not None and value < low
            above = high is not None and value > high
            if not math.isfinite(value):
                faults.append(f"{field.name} is {value!r}; it must be a finite number")
            elif below or above:
                limits = (
                    f"from {low:g} to {high:g}"
                    if low is not None and high is not None
                    else (f"at least {low:g}" if low is not None else f"at most {high:g}")
                )
                faults.append(f"{field.name} is {value!r}; it must be {limits}")
    if faults:
        raise UsageError(f"{what or type(settings).__name__}: " + "; ".join(faults) + ".")


def with_texts(settings: Settings, texts: Mapping[str, str]) -> Settings:
    """A copy with fields set from text, as ``--set name=value`` gives them."""
    hints = typing.get_type_hints(type(settings))
    known = {field.name for field in dataclasses.fields(settings) if field.init}  # type: ignore[arg-type]
    values = {}
    for name, text in texts.items():
        key = name.replace("-", "_")
        if key not in known:
            raise unknown(f"setting of {type(settings).__name__}", name, known)
        values[key] = _parsed(name, text, hints[key])
    return dataclasses.replace(settings, **values)  # type: ignore[type-var]


def parse_assignments(assignments: Sequence[str]) -> dict[str, str]:
    """``["connect=up"]`` → ``{"connect": "up"}``; raises `UsageError` where the ``=`` is missing."""
    pairs = {}
    for text in assignments:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"--set {text!r} has no value; write --set name=value, such as --set connect=up.")
        pairs[name.strip()] = value.strip()
    return pairs


def _parsed(name: str, text: str, kind: Any) -> Any:
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        members = typing.get_args(kind)
        if type(None) in members and text.lower() in ("none", ""):
            return None
        return _parsed(name, text, next(k for k in members if k is not type(None)))
    if origin is typing.Literal or kind is str:
        return text
    if kind is bool:
        if text.lower() in ("true", "yes", "on", "1"):
            return True
        if text.lower() in ("false", "no", "off", "0"):
            return False
        raise UsageError(f"{name}={text!r} is neither true nor false.")
    try:
        return kind(text)
    except ValueError:
        noun = {int: "a whole number", float: "a number"}.get(kind, f"a {kind.__name__}")
        raise UsageError(f"{name}={text!r} is not {noun}.") from None
