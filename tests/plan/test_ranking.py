"""From predictions to a plan: the best grade first, then time, then memory."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise.adapt import METHODS
from edgewise.lean import Lean, Work
from edgewise.plan import Option, Prediction, methods_by_grade, ranked, smallest
from edgewise.plan.ranking import CALL, GRADES, ORDER, RATE


def prediction(method: str = "last", peak: int = 5, bits: int = 32, forward: int = 0, calls: int = 0) -> Prediction:
    work = Work(forward=forward, calls=calls)
    return Prediction(Option(method, Lean(frozen_bits=bits)), 8, peak, 10, work, {"weights": 3, "kept": 2})


def test_by_grade_then_time_then_peak() -> None:
    in_order = [
        prediction("repnet", peak=90, calls=900),
        prediction("repnet", bits=8, calls=900),
        prediction("bias", peak=70, calls=100),
        prediction("full", peak=60, calls=200),
        prediction("bias", peak=61, calls=200),
        prediction("bias", bits=8),
        prediction("last"),
        prediction("last", peak=6),
        prediction("last", bits=8, peak=1),
    ]
    assert [p.grade for p in in_order] == ["A", "A-", "B", "B", "B", "B-", "C", "C", "C-"]
    mixed = random.Random(0).sample(in_order, len(in_order))
    assert ranked(mixed, 100) == tuple(in_order)


@given(st.lists(st.builds(prediction, st.sampled_from(sorted(METHODS)), st.integers(1, 9), st.sampled_from([8, 32]))))
def test_what_fits_is_listed_and_nothing_else(predictions: list[Prediction]) -> None:
    found = ranked(predictions, 5)
    assert sorted(map(repr, found)) == sorted(repr(p) for p in predictions if p.peak <= 5)


def test_the_smallest() -> None:
    assert smallest([prediction(peak=7), prediction("bias", peak=3), prediction(peak=4)]).option.method == "bias"


def test_time_is_arithmetic_and_calls() -> None:
    work = Work(forward=RATE // 4, backward=RATE // 2, again=RATE // 4, calls=round(1 / CALL))
    found = Prediction(Option("last", Lean()), 3, 0, 0, work, {})
    assert found.seconds == pytest.approx(3 * 1 + 1)


def test_what_binds_is_the_largest_kind() -> None:
    assert prediction().binds == "weights"


@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_method_has_a_grade_or_is_a_c(method: str) -> None:
    assert prediction(method).grade == GRADES.get(method, "C")
    assert prediction(method, bits=8).grade == f"{prediction(method).grade}-"
    assert {prediction(method).grade, prediction(method, bits=8).grade} <= set(ORDER)


def test_grades_are_of_methods_that_exist_the_best_first() -> None:
    assert set(GRADES) <= set(METHODS)
    assert methods_by_grade()[0] == "repnet"
    assert methods_by_grade()[-1] == "last"
    assert set(methods_by_grade()) == set(GRADES)
    places = [ORDER.index(GRADES[method]) for method in methods_by_grade()]
    assert places == sorted(places)
