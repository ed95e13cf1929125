"""The plan of queries: what a run asks, and how a budget is used without ever being broken."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise.core.errors import UsageError
from edgewise.jobs.reprogram_plan import ENOUGH, PROBES, Amounts, amounts, in_words, query_plan, within
from edgewise.reprogram import FirstLabels, FrequencyMap, Gradient, IterativeMap, SphereSearch

SPHERE = SphereSearch(directions=25)
HAS = amounts((100, 20, 40), FrequencyMap(), SPHERE, 16, compared=True)


def test_what_is_counted() -> None:
    assert Amounts(100, 20, 40, 16, 26, True, 0, True) == HAS
    plan = query_plan(HAS, 3, HAS.whole)
    assert plan.parts() == {
        "mapping": 100,
        "training": 3 * 100 * 26,
        "validation": 3 * 20,
        "scoring": 2 * 40,
        "probes": PROBES,
    }
    assert plan.total == sum(plan.parts().values())
    assert query_plan(HAS, 3, 2).training == 3 * 2 * 16 * 26
    assert query_plan(HAS, 0, HAS.whole).total == 100 + 80 + PROBES


def test_a_mapping_that_is_fitted_again_asks_again_and_one_that_looks_at_nothing_does_not() -> None:
    often = amounts((100, 20, 40), IterativeMap(every=2), SPHERE, 16, True)
    assert [query_plan(often, epochs, often.whole).mapping for epochs in (0, 1, 2, 3, 5)] == [100, 100, 100, 200, 300]
    never = amounts((100, 20, 40), FirstLabels(), Gradient(), 16, True)
    assert query_plan(never, 4, never.whole).mapping == 0


def test_what_is_scored_is_the_test_part_or_what_there_is() -> None:
    assert [
        amounts(counts, FrequencyMap(), SPHERE, 16, False).scored for counts in ((9, 3, 5), (9, 3, 0), (9, 0, 0))
    ] == [
        5,
        3,
        9,
    ]


def test_without_a_budget_nothing_is_cut() -> None:
    assert (within(HAS, None, 10, None).epochs, within(HAS, 7, 10, None).epochs) == (10, 7)
    assert within(HAS, 7, 10, None).steps == 7  # 100 photos, 16 at a time


def test_a_budget_shortens_the_training_and_keeps_the_scoring() -> None:
    whole = query_plan(HAS, 10, HAS.whole).total
    assert within(HAS, 10, 10, whole).epochs == 10
    fewer = within(HAS, 10, 10, whole - 1)
    assert (fewer.total <= whole - 1, fewer.scoring) == (True, 80)
    assert fewer.epochs * fewer.steps >= ENOUGH * 10 * 7 - 7
    part = within(HAS, 10, 10, 100 + 80 + PROBES + 3 * (16 * 26) + 20)
    assert (part.epochs, part.steps) == (1, 3)
    bare = within(HAS, 10, 10, 100 + 80 + PROBES)
    assert (bare.epochs, bare.training) == (0, 0)


def test_too_little_for_the_mapping_is_refused_with_the_numbers() -> None:
    with pytest.raises(UsageError, match=r"budget is 191 queries, and before any training 192 are needed: 100 to fit"):
        within(HAS, 10, 10, 191)


@given(
    train=st.integers(1, 300),
    val=st.integers(0, 60),
    test=st.integers(0, 60),
    batch=st.integers(1, 64),
    evaluations=st.integers(1, 60),
    every=st.integers(0, 3),
    epochs=st.none() | st.integers(0, 30),
    budget=st.integers(1, 200_000),
)
def test_a_budget_is_kept_and_used(
    train: int, val: int, test: int, batch: int, evaluations: int, every: int, epochs: int | None, budget: int
) -> None:
    scored = next(count for count in (test, val, train) if count)
    has = Amounts(train, val, scored, batch, evaluations, True, every, True)
    try:
        plan = within(has, epochs, 10, budget)
    except UsageError:
        assert query_plan(has, 0, has.whole).total > budget
        return
    assert plan.total <= budget
    assert plan == query_plan(has, plan.epochs, plan.steps)
    assert plan.epochs <= (100 if epochs is None else epochs)
    most = max(
        (rounds * steps for rounds in range(1, 31) for steps in range(1, has.whole + 1, max(1, has.whole // 20))
         if rounds <= (100 if epochs is None else epochs) and query_plan(has, rounds, steps).total <= budget),
        default=0,
    )  # fmt: skip
    assert plan.epochs * plan.steps >= ENOUGH * most, "what the budget affords is made use of"


def test_it_is_said_in_words() -> None:
    part = within(HAS, 10, 10, 2000)
    said = in_words(part, HAS, 10, 2000, 0.0015)
    assert said[0].startswith(f"The run makes at most {part.total:,} queries: 100 to fit the mapping, ")
    assert f"That costs {part.total * 0.0015:,.2f} at most." in said[0]
    assert "affords 4 steps, so every photo is seen 0.6 times" in said[1]
    assert in_words(query_plan(HAS, 2, 7), HAS, 9, 9000, 0)[1] == "The budget of 9,000 queries affords 2 of 9 epochs."
    assert "affords no training" in in_words(query_plan(HAS, 0, 7), HAS, None, 200, 0)[1]
    assert len(in_words(query_plan(HAS, 2, 7), HAS, None, None, 0)) == 1
