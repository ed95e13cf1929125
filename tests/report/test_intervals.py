import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise.report.intervals import Z95, wilson


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [(0, 10, 0.0, 0.27753), (5, 10, 0.23659, 0.76341), (10, 10, 0.72247, 1.0), (90, 100, 0.82563, 0.94477)],
)
def test_published_values(hits: int, n: int, low: float, high: float) -> None:
    assert wilson(hits, n) == pytest.approx((low, high), abs=1e-5)


@given(st.integers(1, 100_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_limits_are_where_the_score_test_turns(case: tuple[int, int]) -> None:
    """The definition: an accuracy L is a limit when ``hits`` lies z standard errors *of L* away from it."""
    hits, n = case
    low, high = wilson(hits, n)
    assert 0 <= low <= hits / n <= high <= 1
    for limit in (low, high):
        if 0 < limit < 1:
            assert abs(hits / n - limit) == pytest.approx(Z95 * math.sqrt(limit * (1 - limit) / n), rel=1e-6, abs=1e-9)


def test_more_images_make_it_narrower() -> None:
    widths = [high - low for low, high in (wilson(9 * k, 10 * k) for k in (1, 4, 16, 64))]
    assert widths == sorted(widths, reverse=True)


@pytest.mark.parametrize(("hits", "n"), [(1, 0), (0, 0), (3, 2), (-1, 5)])
def test_no_proportion(hits: int, n: int) -> None:
    with pytest.raises(ValueError, match="is not a proportion"):
        wilson(hits, n)
