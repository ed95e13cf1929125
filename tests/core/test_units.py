"""Numbers as people read them."""

import pytest

from edgewise.core.units import duration, megabytes, percent


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0.0 kB"), (999, "1.0 kB"), (99_940, "99.9 kB"), (100_000, "0.10 MB"), (1_580_000, "1.58 MB")],
)
def test_megabytes_are_decimal(count: int, text: str) -> None:
    assert megabytes(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (9.94, "9.9 s"),
        (10, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (75, "1 min 15 s"),
        (3599.6, "1 h 00 min"),
        (3725, "1 h 02 min"),
        (90_000, "25 h 00 min"),
    ],
)
def test_duration_rounds_before_it_splits(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(("fraction", "text"), [(0.9431, "94.3 %"), (0, "0.0 %"), (1, "100.0 %"), (None, "–")])
def test_percent(fraction: float | None, text: str) -> None:
    assert percent(fraction) == text
