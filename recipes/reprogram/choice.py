"""Settings of every arm chosen on validation parts alone, the same way for all; then the test part, once.

A run with ``part="val"`` trains on a task's training part and scores its validation part; with ``part="test"`` it
trains on both and scores the test part.  The settings with the highest accuracy (or another number) in the mean over
the seeds are taken, of equal ones those with the lowest loss, then the first.
"""

import argparse
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from runs import Run, Work, collected, over_seeds
from sets import Array, Cut, Part


@dataclass(frozen=True)
class Arm:
    """``work(shared, state, seed=…, part=…, **settings)`` answers with ``accuracy`` (0 to 1) and ``loss``.

    ``grid`` are the settings to choose from by the number called ``by``; where there is one, nothing is chosen.
    """

    task: str
    name: str
    work: Work
    grid: Sequence[Mapping[str, Any]] = ({},)
    by: str = "accuracy"


def tested(arms: Sequence[Arm], arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """The numbers of all arms on the test part, a seed each, with the settings that were ``chosen``."""
    seeds = arguments.seeds

    def runs(arm: Arm, part: str, settings: Mapping[str, Any]) -> list[Run]:
        return over_seeds(arm.work, arm.task, arm.name, seeds, part=part, **settings)

    open_arms = [arm for arm in arms if len(arm.grid) > 1]
    tried = [run for arm in open_arms for settings in arm.grid for run in runs(arm, "val", settings)]
    scored = iter(collected(tried, arguments))
    picked = []
    for arm in arms:
        worths = [worth(list(islice(scored, seeds)), arm.by) for _ in arm.grid] if arm in open_arms else [()]
        picked.append(arm.grid[worths.index(max(worths))])
    final = [run for arm, settings in zip(arms, picked, strict=True) for run in runs(arm, "test", settings)]
    told = [dict(settings) for settings in picked for _ in range(seeds)]
    return [{**one, "chosen": own} for one, own in zip(collected(final, arguments), told, strict=True)]


def worth(found: Sequence[Mapping[str, Any]], by: str) -> tuple[float, float]:
    """Mean of the number ``by`` over seeds, then how low the loss is."""
    mean = statistics.fmean(one[by] for one in found)
    return round(mean, 6), -statistics.fmean(one["loss"] for one in found)


def choices(found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What each task's arms were run with."""
    told = {(one["task"], one["arm"]): one["chosen"] for one in found}
    return [{"task": task, "arm": arm, **chosen} for (task, arm), chosen in told.items()]


def grid(**values: Sequence[Any]) -> list[dict[str, Any]]:
    """All combinations."""
    found: list[dict[str, Any]] = [{}]
    for name, several in values.items():
        found = [{**one, name: value} for one in found for value in several]
    return found


def parts(cut: Cut, part: str) -> tuple[Part, Part]:
    """What to train on and what to score: the validation part, or the test part after training on all else."""
    if part == "val":
        return cut.train, cut.val
    both = Part(np.concatenate([cut.train.x, cut.val.x]), np.concatenate([cut.train.y, cut.val.y]))
    return both, cut.test


def numbers(probabilities: Array, labels: Array) -> dict[str, float]:
    """Accuracy, and cross-entropy of probabilities (N, classes)."""
    truth = probabilities[np.arange(len(labels)), labels]
    loss = -np.log(np.clip(truth, 1e-6, 1)).mean()
    return {"accuracy": float((probabilities.argmax(1) == labels).mean()), "loss": float(loss)}
