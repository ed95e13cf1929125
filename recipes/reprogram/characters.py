"""Neekhara et al. (EMNLP 2019): a network that reads words for sentiment reads questions letter by letter.

    python recipes/reprogram/characters.py --shared DIR --state DIR [--quick] [--seeds N]

The source is an LSTM over 1,000 words that the recipe trains on SST-2 (`sentiment`), frozen.  A convolution over five
letters of a question (TREC, the first 64, as lower case) says which of the source's words stands at each.  *Two kinds*:
does the question ask for a person, a place or a number, or for anything else?  The source's two labels are read as they
are, as in the paper: once with its gradient (``gumbel``), once with nothing but its label, behind a ledger that
counts queries (``drawn, labels alone``).  *Six kinds*, TREC's own: the source's features, read by the verbaliser.
Beside them: the same before a source that was never trained; the convolution as it starts (``zero-shot``); logistic
regression on the source's features of the question's words (``linear probe``) and on shares of letters and pairs
(``counts``); a small convolutional network over letters from scratch; the commonest class.

2,000 questions are trained on, a fifth of them to validate (`choice`); a source without training gets the lower of the
program's two rates.  The test part is TREC's own 500.

Expected (paper; its numbers were not at hand): white box near a classifier trained for the task, black box below it.
Time: not yet known; ``--quick`` 3 minutes.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import plain
import sentiment
import torch
from choice import Arm, choices, grid, parts, tested
from claims import claim
from numpy.typing import NDArray
from runs import Numbers, asked, rows, write
from sets import Array, Cut, Part, lines, some, split
from small_text_network import SmallCnn, fitted
from texts import shares, told

from edgewise.reprogram import (
    BlackBox,
    ContextRemap,
    FirstLabels,
    Gradient,
    Ledger,
    PolicyGradient,
    Reprogrammed,
    Space,
    Verbaliser,
)  # fmt: skip

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789 ?'`,.-$&:"
PEOPLE_PLACES_NUMBERS = (3, 4, 5)
MOST, LENGTH, BATCH, WIDTH = 2000, 64, 32, 5


def task(shared: Path, name: str, seed: int) -> Cut:
    """Questions as text, and their kinds: two or six."""
    found = []
    for part in ("trec_train", "trec_test"):
        texts, y = lines(shared, part)
        kinds = np.isin(y, PEOPLE_PLACES_NUMBERS).astype(np.int64) if name == "two kinds" else y
        found.append(Part(np.array([text.lower() for text in texts], dtype=object), kinds))
    known = some(found[0], MOST, 0)
    train, val = split(known.y, (0.2,), seed)
    return Cut(known.take(train), known.take(val), found[1])


def letters(texts: Sequence[str]) -> Array:
    """Rows of 64 symbols; letters that are not among `LETTERS` are left out."""
    place = {letter: number for number, letter in enumerate(LETTERS, 1)}
    found = np.zeros((len(texts), LENGTH), np.int64)
    for row, text in enumerate(texts):
        ids = [place[letter] for letter in text if letter in place][:LENGTH]
        found[row, : len(ids)] = ids
    return found


def source(shared: Path, state: Path, taught: bool, seed: int) -> sentiment.Sentiment:
    return sentiment.trained(shared, state) if taught else sentiment.untrained(seed)


def gumbel(
    shared: Path, state: Path, seed: int, part: str, name: str, lr: float = 0.0, epochs: int = 0, taught: bool = True
) -> Numbers:
    """The context remap along the source's gradient."""
    known, unseen = parts(task(shared, name, seed), part)
    two = name == "two kinds"
    frozen = source(shared, state, taught, seed).source("vectors", "logits" if two else "features")
    model = Reprogrammed(
        frozen, ContextRemap(WIDTH, seed=seed), FirstLabels() if two else Verbaliser(), Gradient(lr), epochs=epochs,
        batch_size=BATCH, seed=seed, samples=Space((LENGTH,), symbols=len(LETTERS) + 1),
    ).fit(letters(known.x), known.y)  # fmt: skip
    return told(model.predict_proba(letters(unseen.x)), unseen.y)


def drawn(
    shared: Path, state: Path, seed: int, part: str, name: str, lr: float, epochs: int, taught: bool = True
) -> Numbers:
    """The context remap before a source that only gives labels; ``queries`` are those of training and scoring."""
    known, unseen = parts(task(shared, name, seed), part)
    hidden = source(shared, state, taught, seed).source("symbols")

    @torch.no_grad()
    def ask(samples: NDArray[Any]) -> NDArray[Any]:
        return hidden(torch.from_numpy(samples)).argmax(1).numpy()

    ledger = Ledger()
    model = Reprogrammed(
        BlackBox(ask, hidden.takes, 2, "label", ledger), ContextRemap(WIDTH, seed=seed), FirstLabels(),
        PolicyGradient(lr), epochs=epochs, batch_size=BATCH, seed=seed,
        samples=Space((LENGTH,), symbols=len(LETTERS) + 1),
    ).fit(letters(known.x), known.y)  # fmt: skip
    return {**told(model.predict_proba(letters(unseen.x)), unseen.y), "queries": ledger.spent}


def probe(shared: Path, state: Path, seed: int, part: str, name: str) -> Numbers:
    """Logistic regression on the source's features of the question's words, as it reads them itself."""
    known, unseen = parts(task(shared, name, seed), part)
    frozen = source(shared, state, True, seed).source("symbols", "features")
    with torch.no_grad():
        found = [frozen(torch.from_numpy(sentiment.read(shared, one.x))).numpy() for one in (known, unseen)]
    return told(plain.linear(found[0], known.y, found[1], seed), unseen.y)


def counts(shared: Path, state: Path, seed: int, part: str, name: str) -> Numbers:
    """Logistic regression on shares of letters and pairs, and the length."""
    known, unseen = parts(task(shared, name, seed), part)
    pieces = [*LETTERS, *(a + b for a in LETTERS[:26] for b in LETTERS[:26])]
    found = [np.array([shares(text, pieces) for text in one.x]) for one in (known, unseen)]
    return told(plain.linear(found[0], known.y, found[1], seed), unseen.y)


def from_scratch(shared: Path, state: Path, seed: int, part: str, name: str, lr: float, epochs: int) -> Numbers:
    """A small convolutional network over the same letters."""
    known, unseen = parts(task(shared, name, seed), part)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = SmallCnn(len(LETTERS) + 1, int(known.y.max()) + 1)
    x = torch.from_numpy(letters(known.x))
    return told(fitted(network, x, known.y, torch.from_numpy(letters(unseen.x)), lr, epochs, seed), unseen.y)


def commonest(shared: Path, state: Path, seed: int, part: str, name: str) -> Numbers:
    known, unseen = parts(task(shared, name, seed), part)
    return told(np.tile(np.bincount(known.y) / len(known), (len(unseen), 1)), unseen.y)


WHITE, BLACK = "gumbel", "drawn, labels alone"
UNTRAINED = {one: f"{one}, untrained source" for one in (WHITE, BLACK)}
OTHERS = ("zero-shot", "linear probe", "counts", "from scratch", "commonest class")


def arms(quick: bool) -> list[Arm]:
    """Both tasks'; quick: two kinds alone, and few settings."""
    found = []
    for name in ("two kinds",) if quick else ("two kinds", "six kinds"):
        white = grid(name=[name], lr=[0.1] if quick else [0.03, 0.1], epochs=[2 if quick else 8])
        found += [
            Arm(name, WHITE, gumbel, white),
            Arm(name, UNTRAINED[WHITE], gumbel, [{**white[0], "taught": False}]),
            Arm(name, OTHERS[0], gumbel, [{"name": name}]),
            Arm(name, OTHERS[1], probe, [{"name": name}]),
            Arm(name, OTHERS[2], counts, [{"name": name}]),
            Arm(name, OTHERS[3], from_scratch, grid(name=[name], lr=[0.003, 0.01], epochs=[8])),
            Arm(name, OTHERS[4], commonest, [{"name": name}]),
        ]
        if name == "two kinds":
            black = grid(name=[name], lr=[0.1] if quick else [0.03, 0.1], epochs=[2 if quick else 20])
            found += [
                Arm(name, BLACK, drawn, black),
                Arm(name, UNTRAINED[BLACK], drawn, [{**black[0], "taught": False}]),
            ]
    return found


def compared(table: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The claims, from a table's rows."""
    accuracy = {(row["task"], row["arm"]): 100 * row["accuracy_mean"] for row in table}
    found = []
    for arm in (WHITE, BLACK):
        for other in (UNTRAINED[arm], *OTHERS):
            tasks = [name for name, own in accuracy if own == arm]
            ahead = {name: accuracy[name, arm] - accuracy[name, other] for name in tasks}
            places = [{"set": name, "ahead": round(by, 2), "holds": by > 0} for name, by in ahead.items()]
            found.append(claim(f"{arm} > {other}", places))
    return found


def main() -> None:
    arguments = asked(__doc__)
    told_right = {"SST-2": sentiment.right(arguments.shared, arguments.state)}
    found = tested(arms(arguments.quick), arguments)
    table = rows(found, "accuracy", "balanced", "auc", "queries")
    claims = [] if arguments.quick else compared(table)
    write(__file__, arguments, {"sources": told_right, "chosen": choices(found), "rows": table, "claims": claims})


if __name__ == "__main__":
    main()
