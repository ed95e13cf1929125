"""Elsayed et al. (ICLR 2019), Kloberdanz et al. (2021): a photo network reads digits, squares, hand signs, CIFAR-10.

    python recipes/reprogram/elsayed.py --shared DIR --state DIR [--quick] [--seeds N]

The source is MobileNetV2 with its 1000 ImageNet classes at 96 px.  A sample stands amid a canvas of trained pixels;
its answers are read as the task's classes by the first labels (``first``, as the paper does), the frequency mapping
with several labels a class (``frequency``), or a trained layer (``linear``, Kloberdanz: input and output trained).
Squares are drawn here: 1 to 10 white ones on a grid of 6 x 6 cells, the class is how many.  Beside them: the mapping
alone (``zero-shot``), an untrained source with the trained layer, logistic regression on the source's answers to the
enlarged sample (``linear probe``), a small network from scratch, the commonest class.

Labels a class and rates are chosen on validation parts (`choice`).

Expected (paper, six ImageNet networks of full size, all training images): MNIST 93.1 to 97 %, CIFAR-10 up to 69 %,
squares near 100 %.  Aim here, from 8,000 digits and MobileNetV2: MNIST 90 %.
Time: not yet known.
"""

from pathlib import Path

import numpy as np
import photos
from choice import Arm, choices, grid, parts, tested
from claims import claim
from runs import Numbers, asked, rows, write
from sets import Cut, Part, images, split

from edgewise.reprogram import FirstLabels, FrequencyMap, Gradient, LinearMap, Mapping, Pad, Reprogrammed

SIDE, BATCH, CELL, CELLS, MOST = 96, 16, 6, 6, 10
SIZES = {"mnist": 56, "squares": 36, "signdigits": 72, "cifar10": 64}  # side of a sample on the canvas
SAMPLES = {"mnist": (8000, 2000), "squares": (1500, 500), "signdigits": (None, None), "cifar10": (2000, 1000)}
TASKS = tuple(SIZES)


def cut(shared: Path, task: str, seed: int) -> Cut:
    """A task's data."""
    train, test = SAMPLES[task]
    if task == "squares":
        known, unseen = squares(train, 1), squares(test, 2)
        own, held = split(known.y, (0.2,), seed)
        return Cut(known.take(own), known.take(held), unseen)
    return images(shared, task, {"signdigits": 64}.get(task, 32), seed, train, test)


def squares(count: int, seed: int) -> Part:
    """``count`` images (N, 1, 36, 36) with 1 to 10 white squares of 4 px in different cells of 6 px; class 0 is one."""
    rng = np.random.default_rng(seed)
    drawn, labels = np.zeros((count, 1, CELL * CELLS, CELL * CELLS), np.uint8), np.arange(count) % MOST
    for image, label in zip(drawn, labels, strict=True):
        for cell in rng.permutation(CELLS * CELLS)[: label + 1]:
            top, left = (CELL * place + 1 for place in divmod(int(cell), CELLS))
            image[0, top : top + CELL - 2, left : left + CELL - 2] = 255
    return Part(drawn, labels.astype(np.int64))


def mapping(name: str, labels: int) -> Mapping:
    """An output mapping by name."""
    return LinearMap() if name == "linear" else (FirstLabels if name == "first" else FrequencyMap)(labels=labels)


def reprogrammed(
    shared: Path,
    state: Path,
    seed: int,
    part: str,
    data: str,
    read: str,
    labels: int,
    lr: float,
    epochs: int,
    taught: bool = True,
) -> Numbers:
    """A canvas around the sample, the source, a mapping; ``epochs`` 0 is the mapping alone."""
    train, other = parts(cut(shared, data, seed), part)
    source, program = photos.source(shared, SIDE, taught, seed), Pad(size=SIZES[data])
    model = Reprogrammed(source, program, mapping(read, labels), Gradient(lr), epochs, BATCH, seed)
    return photos.scored(model.fit(train.x, train.y).predict_proba(other.x), other.y)


def linear_probe(shared: Path, state: Path, seed: int, part: str, data: str) -> Numbers:
    """Logistic regression on the source's answers."""
    train, other = parts(cut(shared, data, seed), part)
    return photos.scored(photos.probe(photos.source(shared, SIDE), train, other.x, seed), other.y)


def scratch(shared: Path, state: Path, seed: int, part: str, data: str, lr: float, epochs: int) -> Numbers:
    """A small network on the samples alone."""
    train, other = parts(cut(shared, data, seed), part)
    return photos.scored(photos.from_scratch(train, other.x, MOST, lr, epochs, seed), other.y)


def commonest(shared: Path, state: Path, seed: int, part: str, data: str) -> Numbers:
    """The training part's shares of the classes for every sample."""
    train, other = parts(cut(shared, data, seed), part)
    share = np.bincount(train.y, minlength=MOST) / len(train)
    return photos.scored(np.repeat(share[None], len(other), 0), other.y)


def arms(quick: bool) -> list[Arm]:
    """Quick: squares, two epochs."""
    found = []
    for task in ("squares",) if quick else TASKS:
        epochs = [2] if quick else [6 if task == "mnist" else 12]
        own, rates = {"data": [task]}, [0.05] if quick else [0.02, 0.1]
        found += [
            Arm(task, "commonest class", commonest, grid(**own)),
            Arm(task, "zero-shot", reprogrammed, grid(**own, read=["frequency"], labels=[1, 10], lr=[0.1], epochs=[0])),
            Arm(task, "linear", reprogrammed, grid(**own, read=["linear"], labels=[1], lr=rates, epochs=epochs)),
            Arm(task, "from scratch", scratch, grid(**own, lr=[1e-3, 1e-2], epochs=[8])),
        ]
        if not quick:
            trained = grid(**own, read=["frequency"], labels=[1, 10], lr=[0.1], epochs=epochs)
            fixed = {"lr": [0.1], "epochs": epochs, "labels": [1]}
            found += [
                Arm(task, "first", reprogrammed, grid(**own, read=["first"], **fixed)),
                Arm(task, "frequency", reprogrammed, trained),
                Arm(task, "linear, untrained", reprogrammed, grid(**own, read=["linear"], **fixed, taught=[False])),
                Arm(task, "linear probe", linear_probe, grid(**own)),
            ]
    return found


def main() -> None:
    arguments = asked(__doc__)
    found = tested(arms(arguments.quick), arguments)
    table = rows(found, "accuracy", "loss")
    best = [row for row in table if row["task"] == "mnist" and row["arm"] in ("first", "frequency", "linear")]
    places = [
        {"arm": row["arm"], "accuracy": row["accuracy_mean"], "holds": row["accuracy_mean"] >= 0.9} for row in best
    ]
    claims = [claim("MNIST is read with 90 %", places)] if places else []
    write(__file__, arguments, {"rows": table, "chosen": choices(found), "claims": claims})


if __name__ == "__main__":
    main()
