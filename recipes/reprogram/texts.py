"""Texts and sequences with few labels: what is read of them, how they become symbols, and how answers are judged."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from choice import numbers
from sets import Array, Cut, Part, column, lines, some, split
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

TEST = 500
TEXT = {"trec": 24, "subj": 32}  # pieces of words that are read
SEQUENCES = {  # the table and its columns, and the letters that are read
    "peptides": ("amp_r2dl", "sequence", "label", 64),
    "clintox": ("clintox", "smiles", "CT_TOX", 64),
    "tox21": ("tox21", "smiles", "NR-AhR", 64),
}


def whole(shared: Path, name: str) -> tuple[Part, Part]:
    """Texts and their classes: what might be labelled, and the test part."""
    if name == "trec":
        (known, y), (unseen, asked_y) = lines(shared, "trec_train"), lines(shared, "trec_test")
        return Part(np.array(known, dtype=object), y), Part(np.array(unseen, dtype=object), asked_y)
    texts, y = lines(shared, "subj_all") if name == "subj" else column(shared, *SEQUENCES[name][:3])
    both = Part(np.array(texts, dtype=object), y)
    inside, outside = split(y, (0.2,), 0)
    return both.take(inside), both.take(outside[:TEST])


def task(shared: Path, name: str, seed: int, labels: int) -> Cut:
    """Few labels in two parts, of which a quarter validates, and the test part."""
    train, test = whole(shared, name)
    few = some(train, labels, seed)
    learn, check = split(few.y, (0.25,), seed)
    return Cut(few.take(learn), few.take(check), test)


def told(probabilities: Array, labels: Array) -> dict[str, float]:
    """Accuracy, the classes' mean accuracy, the area under the ROC curve (of two classes), and the loss."""
    found = numbers(probabilities, labels) | {
        "balanced": float(balanced_accuracy_score(labels, probabilities.argmax(1)))
    }
    return found | ({"auc": float(roc_auc_score(labels, probabilities[:, 1]))} if probabilities.shape[1] == 2 else {})


@cache
def alphabet(shared: Path, name: str) -> str:
    """The letters of a task's sequences; none of its labels is looked at."""
    return "".join(sorted(set("".join(column(shared, *SEQUENCES[name][:3])[0]))))


def letters(shared: Path, name: str, texts: Sequence[str]) -> Array:
    """Sequences as rows of symbols: a letter's place in the alphabet, from 1 on."""
    place, most = {letter: number for number, letter in enumerate(alphabet(shared, name), 1)}, SEQUENCES[name][3]
    found = np.zeros((len(texts), most), np.int64)
    for row, text in enumerate(texts):
        found[row, : len(text)] = [place[letter] for letter in text[:most]]
    return found


def shares(text: str, pieces: Sequence[str]) -> list[float]:
    """How often each piece occurs, over the length, and the length's logarithm."""
    return [*(text.count(piece) / max(1, len(text)) for piece in pieces), float(np.log1p(len(text)))]
