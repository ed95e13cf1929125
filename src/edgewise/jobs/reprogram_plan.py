"""How many queries a reprogramming takes, and how it is fitted into a budget before the first one is made."""

import math
from dataclasses import dataclass

from edgewise.core.errors import UsageError
from edgewise.data.found import counted
from edgewise.reprogram import Mapping, Trainer

PROBES = 12
"""Fixed samples that tell the model from others: four at the start, four at the end, four for going on once."""
MOST_EPOCHS = 100
ENOUGH = 0.9
"""Share of the steps that a budget affords which may not be given up for more looks at the validation photos."""


@dataclass(frozen=True)
class Amounts:
    """What a run asks about: photos to train on, to validate and to score on, and how."""

    train: int
    val: int
    scored: int
    batch_size: int
    evaluations: int  # of a batch, in a step
    needs_scores: bool
    every: int  # epochs between fits of the mapping, 0: only one
    compared: bool  # is the mapping alone scored, too?

    @property
    def whole(self) -> int:
        """Steps in a whole epoch."""
        return math.ceil(self.train / self.batch_size)


@dataclass(frozen=True)
class QueryPlan:
    """``epochs`` of ``steps``, and the most queries that every part of the run makes; known answers cost nothing."""

    epochs: int
    steps: int
    probes: int
    mapping: int
    training: int
    validation: int
    scoring: int

    @property
    def total(self) -> int:
        """All queries, at most."""
        return self.probes + self.mapping + self.training + self.validation + self.scoring

    def parts(self) -> dict[str, int]:
        """Queries by what they are for."""
        return {
            "mapping": self.mapping,
            "training": self.training,
            "validation": self.validation,
            "scoring": self.scoring,
            "probes": self.probes,
        }


def amounts(
    counts: tuple[int, int, int], mapping: Mapping, trainer: Trainer, batch_size: int, compared: bool
) -> Amounts:
    """For ``counts`` of photos in train, val and test; without a test part val is scored, and without both train."""
    train, val, test = counts
    scored = next(count for count in (test, val, train) if count)
    evaluations = trainer.evaluations()
    return Amounts(train, val, scored, batch_size, evaluations, mapping.needs_scores, mapping.every, compared)


def query_plan(has: Amounts, epochs: int, steps: int) -> QueryPlan:
    """What ``epochs`` of ``steps`` ask at most."""
    fits = (1 if has.needs_scores else 0) + ((epochs - 1) // has.every if has.every and epochs else 0)
    shown = has.train if steps == has.whole else steps * min(has.batch_size, has.train)
    return QueryPlan(
        epochs,
        steps,
        PROBES,
        fits * has.train,
        epochs * shown * has.evaluations,
        epochs * has.val,
        has.scored * (2 if has.compared else 1),
    )


def within(has: Amounts, epochs: int | None, usual: int, budget: int | None) -> QueryPlan:
    """The plan for ``epochs`` (None: ``usual``, or with a ``budget`` as many as it affords, up to 100).

    Where the budget does not afford them the training gets shorter, not the scoring: fewer epochs, and where it must
    be epochs of fewer steps.  Of the ways to do that, the one with the most epochs that makes 90 % of the most steps.
    Raises `UsageError` where the mapping and the scoring alone cost more than the budget.
    """
    if budget is None:
        return query_plan(has, usual if epochs is None else epochs, has.whole)
    most = MOST_EPOCHS if epochs is None else epochs
    bare = query_plan(has, 0, has.whole)
    if bare.total > budget:
        mapping = f"{bare.mapping:,} to fit the mapping, " if bare.mapping else ""
        advice = " A mapping that asks nothing (first, random), or fewer photos, takes less." if bare.mapping else ""
        raise UsageError(
            f"The budget is {budget:,} queries, and before any training {bare.total:,} are needed: {mapping}"
            f"{bare.scoring:,} to score the result, {bare.probes} to see that the model stays the same.{advice}"
        )
    if (whole := query_plan(has, most, has.whole)).total <= budget:
        return whole
    possible = [plan for rounds in range(1, most + 1) if (plan := _longest(has, rounds, budget)) is not None]
    if not possible:
        return bare
    largest = max(plan.epochs * plan.steps for plan in possible)
    return max((plan for plan in possible if plan.epochs * plan.steps >= ENOUGH * largest), key=lambda p: p.epochs)


def _longest(has: Amounts, epochs: int, budget: int) -> QueryPlan | None:
    """``epochs`` of as many steps as ``budget`` affords; None where that is none."""
    if query_plan(has, epochs, has.whole).total <= budget:
        return query_plan(has, epochs, has.whole)
    without = query_plan(has, epochs, 0)
    steps = (budget - without.total) // (epochs * min(has.batch_size, has.train) * has.evaluations)
    return query_plan(has, epochs, min(steps, has.whole - 1)) if steps > 0 and has.whole > 1 else None


def in_words(plan: QueryPlan, has: Amounts, asked: int | None, budget: int | None, price: float) -> list[str]:
    """What the user should know before the first query; ``asked`` are the epochs that were wished for."""
    parts = [f"{plan.mapping:,} to fit the mapping"] if plan.mapping else []
    if plan.training:
        parts.append(
            f"{plan.training:,} for {counted(plan.epochs, 'epoch')} of {counted(plan.steps, 'step')} "
            f"({has.evaluations} answers to each of {min(has.batch_size, has.train)} photos in a step)"
        )
    parts += [f"{plan.validation:,} for validation"] if plan.validation else []
    parts += [f"{plan.scoring:,} to score the result", f"{plan.probes} to see that the model stays the same"]
    costs = f" That costs {plan.total * price:,.2f} at most." if price else ""
    said = [f"The run makes at most {plan.total:,} queries: {', '.join(parts)}.{costs}"]
    if budget is None:
        return said
    if not plan.training and asked != 0:
        said.append(f"The budget of {budget:,} queries affords no training: the mapping alone decides.")
    elif plan.steps < has.whole:
        seen = plan.epochs * plan.steps * min(has.batch_size, has.train) / has.train
        said.append(
            f"The budget of {budget:,} queries affords {plan.epochs * plan.steps:,} steps, so every photo is seen "
            f"{seen:.1f} times; the schedule is made for that."
        )
    elif asked is not None and plan.epochs < asked:
        said.append(f"The budget of {budget:,} queries affords {plan.epochs} of {asked} epochs.")
    return said
