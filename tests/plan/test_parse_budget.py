"""A budget in words: every unit, and everything that is no budget."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise.core.errors import UsageError
from edgewise.core.units import megabytes
from edgewise.plan import parse_budget, rounded_up
from edgewise.plan.budget import UNITS


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("48MB", 48_000_000),
        ("48", 48_000_000),
        ("48 mb", 48_000_000),
        ("  48Mb\n", 48_000_000),
        ("0.5 GB", 500_000_000),
        (".5GB", 500_000_000),
        ("64 MiB", 64 * 2**20),
        ("1gib", 2**30),
        ("900kB", 900_000),
        ("1 KiB", 1024),
        ("0.001kB", 1),
        ("007MB", 7_000_000),
    ],
)
def test_amounts(text: str, count: int) -> None:
    assert parse_budget(text) == count


@given(st.integers(1, 10**6), st.sampled_from(sorted(UNITS)), st.sampled_from(["", " ", "  "]), st.booleans())
def test_a_whole_number_of_any_unit_is_exact(number: int, unit: str, space: str, upper: bool) -> None:
    assert parse_budget(f"{number}{space}{unit.upper() if upper else unit}") == number * UNITS[unit]


@given(st.integers(1, 10**6))
def test_decimals_are_not_off_by_a_byte(hundredths: int) -> None:
    assert parse_budget(f"{hundredths // 100}.{hundredths % 100:02d}MB") == hundredths * 10_000


@pytest.mark.parametrize(
    "text", ["", " ", "MB", "-5MB", "+5MB", "nan", "inf", "48 apples", "48M", "1e3MB", "1,5MB", "5.MB", "4 8MB", "٤٨MB"]
)
def test_what_is_no_amount(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_budget(text)
    assert str(caught.value) == f"The budget {text!r} is no amount of memory; write it like 48MB or 0.5GB."


@pytest.mark.parametrize("text", ["0", "0MB", "0.0GB", "0.0001kB", "99999999999GB", "9" * 400])
def test_an_amount_that_cannot_be(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_budget(text)
    said = f"The budget is {text!r}; it must be more than nothing, and a number of bytes that exists."
    assert str(caught.value) == said


@given(st.text(max_size=12) | st.from_regex(r"[0-9.]{1,5} ?[kmgib]{0,3}", fullmatch=True))
def test_any_text_is_an_amount_or_refused(text: str) -> None:
    with contextlib.suppress(UsageError):
        assert 0 < parse_budget(text) < 2**60


@given(st.integers(1, 10**12))
def test_a_budget_that_is_printed_is_enough(count: int) -> None:
    assert count <= parse_budget(megabytes(rounded_up(count))) < count + 10_000
