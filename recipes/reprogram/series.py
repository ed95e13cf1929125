"""Voice2Series (Yang et al., ICML 2021): a network that knows spoken digits reads series of other things.

    python recipes/reprogram/series.py --shared DIR --state DIR [--quick] [--seeds N]

The source is a small network taught the spoken digits (`speech`), frozen; the tasks are six sets of the UCR archive
with their official test parts.  Copies of a series and a trained signal stand before the network; its ten digits are
read as the task's classes (random labels, as many as go in, mean of probabilities), or, in a second arm, a trained
layer reads its 64 features.  Beside it: an untrained network in its place, the best guess from what the taught one
says without training (``zero-shot``), a linear probe on its features of the copies, 1-nearest-neighbour by Euclid and
by time warping, logistic regression, a small convolutional network from scratch, and the commonest class.

Copies, dropout and rates are chosen on validation parts (`choice`): a fifth of the training part, a draw a seed.

Expected (paper, a source of 36 words): as good as the best of the literature or better on 19 of 30 sets.  Aim here:
within 3 points of the best simple classifier (nearest neighbours, logistic regression, commonest class) on 4 of 6
sets, and better on 2.
Time: not yet known; ``--quick`` 2 minutes.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import plain
import speech
import torch
from choice import Arm, choices, grid, numbers, parts, tested
from claims import claim
from runs import Numbers, asked, rows, write
from sets import Array, series

from edgewise.reprogram import (
    FrequencyMap,
    Gradient,
    LinearMap,
    RandomLabels,
    Replicate,
    Reprogrammed,
    Space,
)  # fmt: skip

SETS = ("GunPoint", "ECG200", "ItalyPowerDemand", "ArrowHead", "Earthquakes", "OSULeaf")
EPOCHS = 60
SIMPLE = ("nearest, Euclid", "nearest, warped", "logistic regression", "commonest class")
V2S = ("voice2series", "voice2series, linear")
OTHERS = ("zero-shot", "linear probe", "voice2series, untrained source", "cnn from scratch")


def copied(length: int, copies: str) -> int:
    """``all`` that have room, every second, or one."""
    room = speech.SECOND // length
    return {"all": room, "half": max(1, room // 2), "one": 1}[copies]


def voice2series(
    shared: Path,
    state: Path,
    seed: int,
    part: str,
    data: str,
    reads: str,
    copies: str = "all",
    dropout: float = 0.0,
    lr: float = 0.0,
    epochs: int = EPOCHS,
    taught: bool = True,
) -> Numbers:
    """The series, as loud as a recording; ``reads``: ``random`` labels, by ``frequency``, or ``linear`` on features."""
    known, unseen = parts(series(shared, data, seed), part)
    network = speech.speakers_source(shared, state, speech.EVERYBODY) if taught else speech.untrained(10, seed)
    source = speech.of_features(network) if reads == "linear" else speech.as_source(network)
    each = 10 // len(np.unique(known.y))
    mapping = {"random": RandomLabels(each, seed=seed), "frequency": FrequencyMap(each), "linear": LinearMap()}[reads]
    transform = Replicate(copied(known.x.shape[1], copies), dropout, seed=seed)
    model = Reprogrammed(source, transform, mapping, Gradient(lr), epochs=epochs, seed=seed)
    model.fit(speech.LOUD * known.x, known.y)
    trained = sum(value.numel() for _, value in model.work_.parameters()) if epochs else 0
    return {**numbers(model.predict_proba(speech.LOUD * unseen.x), unseen.y), "parameters": trained}


def probe(shared: Path, state: Path, seed: int, part: str, data: str, copies: str) -> Numbers:
    """Logistic regression on the source's features of copies."""
    known, unseen = parts(series(shared, data, seed), part)
    network = speech.speakers_source(shared, state, speech.EVERYBODY)
    x, wanted = (speech.heard(network, copied_out(one.x, copies)) for one in (known, unseen))
    return numbers(plain.linear(x, known.y, wanted, seed), unseen.y)


def copied_out(x: Array, copies: str) -> Array:
    """Copies of series, without a signal."""
    transform = Replicate(copied(x.shape[1], copies), noise=0.0)
    program = transform.build(Space(x.shape[1:]), Space((speech.SECOND,)))
    return program(torch.from_numpy(speech.LOUD * x)).detach().numpy()


def classical(shared: Path, state: Path, seed: int, part: str, data: str, by: str, lr: float = 0.0) -> Numbers:
    """What needs no source."""
    known, unseen = parts(series(shared, data, seed), part)
    classes = np.eye(len(np.unique(known.y)))
    if by == "warped":
        band = plain.best_band(known.x, known.y)
        return numbers(classes[plain.nearest(plain.warped(unseen.x, known.x, band), known.y)], unseen.y)
    if by == "Euclid":
        return numbers(classes[plain.nearest(plain.squares(unseen.x, known.x), known.y)], unseen.y)
    if by == "regression":
        return numbers(plain.linear(known.x, known.y, unseen.x, seed, scale=False), unseen.y)
    if by == "cnn":
        return numbers(plain.from_scratch(known.x, known.y, unseen.x, len(classes), lr, 2 * EPOCHS, seed), unseen.y)
    shares = np.bincount(known.y, minlength=len(classes)) / len(known.y)
    return numbers(np.tile(shares, (len(unseen.y), 1)), unseen.y)


def arms(quick: bool) -> list[Arm]:
    """Every set's; quick: one set, few settings."""
    found = []
    for data in SETS[:1] if quick else SETS:
        where = {"data": [data]}
        signal = grid(**where, reads=["random"], copies=["all", "half"], dropout=[0.0, 0.4], lr=[0.003, 0.01])
        signal = signal[:2] if quick else signal
        found += [
            Arm(data, V2S[0], voice2series, signal),
            Arm(data, V2S[1], voice2series, [{**one, "reads": "linear"} for one in signal]),
            Arm(data, OTHERS[2], voice2series, [{**one, "taught": False} for one in signal]),
            Arm(
                data, "zero-shot", voice2series, grid(**where, reads=["frequency"], epochs=[0], copies=["all", "half"])
            ),
            Arm(data, OTHERS[1], probe, grid(**where, copies=["all", "half"])),
            Arm(data, OTHERS[3], classical, grid(**where, by=["cnn"], lr=[1e-3, 3e-3])),
            Arm(data, SIMPLE[0], classical, grid(**where, by=["Euclid"])),
            Arm(data, SIMPLE[1], classical, grid(**where, by=["warped"])),
            Arm(data, SIMPLE[2], classical, grid(**where, by=["regression"])),
            Arm(data, SIMPLE[3], classical, grid(**where, by=["commonest"])),
        ]
    return found


def compared(table: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The claims, from a table's rows."""
    accuracy = {(row["task"], row["arm"]): 100 * row["accuracy_mean"] for row in table}
    found = []
    for arm in V2S:
        behind = []
        for data in dict.fromkeys(task for task, name in accuracy if name == arm):
            best = max(SIMPLE, key=lambda name, data=data: accuracy[data, name])
            behind.append({"set": data, "best": best, "ahead": round(accuracy[data, arm] - accuracy[data, best], 2)})
        for by, needed in ((-3.0, 4), (0.0, 2)):
            places = [{**one, "holds": one["ahead"] > by or (by < 0 and one["ahead"] >= by)} for one in behind]
            said = "within 3 points of" if by else "better than"
            found.append(claim(f"{arm} is {said} the best simple classifier", places, needed))
        places = [
            {"set": data, "ahead": round(accuracy[data, arm] - accuracy[data, other], 2), "than": other}
            for data in dict.fromkeys(task for task, name in accuracy if name == arm)
            for other in OTHERS
        ]
        found += [
            claim(
                f"{arm} >= {other}", [{**one, "holds": one["ahead"] >= 0} for one in places if one["than"] == other], 4
            )
            for other in OTHERS
        ]
    return found


def main() -> None:
    arguments = asked(__doc__)
    source = {"spoken digits": speech.right(arguments.shared, arguments.state, speech.EVERYBODY)}
    planned = arms(arguments.quick)
    if arguments.list:
        for arm in planned:
            print(f"{arm.task}, {arm.name}: {len(arm.grid)} settings")
        return
    found = tested(planned, arguments)
    table = rows(found, "accuracy")
    result = {"sources": source, "chosen": choices(found), "rows": table}
    claims = [] if arguments.quick else compared(table)
    write(__file__, arguments, {**result, "claims": claims})


if __name__ == "__main__":
    main()
