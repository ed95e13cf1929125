"""Low-resource speech (Yen et al., Interspeech 2023; arXiv 2110.03894): a network reprogrammed for unseen speakers.

    python recipes/reprogram/speakers.py --shared DIR --state DIR [--quick] [--seeds N]

Seed k keeps speakers 2k and 2k + 1 of the spoken digits from the source (`speech`).  Of each, two recordings of every
digit are there to learn from (one of them to choose on), or five (two); the official ones, index below 5, are the test:
100 recordings.
A trained signal is added to a recording (no copies), and the network's digits go to classes by similarity; then
parts of the network train too, on a copy (``tune``: all but its first norm).  Beside it: the network as it is,
tuning without a program, a linear probe on its features, the same network from scratch (with the shifts and gains that
the source was taught with; programs train without), and an untrained one.

Expected (paper, Arabic, Lithuanian and Mandarin commands): reprogramming with tuning is the best of all.
Time: not yet known; ``--quick`` 1 minute.
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
from sets import Cut, Part, split

from edgewise.reprogram import FirstLabels, Gradient, Replicate, Reprogrammed, SimilarityMap

PAIRS, EPOCHS = ((0, 1), (2, 3), (4, 5)), 40
SHARES = {2: (0.05, 0.05), 5: (0.15, 0.1)}  # of twenty recordings: to learn from, to choose on
ALONE, BOTH = "program", "program and tuning"
OTHERS = ("tuning alone", "linear probe", "from scratch", "program, untrained source", "as it is", "zero-shot")


def all_but(unheard: tuple[int, ...]) -> tuple[int, ...]:
    """The other speakers."""
    return tuple(one for one in speech.EVERYBODY if one not in unheard)


def recordings(shared: Path, state: Path, seed: int, part: str, each: int) -> tuple[speech.Speech, Part, Part]:
    """The source that has not heard two speakers, and their recordings: to learn from and to score."""
    unheard = PAIRS[seed % len(PAIRS)]
    network = speech.speakers_source(shared, state, all_but(unheard))
    heard = speech.spoken(shared)
    own = heard.take(np.isin(heard.speaker, unheard))
    kept = own.take(~own.test)
    voice = kept.speaker * 10 + kept.y
    _, train, val = split(voice, SHARES[each], seed)
    cut = Cut(*(Part(own.x, own.y) for own in (kept.take(train), kept.take(val), own.take(own.test))))
    return network, *parts(cut, part)


def yen(
    shared: Path,
    state: Path,
    seed: int,
    part: str,
    each: int,
    mapping: str = "similarity",
    lr: float = 0.0,
    tune_lr: float = 0.0,
    noise: float = 0.02,
    dropout: float = 0.4,
    epochs: int = EPOCHS,
    taught: bool = True,
) -> Numbers:
    """A trained signal upon the recordings, and where ``tune_lr`` is not 0 the network trains too."""
    network, known, unseen = recordings(shared, state, seed, part, each)
    source = speech.as_source(network if taught else speech.untrained(10, seed))
    transform = Replicate(0, dropout, noise, seed=seed)
    reader = SimilarityMap() if mapping == "similarity" else FirstLabels()
    tune = ("layers", "attention", "head") if tune_lr else ()
    model = Reprogrammed(source, transform, reader, Gradient(lr, tune_lr), epochs=epochs, seed=seed, tune=tune)
    model.fit(known.x, known.y)
    trained = sum(value.numel() for _, value in model.work_.parameters()) if epochs else 0
    return {**numbers(model.predict_proba(unseen.x), unseen.y), "parameters": trained}


def probe(shared: Path, state: Path, seed: int, part: str, each: int) -> Numbers:
    """Logistic regression on the source's features of the recordings."""
    network, known, unseen = recordings(shared, state, seed, part, each)
    x, wanted = (speech.heard(network, one.x) for one in (known, unseen))
    return numbers(plain.linear(x, known.y, wanted, seed), unseen.y)


def scratch(shared: Path, state: Path, seed: int, part: str, each: int) -> Numbers:
    """The same network and recipe as the source's, from these few recordings alone."""
    _, known, unseen = recordings(shared, state, seed, part, each)
    network = speech.taught(known.x, known.y, 10, seed)
    with torch.no_grad():
        said = network(torch.from_numpy(unseen.x)).softmax(1).numpy()
    return numbers(said, unseen.y)


def arms(quick: bool) -> list[Arm]:
    """Quick: two recordings alone, one setting each."""
    rates, dropout = ([0.003], [0.4]) if quick else ([0.001, 0.003, 0.01], [0.0, 0.4])
    signal = grid(lr=rates, dropout=dropout)
    still = {"noise": 0.0, "dropout": 0.0}
    works = (
        (ALONE, yen, signal),
        (BOTH, yen, grid(lr=[0.003], tune_lr=rates, dropout=dropout)),
        (OTHERS[0], yen, [{**still, "mapping": "first", "tune_lr": rate} for rate in rates]),
        (OTHERS[1], probe, [{}]),
        (OTHERS[2], scratch, [{}]),
        (OTHERS[3], yen, [{**one, "taught": False} for one in signal]),
        (OTHERS[4], yen, [{**still, "mapping": "first", "epochs": 0}]),
        (OTHERS[5], yen, [{**still, "epochs": 0}]),
    )
    return [
        Arm(f"{each} recordings of a digit", name, work, [{"each": each, **one} for one in settings])
        for each in SHARES
        if each == 2 or not quick
        for name, work, settings in works
    ]


def compared(table: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The claims, from a table's rows."""
    accuracy = {(row["task"], row["arm"]): 100 * row["accuracy_mean"] for row in table}
    tasks = list(dict.fromkeys(task for task, _ in accuracy))
    found = []
    for arm, others in ((ALONE, OTHERS[3:]), (BOTH, (ALONE, *OTHERS[:3]))):
        for other in others:
            ahead = [accuracy[task, arm] - accuracy[task, other] for task in tasks]
            places = [{"set": t, "ahead": round(by, 2), "holds": by > 0} for t, by in zip(tasks, ahead, strict=True)]
            found.append(claim(f"{arm} > {other}", places))
    return found


def main() -> None:
    arguments = asked(__doc__)
    sources = {  # before processes ask for them at the same time
        " ".join(speech.SPEAKERS[one] for one in all_but(pair)): speech.right(
            arguments.shared, arguments.state, all_but(pair)
        )
        for pair in PAIRS[: arguments.seeds]
    }
    found = tested(arms(arguments.quick), arguments)
    table = rows(found, "accuracy")
    claims = [] if arguments.quick else compared(table)
    write(__file__, arguments, {"sources": sources, "chosen": choices(found), "rows": table, "claims": claims})


if __name__ == "__main__":
    main()
