"""The real data of the reprogramming recipes, as arrays: training, validation and test part, cut the same every time.

Images are bytes (N, C, H, W), series floats (N, L) with mean 0 and deviation 1 each, labels whole numbers.  ``seed``
draws the validation part from the training part; the test part is fixed.
"""

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[Any]


@dataclass(frozen=True)
class Part:
    """Samples ``x`` (N, …) and their labels ``y`` (N,)."""

    x: Array
    y: Array

    def __len__(self) -> int:
        return len(self.y)

    def take(self, rows: Array) -> "Part":
        return Part(self.x[rows], self.y[rows])


@dataclass(frozen=True)
class Cut:
    """A task's three parts."""

    train: Part
    val: Part
    test: Part


def images(shared: Path, name: str, side: int, seed: int, train: int | None = None, test: int | None = None) -> Cut:
    """``mnist``, ``pneumonia`` (grey, 28 px), ``cifar10``, ``signdigits``, ``hymenoptera`` (colour, ``side`` px).

    At most ``train`` and ``test`` images, as many of every class as can be; a fifth of the training part is validation,
    except for pneumonia, which has a validation part of its own.
    """
    folder = shared / "data" / "images"
    if name == "pneumonia":
        with np.load(folder / "pneumoniamnist.npz", allow_pickle=False) as packed:
            parts = [
                Part(packed[f"{p}_images"][:, None], packed[f"{p}_labels"].ravel()) for p in ("train", "val", "test")
            ]
        return Cut(some(parts[0], train, seed), parts[1], some(parts[2], test, 0))
    if name == "mnist":
        with np.load(folder / "mnist_t10k.npz", allow_pickle=False) as packed:
            whole = Part(packed["images"][:, None], packed["labels"].astype(np.int64))
        rows = np.random.default_rng(0).permutation(len(whole))
        known, unseen = whole.take(rows[:8000]), whole.take(rows[8000:])
    else:
        known = _packed(folder / f"{name}_train.npz", side, train and 2 * train)
        unseen = _packed(folder / f"{name}_{'val' if name == 'hymenoptera' else 'test'}.npz", side, test)
    return _cut(some(known, train, 0), some(unseen, test, 0), seed)


def series(shared: Path, name: str, seed: int) -> Cut:
    """A UCR set with its official split; a fifth of its training part is validation."""
    parts = []
    for part in ("TRAIN", "TEST"):
        table = np.loadtxt(shared / "data" / "tabular" / f"ucr_{name}_{part}.tsv")
        x = table[:, 1:]
        x = (x - x.mean(1, keepdims=True)) / (x.std(1, keepdims=True) + 1e-8)
        parts.append((x.astype(np.float32), table[:, 0].astype(np.int64)))
    classes = np.unique(parts[0][1])
    train, test = (Part(x, np.searchsorted(classes, y)) for x, y in parts)
    return _cut(train, test, seed)


def lines(shared: Path, name: str) -> tuple[list[str], Array]:
    """The texts and labels of a file of ``label TAB text``, such as ``trec_train``; labels become 0, 1, …"""
    text = (shared / "data" / "tabular" / f"{name}.tsv").read_text(encoding="utf-8", errors="replace")
    pairs = [line.split("\t", 1) for line in text.splitlines() if "\t" in line]
    _, labels = np.unique([label for label, _ in pairs], return_inverse=True)
    return [words for _, words in pairs], labels.astype(np.int64)


def column(shared: Path, name: str, text: str, label: str) -> tuple[list[str], Array]:
    """Two columns of a table such as ``clintox`` or ``amp_r2dl``; rows without a label are left out."""
    with (shared / "data" / "tabular" / f"{name}.csv").open(newline="", encoding="utf-8") as file:
        kept = [(row[text], float(row[label])) for row in csv.DictReader(file) if row[label] not in ("", None)]
    return [words for words, _ in kept], np.array([value for _, value in kept]).astype(np.int64)


def split(labels: Array, shares: tuple[float, ...], seed: int) -> list[Array]:
    """Rows of parts with ``shares`` of every class, the rest being the first part."""
    rng = np.random.default_rng(seed)
    parts: list[list[Array]] = [[] for _ in range(len(shares) + 1)]
    for one in np.unique(labels):
        rows, start = rng.permutation(np.flatnonzero(labels == one)), 0
        for place, share in enumerate(shares, 1):
            end = start + max(1, round(share * len(rows)))
            parts[place].append(rows[start:end])
            start = end
        parts[0].append(rows[start:])
    return [rng.permutation(np.concatenate(part)) for part in parts]


def some(part: Part, most: int | None, seed: int) -> Part:
    """At most ``most`` samples, as many of every class as can be."""
    if most is None or most >= len(part):
        return part
    rng, classes = np.random.default_rng(seed), np.unique(part.y)
    each = most // len(classes)
    rows = np.concatenate([rng.permutation(np.flatnonzero(part.y == one))[:each] for one in classes])
    return part.take(rng.permutation(rows))


def _cut(known: Part, test: Part, seed: int) -> Cut:
    train, val = split(known.y, (0.2,), seed)
    return Cut(known.take(train), known.take(val), test)


def _packed(path: Path, side: int, most: int | None) -> Part:
    """Packed JPEGs as colour images of ``side`` pixels (shorter side resized, centre cut)."""
    with np.load(path, allow_pickle=False) as packed:
        data, offsets, labels = packed["data"], packed["offsets"], packed["labels"].astype(np.int64)
    rows = some(Part(np.arange(len(labels)), labels), most, 0).x

    def picture(row: int) -> Array:
        image = Image.open(io.BytesIO(data[offsets[row] : offsets[row + 1]].tobytes())).convert("RGB")
        scale = side / min(image.size)
        image = image.resize((max(side, round(image.width * scale)), max(side, round(image.height * scale))), 2)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        return np.asarray(image.crop((left, top, left + side, top + side))).transpose(2, 0, 1)

    return Part(np.stack([picture(row) for row in rows]), labels[rows])
