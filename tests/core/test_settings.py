"""Settings that check themselves and are set from text."""

import math
from dataclasses import dataclass
from typing import Literal

import pytest

from edgewise.core.errors import UsageError
from edgewise.core.settings import check, parse_assignments, setting, with_texts


@dataclass(frozen=True)
class Oven:
    heat: float = setting(180.0, "degrees", low=50, high=300)
    trays: int = setting(1, "trays", low=1)
    cold: float = setting(-1.0, "degrees below", high=0)
    free: float = setting(0.0, "anything")
    mode: str = setting("fan", "how", choices=("fan", "grill"))
    wire: Literal["up", "down"] = setting("up", "where", choices=("up", "down"))
    light: bool = setting(True, "light")
    minutes: int | None = setting(None, "minutes", low=1)

    def __post_init__(self) -> None:
        check(self)


def test_every_fault_is_named_at_once() -> None:
    with pytest.raises(UsageError) as caught:
        Oven(heat=20.0, trays=0, cold=5, mode="steam", minutes=0)
    assert str(caught.value) == (
        "Oven: heat is 20.0; it must be from 50 to 300; trays is 0; it must be at least 1; "
        "cold is 5; it must be at most 0; mode is 'steam'; choose one of fan, grill; "
        "minutes is 0; it must be at least 1."
    )


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["heat", "trays", "free"])
def test_numbers_are_finite(name: str, value: float) -> None:
    with pytest.raises(UsageError, match=f"Oven: {name} is {value!r}; it must be a finite number"):
        Oven(**{name: value})


def test_both_ends_of_a_range_are_in_it() -> None:
    assert Oven(heat=50).heat == 50
    assert Oven(heat=300).heat == 300


def test_from_texts() -> None:
    texts = {"heat": "2e2", "trays": "3", "mode": "grill", "wire": "down", "light": "off", "minutes": "7"}
    assert with_texts(Oven(), texts) == Oven(200.0, 3, -1.0, 0.0, "grill", "down", False, 7)
    assert with_texts(Oven(minutes=7), {"minutes": "none"}).minutes is None
    assert with_texts(Oven(), {}) == Oven()


@pytest.mark.parametrize("text", ["true", "Yes", "ON", "1"])
def test_true_has_four_spellings(text: str) -> None:
    assert with_texts(Oven(light=False), {"light": text}).light


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ({"trays": "two"}, "trays='two' is not a whole number."),
        ({"trays": "1.5"}, "trays='1.5' is not a whole number."),
        ({"minutes": "soon"}, "minutes='soon' is not a whole number."),
        ({"heat": "hot"}, "heat='hot' is not a number."),
        ({"light": "dim"}, "light='dim' is neither true nor false."),
        ({"mode": "fans"}, "Oven: mode is 'fans'; choose one of fan, grill."),
        ({"wire": "left"}, "Oven: wire is 'left'; choose one of up, down."),
        ({"heat": "nan"}, "Oven: heat is nan; it must be a finite number."),
        (
            {"tray": "2"},
            "There is no setting of Oven 'tray'. Did you mean 'trays'? "
            "Known: cold, free, heat, light, minutes, mode, trays, wire.",
        ),
    ],
)
def test_texts_that_do_not_fit(texts: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        with_texts(Oven(), texts)
    assert str(caught.value) == message


def test_assignments() -> None:
    assert parse_assignments(["connect=up", " k = 5", "path=a=b", "empty="]) == {
        "connect": "up",
        "k": "5",
        "path": "a=b",
        "empty": "",
    }


@pytest.mark.parametrize("text", ["connect", "=up", ""])
def test_an_assignment_without_a_name_or_value(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_assignments([text])
    assert str(caught.value) == f"--set {text!r} has no value; write --set name=value, such as --set connect=up."
