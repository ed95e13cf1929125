"""Cross-modal programs (Neekhara et al., WACV 2022; Chen et al., 2021): a photo network reads what is no photo.

    python recipes/reprogram/cross_modal.py --shared DIR --state DIR [--quick] [--seeds N]

The source is MCUNet-5fps with its own 1,000 classes at 128 px, frozen.  *Text*: TREC's questions, a patch a word (words
that occur twice; the first 16 or 64, as many as patches of 32 or 16 px have room), six classes; once more on a photo
that the patches change by a fifth of the range at most (``upon a photo``).  *Sequences*: peptides, antimicrobial
or not, a patch a letter, the first 25 or 64.  *A table*: scikit-learn's breast cancer, 30 numbers as blocks of an
overlay.  Labels go to classes by frequency, ten a class, their logits' mean.  Beside it: an untrained network of
the same form in the source's place (its norms' statistics taken from the task's images, or it would say nothing), the
best guess without training (``zero-shot``), a linear probe on the source's features of untrained patches, logistic
regression on counts of words, on shares of letters, pairs of them and the length, or on the numbers themselves (all
of a sample, where the patches show the first of it), and the commonest class.

Training parts are cut to 2,000 samples for time; sizes of patches and rates are chosen on validation parts (`choice`).

Expected (paper, ViT-B/16 at 384 px, 100,000 steps of four): text classification near networks trained for it.
Time: not yet known; ``--quick`` 5 minutes.
"""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import plain
import torch
from choice import Arm, choices, grid, numbers, parts, tested
from claims import claim
from runs import Numbers, asked, rows, write
from sets import Array, Cut, Part, column, lines, some, split
from sklearn.datasets import load_breast_cancer
from torch import nn

from edgewise.backbones import load
from edgewise.core.surgery import replace
from edgewise.reprogram import (
    FrequencyMap,
    Gradient,
    InputTransform,
    Overlay,
    Reprogrammed,
    Space,
    TokenPatch,
    WhiteBox,
    of_backbone,
    of_network,
)  # fmt: skip

FILE, SIDE, MOST, EACH, BATCH = "mcunet_5fps_imagenet.safetensors", 128, 2000, 10, 32
LETTERS = " ACDEFGHIKLMNPQRSTVWY"


@cache
def network(shared: Path) -> Any:
    return load("mcunet", weights=shared / "data" / "weights" / FILE)


def source(shared: Path, taught: bool, seed: int, images: torch.Tensor) -> WhiteBox:
    """The network, or one of its form that was never trained, whose norms have met ``images``."""
    backbone = network(shared)
    if taught:
        return of_backbone(backbone)
    other = load("mcunet", weights="none", seed=seed).module.train()
    for module in other.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the mean over batches
    with torch.no_grad():
        for some_images in images.split(BATCH):
            other((some_images - 0.5) / 0.5)
    return of_network(other, backbone.input, 1000)


def features(shared: Path, images: torch.Tensor) -> Array:
    """What the network's last layer reads (N, d)."""
    backbone = load("mcunet", weights=shared / "data" / "weights" / FILE)
    replace(backbone.module, backbone.head, nn.Identity())
    with torch.no_grad():
        return torch.cat([backbone.module((one - 0.5) / 0.5) for one in images.split(BATCH)]).numpy()


def task(shared: Path, name: str, seed: int) -> tuple[Cut, Array, Array]:
    """Rows of a task in three parts, all its samples (texts, or a table) and their classes."""
    if name == "questions":
        (known, y), (unseen, asked_y) = lines(shared, "trec_train"), lines(shared, "trec_test")
        x, labels = np.array(known + unseen, dtype=object), np.concatenate([y, asked_y])
        inside, test = np.arange(len(y)), np.arange(len(y), len(labels))
    elif name == "peptides":
        texts, labels = column(shared, "amp_r2dl", "sequence", "label")
        x = np.array(texts, dtype=object)
        inside, test = split(labels, (0.2,), 0)
    else:
        x, labels = load_breast_cancer(return_X_y=True)
        inside, test = split(labels, (0.3,), 0)
    known_part = some(Part(inside, labels[inside]), MOST, 0)
    train, val = split(known_part.y, (0.2,), seed)
    return Cut(known_part.take(train), known_part.take(val), Part(test, labels[test])), x, labels


def symbols(name: str, known: Sequence[str], texts: Sequence[str], most: int) -> tuple[Array, int]:
    """Texts as rows of ``most`` symbols, and how many there are: 0 is nothing, 1 a word that ``known`` has but once."""
    pieces = [text.lower().split() if name == "questions" else list(text) for text in texts]
    counted = Counter(word for text in known for word in (text.lower().split() if name == "questions" else text))
    words = sorted(word for word, times in counted.items() if times > 1)
    place = {word: number for number, word in enumerate(words, 2)}
    found = np.zeros((len(texts), most), np.int64)
    for row, own in enumerate(pieces):
        ids = [place.get(word, 1) for word in own[:most]]
        found[row, : len(ids)] = ids
    return found, len(words) + 2


def photo(shared: Path, state: Path) -> str:
    """A file with a photo of the source's classes."""
    path = state / "photo.jpg"
    with np.load(shared / "data" / "images" / "imagenet1k_one_per_class.npz", allow_pickle=False) as packed:
        path.write_bytes(packed["data"][packed["offsets"][0] : packed["offsets"][1]].tobytes())
    return str(path)


def prepared(shared: Path, name: str, seed: int, part: str, patch: int) -> tuple[Part, Part, InputTransform, Space]:
    """What to learn from and what to score as the program takes it, the program's settings and its samples' space."""
    cut, x, _ = task(shared, name, seed)
    known, unseen = parts(cut, part)
    if name == "breast cancer":
        mean, std = x[known.x].mean(0), x[known.x].std(0)
        told = [Part(((x[one.x] - mean) / std).astype(np.float32), one.y) for one in (known, unseen)]
        return told[0], told[1], Overlay(block=patch), Space((x.shape[1],))
    most = (SIDE // patch) ** 2
    told = []
    for one in (known, unseen):
        ids, count = symbols(name, x[known.x], x[one.x], most)
        told.append(Part(ids, one.y))
    return told[0], told[1], TokenPatch(patch, seed=seed), Space((most,), symbols=count)


def reprogrammed(
    shared: Path, state: Path, seed: int, part: str, name: str, patch: int, lr: float = 0.0, epochs: int = 0,
    taught: bool = True, upon: bool = False,
) -> Numbers:  # fmt: skip
    """The program of a task before the network, trained for so many epochs."""
    known, unseen, transform, space = prepared(shared, name, seed, part, patch)
    if upon:
        transform = dataclasses.replace(transform, alpha=0.2, base=photo(shared, state))
    start = transform.build(space, Space((3, SIDE, SIDE), 0.0, 1.0))
    with torch.no_grad():
        images = start(torch.from_numpy(known.x[: 8 * BATCH]))
    model = Reprogrammed(
        source(shared, taught, seed, images), transform, FrequencyMap(EACH, "logits"), Gradient(lr),
        epochs=epochs, batch_size=BATCH, seed=seed, samples=space,
    ).fit(known.x, known.y)  # fmt: skip
    trained = sum(value.numel() for _, value in model.work_.parameters())
    return {**numbers(model.predict_proba(unseen.x), unseen.y), "parameters": trained}


def probe(shared: Path, state: Path, seed: int, part: str, name: str, patch: int) -> Numbers:
    """Logistic regression on the network's features of samples behind the program as it starts."""
    known, unseen, transform, space = prepared(shared, name, seed, part, patch)
    program = transform.build(space, Space((3, SIDE, SIDE), 0.0, 1.0))
    found = []
    for one in (known, unseen):
        with torch.no_grad():
            images = [program(rows) for rows in torch.from_numpy(one.x).split(BATCH)]
        found.append(features(shared, torch.cat(images)))
    return numbers(plain.linear(found[0], known.y, found[1], seed), unseen.y)


def regression(shared: Path, state: Path, seed: int, part: str, name: str) -> Numbers:
    """Logistic regression on counts of words, on shares of letters and pairs and the length, or on the numbers."""
    cut, x, _ = task(shared, name, seed)
    known, unseen = parts(cut, part)
    if name == "breast cancer":
        return numbers(plain.linear(x[known.x], known.y, x[unseen.x], seed), unseen.y)
    count = counts_of_words if name == "questions" else counts_of_letters
    told = [count(x[known.x], x[one.x]) for one in (known, unseen)]
    return numbers(plain.linear(told[0], known.y, told[1], seed, scale=name == "peptides"), unseen.y)


def counts_of_words(known: Sequence[str], texts: Sequence[str]) -> Array:
    ids, count = symbols("questions", known, texts, 64)
    found = np.zeros((len(texts), count), np.float32)
    np.add.at(found, (np.arange(len(texts))[:, None], ids), 1)
    return found[:, 1:]


def counts_of_letters(known: Sequence[str], texts: Sequence[str]) -> Array:
    singles = np.array([[text.count(one) for one in LETTERS[1:]] for text in texts])
    pairs = np.array([[text.count(a + b) for a in LETTERS[1:] for b in LETTERS[1:]] for text in texts])
    length = np.array([[len(text)] for text in texts])
    return np.concatenate([singles / length, pairs / length, np.log(length)], 1).astype(np.float32)


def commonest(shared: Path, state: Path, seed: int, part: str, name: str) -> Numbers:
    known, unseen = parts(task(shared, name, seed)[0], part)
    shares = np.bincount(known.y) / len(known.y)
    return numbers(np.tile(shares, (len(unseen.y), 1)), unseen.y)


PROGRAM, UPON, OTHERS = "program", "program upon a photo", ("zero-shot", "linear probe", "program, untrained source")
SEARCHED = {  # the patches, the rates beside them, and the epochs
    "questions": ([(32, 0.03), (32, 0.1), (16, 0.1)], 6),
    "peptides": ([(16, 0.01), (16, 0.03), (24, 0.03)], 4),
    "breast cancer": ([(16, 0.01), (16, 0.03)], 6),
}


def arms(quick: bool) -> list[Arm]:
    """Every task's; quick: the table alone, and few settings."""
    found = []
    for name, (searched, epochs) in list(SEARCHED.items())[2 * quick :]:
        trained = [{"name": name, "patch": patch, "lr": lr, "epochs": epochs} for patch, lr in searched]
        untrained = grid(name=[name], patch=sorted({patch for patch, _ in searched}))
        if name == "questions":
            found.append(Arm(name, UPON, reprogrammed, [{**one, "upon": True} for one in trained[:2]]))
        found += [
            Arm(name, PROGRAM, reprogrammed, trained),
            Arm(name, OTHERS[0], reprogrammed, untrained),
            Arm(name, OTHERS[1], probe, untrained),
            Arm(name, OTHERS[2], reprogrammed, [{**one, "taught": False} for one in trained]),
            Arm(name, "logistic regression", regression, [{"name": name}]),
            Arm(name, "commonest class", commonest, [{"name": name}]),
        ]
    return found


def compared(table: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The claims, from a table's rows."""
    accuracy = {(row["task"], row["arm"]): 100 * row["accuracy_mean"] for row in table}
    found = []
    for other in (*OTHERS, "logistic regression", "commonest class"):
        ahead = {name: accuracy[name, PROGRAM] - accuracy[name, other] for name in SEARCHED}
        places = [{"set": name, "ahead": round(by, 2), "holds": by > 0} for name, by in ahead.items()]
        found.append(claim(f"{PROGRAM} > {other}", places))
    return found


def main() -> None:
    arguments = asked(__doc__)
    found = tested(arms(arguments.quick), arguments)
    table = rows(found, "accuracy")
    claims = [] if arguments.quick else compared(table)
    write(__file__, arguments, {"chosen": choices(found), "rows": table, "claims": claims})


if __name__ == "__main__":
    main()
