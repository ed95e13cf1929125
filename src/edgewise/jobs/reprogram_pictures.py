"""What a report shows of a program: its canvas, photos as the source gets them, and which labels stand for a class."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from edgewise.core.files import write_bytes
from edgewise.core.preprocess import Preprocess
from edgewise.core.runs import RunFolder
from edgewise.data.images import open_image
from edgewise.data.sets import ImageSet, Sample
from edgewise.data.thumbnails import png
from edgewise.data.transforms import evaluation_image
from edgewise.reprogram import Pipeline, numbers, read_as
from edgewise.reprogram.base import Pictured, in_domain

SAMPLES = 8


@torch.no_grad()
def write_canvas(work: Pipeline, folder: RunFolder) -> str | None:
    """The program as a picture in the run's assets, its name there; None where it has none."""
    if not isinstance(work.program, Pictured):
        return None
    return _write(work.program.canvas(), folder, "canvas.png")


@torch.no_grad()
def write_samples(
    work: Pipeline,
    images: ImageSet,
    samples: Sequence[Sample],
    preprocess: Preprocess,
    labels: Sequence[str] | None,
    folder: RunFolder,
) -> list[dict[str, Any]]:
    """8 photos of as many classes as possible as the source gets them, what it says, and how that is read.

    Answers that a source was asked for before cost nothing.
    """
    for part in work.modules().values():
        part.eval()
    rows = []
    for number, sample in enumerate(_of_all_classes(samples), 1):
        photo = evaluation_image(open_image(sample.path, at_least=preprocess.resize), preprocess)
        shown = work.program(numbers(photo[None]))
        scores = in_domain(work.source(shown), work.source.answers, "probs")[0]
        predicted = int(work(photo[None])[0].argmax())
        label = int(scores.argmax())
        rows.append(
            {
                "picture": _write(shown[0], folder, f"sample-{number:02d}.png"),
                "file": images.name_of(sample.path),
                "truth": images.classes[sample.label],
                "predicted": images.classes[predicted],
                "source_says": name_of_label(label, labels),
                "source_share": round(float(scores[label]), 4),
            }
        )
    return rows


def mapping_rows(reader: Any, classes: Sequence[str], labels: Sequence[str] | None) -> list[dict[str, Any]] | None:
    """For each class the source's labels that stand for it; None where the mapping cannot be told so."""
    found = read_as(reader)
    if found is None:
        return None
    return [
        {"class": name, "labels": [{"label": name_of_label(label, labels), "weight": weight} for label, weight in own]}
        for name, own in zip(classes, found, strict=True)
    ]


def name_of_label(label: int, labels: Sequence[str] | None) -> str:
    """A label of the source as people call it; its number where nobody said."""
    return f"label {label}" if labels is None else labels[label]


def numbers_in(work: Pipeline) -> int:
    """How many numbers the program and the mapping train."""
    return sum(parameter.numel() for _, parameter in work.parameters() if isinstance(parameter, nn.Parameter))


def _of_all_classes(samples: Sequence[Sample]) -> list[Sample]:
    """The first of each class, then the second of each, and so on, by class."""
    seen: Counter[int] = Counter()
    turns = []
    for sample in samples:
        turns.append((seen[sample.label], sample.label, sample))
        seen[sample.label] += 1
    chosen = sorted(turns, key=lambda turn: turn[:2])[:SAMPLES]
    return [sample for _, _, sample in sorted(chosen, key=lambda turn: turn[1])]


def _write(colours: Tensor, folder: RunFolder, name: str) -> str:
    """Colours (1 or 3, H, W) from 0 to 1 as a PNG in the assets; its path in the run."""
    pixels = (colours.clamp(0, 1) * 255).round().to(torch.uint8).expand(3, -1, -1).permute(1, 2, 0)
    path = folder.assets / name
    write_bytes(path, png(Image.fromarray(np.ascontiguousarray(pixels.numpy()))))
    return path.relative_to(folder.root).as_posix()
