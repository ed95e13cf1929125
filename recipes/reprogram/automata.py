"""A frozen growing automaton steered to another pattern (survey's Table 2, neural CA row).

    python recipes/reprogram/automata.py --shared DIR --state DIR [--quick]

An automaton is trained to grow a blue MNIST eight from one cell, and frozen; another eight and other weights for every
seed.  It is then steered, by a matrix on all cells' states (`StateMap`, 136 numbers) or by a tenth of the cells with a
rule of their own (`CellInjection`), to a red eight (a change of all cells), to a blue three, the one nearest to the
eight among 200 (a change of some cells), and to a blue zero, any.  ``distance`` is the mean squared one from the goal
after 40, 70 and 100 steps, 16 grids each; ``asked`` the share of them that a classifier of MNIST digits reads as the
goal's digit.

Beside it, with the same number of updates: no program, an empty grid, the same programs on an automaton with random
weights, and an automaton trained from scratch.

Expected (Randazzo et al., 2021): matrices steer everything tried; a tenth of the cells takes a tail away, and hardly
changes the colour, which takes 60 % of them.  No numbers are given.

Time: see the results; ``--quick`` takes about 5 minutes.
"""

import argparse
from functools import partial
from pathlib import Path

import numpy as np
import torch
from gan import Reads, once, train_reader
from growing import BLUE, RED, SHOWS, Growing, as_digits, one_cell, pattern, strip
from runs import Numbers, Run, asked, collected, over_seeds, rows, write
from safetensors.torch import load_file, save_file
from sets import images
from torch import Tensor, nn

from edgewise.reprogram.automaton import Automaton
from edgewise.reprogram.steered import UPDATES, Steered
from edgewise.reprogram.trainers.gradient import Gradient
from edgewise.reprogram.transforms.cell_injection import CellInjection
from edgewise.reprogram.transforms.state_map import StateMap, composed

AFTER, GRIDS = [40, 70, 100], 16
TRAINED_LIKE = {"batch_size": 6, "steps": (24, 36), "pool": 48}
GOALS = {"red eight": 8, "blue three": 3, "blue zero": 0}
STEERINGS = {"state map": StateMap(), "tenth of the cells": CellInjection(0.1), "from scratch": CellInjection(1.0)}


def reader(shared: Path, state: Path) -> nn.Module:
    """A classifier of MNIST digits, as `as_digits` gives them back from 12 pixels."""
    cut = images(shared, "mnist", 28, 0)
    digits = torch.from_numpy(np.concatenate([cut.train.x, cut.val.x])).float() / 255
    labels = torch.from_numpy(np.concatenate([cut.train.y, cut.val.y]))
    again = torch.cat([as_digits(pattern(one[0], BLUE)[None]) for one in digits])
    torch.manual_seed(0)
    return once(state / "reader.safetensors", Reads(), partial(train_reader, images=again, labels=labels, steps=1500))


def goals(shared: Path, seed: int) -> dict[str, Tensor]:
    """The eight that the automaton of ``seed`` grows, and what it is steered to."""
    part = images(shared, "mnist", 28, 0).train
    digits = {of: torch.from_numpy(part.x[part.y == of][:200, 0]).float() / 255 for of in (8, 3, 0)}
    eight = digits[8][seed]
    threes = torch.stack([pattern(one, BLUE) for one in digits[3]])
    nearest = int((threes - pattern(eight, BLUE)).square().sum((1, 2, 3)).argmin())
    return {
        "blue eight": pattern(eight, BLUE),
        "red eight": pattern(eight, RED),
        "blue three": threes[nearest],
        "blue zero": pattern(digits[0][seed], BLUE),
    }


def automaton(state: Path, seed: int, kind: str) -> Automaton:
    """``kind``: trained, random (weights that make something of nothing in particular) or new (as training begins)."""
    torch.manual_seed(seed)
    rule = Growing(spread=0.02 if kind == "random" else 0.0)
    if kind == "trained":
        rule.load_state_dict(load_file(state / f"automaton_{seed}.safetensors"))
    return Automaton(rule, one_cell(), SHOWS)


def grown(shared: Path, state: Path, seed: int, updates: int) -> Numbers:
    """An automaton trained from nothing to grow its eight: the source."""
    model = Steered(
        automaton(state, seed, "new"),
        STEERINGS["from scratch"],
        Gradient(2e-3),
        epochs=updates // UPDATES,
        seed=seed,
        **TRAINED_LIKE,
    ).fit(goals(shared, seed)["blue eight"])
    state.mkdir(parents=True, exist_ok=True)
    save_file(model.program_.rule.state_dict(), state / f"automaton_{seed}.safetensors")
    return scored(shared, state, seed, "blue eight", model.run(AFTER[-1], GRIDS, seed), "the source")


def steered(
    shared: Path, state: Path, seed: int, goal: str, steering: str, kind: str, updates: int, lr: float
) -> Numbers:
    """A program for an automaton of ``kind``; it is kept in STATE."""
    model = Steered(
        automaton(state, seed, kind),
        STEERINGS[steering],
        Gradient(lr),
        epochs=updates // UPDATES,
        seed=seed,
        **TRAINED_LIKE,
    ).fit(goals(shared, seed)[goal])
    name = f"{steering} {kind}"
    model.save(state / "programs" / f"{goal} {name} {seed}".replace(" ", "_"))
    numbers = sum(p.numel() for p in model.program_.parameters())
    return {**scored(shared, state, seed, goal, model.run(AFTER[-1], GRIDS, seed), name), "numbers": numbers}


def unsteered(shared: Path, state: Path, seed: int, goal: str) -> Numbers:
    """The trained automaton as it is."""
    source = automaton(state, seed, "trained")
    return scored(shared, state, seed, goal, source.seen(source.run(AFTER[-1], GRIDS, seed)), "no program")


def empty(shared: Path, state: Path, seed: int, goal: str) -> Numbers:
    """No cell anywhere."""
    nothing = torch.zeros(AFTER[-1] + 1, GRIDS, *goals(shared, seed)[goal].shape)
    return scored(shared, state, seed, goal, nothing, "empty")


def itself(shared: Path, state: Path, seed: int, goal: str) -> Numbers:
    """The goal: what the classifier can say at most."""
    wanted = goals(shared, seed)[goal]
    return scored(shared, state, seed, goal, wanted.expand(AFTER[-1] + 1, GRIDS, *wanted.shape), "goal")


@torch.no_grad()
def scored(shared: Path, state: Path, seed: int, goal: str, frames: Tensor, name: str) -> Numbers:
    """``distance`` and ``asked`` of frames (T, N, 4, 16, 16), and a strip of the first grid, every tenth step."""
    shown, wanted = frames[AFTER], goals(shared, seed)[goal]
    read = reader(shared, state)(as_digits(shown.flatten(0, 1))).argmax(1)
    strip(
        torch.cat([frames[::10, 0], wanted[None]]), state / "pictures" / f"{goal}_{name}_{seed}.png".replace(" ", "_")
    )
    return {
        "distance": float((shown - wanted).square().mean()),
        "asked": float((read == GOALS.get(goal, 8)).double().mean()),
    }


def strengths(shared: Path, state: Path, seed: int) -> Numbers:
    """The red map weaker and stronger than trained, and composed with the three's: pictures, and how red it becomes."""
    source = automaton(state, seed, "trained")
    maps = [
        Steered.load(state / "programs" / f"{goal} state map trained {seed}".replace(" ", "_"), source).program_
        for goal in ("red eight", "blue three")
    ]
    folder, found = state / "pictures", {}
    scales = (-0.5, 0.0, 0.25, 0.5, 0.75, 1.0, 1.25)
    ends = [source.seen(source.run(70, 1, seed, maps[0].scaled(scale))[-1, 0]) for scale in scales]
    strip(torch.stack(ends), folder / f"strength_{seed}.png")
    for scale, end in zip(scales, ends, strict=True):
        found[f"red_{scale:g}"] = float(end[0].sum() / end[3].sum().clamp_min(1e-6))
    both = source.seen(source.run(100, 1, seed, composed(maps, [0.5, 0.5])))
    strip(both[::10, 0], folder / f"composed_{seed}.png")
    return found


def runs(arguments: argparse.Namespace) -> tuple[list[Run], list[Run], list[Run]]:
    """Sources, programs for them, and what is done with the programs; quick: the first goal, a third of the updates."""
    quick, seeds = arguments.quick, arguments.seeds
    updates = 150 if quick else 350
    sources = over_seeds(grown, "blue eight", "the source", seeds, updates=400 if quick else 1000)
    said = []
    for goal in list(GOALS)[: 1 if quick else None]:
        arms = [
            ("state map", "trained", 2e-3),
            ("tenth of the cells", "trained", 5e-3),
            ("from scratch", "new", 2e-3),
        ]
        if goal != "blue zero":
            arms += [("state map", "random", 2e-3), ("tenth of the cells", "random", 5e-3)]
        for steering, kind, lr in arms:
            arm = steering if kind != "random" else f"{steering}, random automaton"
            own = {"goal": goal, "steering": steering, "kind": kind, "updates": updates, "lr": lr}
            said += over_seeds(steered, goal, arm, seeds, **own)
        for arm, work in (("no program", unsteered), ("empty grid", empty), ("the goal itself", itself)):
            said += over_seeds(work, goal, arm, seeds, goal=goal)
    return sources, said, [] if quick else over_seeds(strengths, "red eight", "strengths", seeds)


if __name__ == "__main__":
    arguments = asked(__doc__)
    if arguments.quick:
        arguments.state /= "quick"  # its automata are not those of the full run
    torch.set_num_threads(1)
    reader(arguments.shared, arguments.state)
    sources, programs, after = (collected(some, arguments) for some in runs(arguments))
    table = rows([*sources, *programs], "distance", "asked", "numbers")
    write(__file__, arguments, {"rows": table, "strengths": after})
