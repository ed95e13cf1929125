import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edgewise.report.scale import Linear, Log, ratio_steps, steps, value_steps

VALUES = st.floats(-1e6, 1e6).map(lambda value: round(value, 4))


@example(0.0001, -50001.0, 3)
@given(VALUES, VALUES, st.integers(3, 10))
def test_steps_cover_the_values_with_few_round_marks(one: float, other: float, most: int) -> None:
    low, high = min(one, other), max(one, other)
    marks = steps(low, high, most)
    assert 2 <= len(marks) <= most
    gap = marks[1] - marks[0]
    nothing = 1e-6 + 1e-9 * gap  # less than anybody sees
    assert marks[0] <= low + nothing
    assert marks[-1] >= high - nothing
    leading = gap / 10 ** math.floor(math.log10(gap) + 1e-9)
    assert min(abs(leading - round_one) for round_one in (1, 2, 2.5, 5)) < 1e-3


@given(st.lists(st.floats(0, 1).map(lambda share: round(share, 4)), min_size=1, max_size=5), st.integers(4, 8))
def test_shares_get_marks_below_the_whole(shares: list[float], most: int) -> None:
    """Two at least, also where every value is the whole: an axis needs a length."""
    marks = value_steps(shares, most, 1.0)
    assert 2 <= len(marks) <= most
    assert marks[0] <= min(shares) + 1e-6
    assert marks[-1] <= 1.0
    assert value_steps([1.0, 1.0], most, 1.0)[-1] == 1.0


@given(st.integers(1, 100_000), st.integers(0, 100_000))
def test_epochs_get_whole_marks(first: int, more: int) -> None:
    marks = steps(first, first + more, 7, whole=True)
    assert all(mark == int(mark) for mark in marks)
    assert len(set(marks)) == len(marks) <= 7


@given(st.lists(st.floats(1, 1e9), min_size=1, max_size=6))
def test_ratio_marks_enclose_the_values(values: list[float]) -> None:
    marks = ratio_steps(values)
    assert marks == sorted(marks)
    assert marks[0] < min(values)
    assert marks[-1] > max(values)


def test_scales_meet_their_ends_and_middles() -> None:
    linear, log = Linear(0, 10, 100, 300), Log(1, 100, 0, 200)
    assert [linear(0), linear(5), linear(10)] == [100, 200, 300]
    assert [log(1), log(10), log(100)] == pytest.approx([0, 100, 200])
