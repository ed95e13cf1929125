"""Frozen weights in 8 bits, for a fit: the photos to correct with, and by how much the network changes."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from edgewise.adapt import Adapted
from edgewise.core.preprocess import Preprocess
from edgewise.core.units import percent
from edgewise.data.loader import batches
from edgewise.data.sets import Sample
from edgewise.layers.int8_weight import int8_layers
from edgewise.lean import Lean, make_lean

PHOTOS = 64


@dataclass(frozen=True)
class Rounding:
    """``record.json``'s ``lean``: how frozen weights are held, and what 8 bits change before training starts.

    Differences of logits from those of 32 bits, over ``photos`` training photos and all classes; None
    where nothing is rounded.  ``logit_spread`` is the standard deviation of the logits themselves, and
    ``same_answers`` the share (0-1) of photos whose highest logit stays the highest.
    """

    frozen_bits: int = 32
    layers: int = 0
    photos: int = 0
    logit_change_mean: float | None = None
    logit_change_max: float | None = None
    logit_spread: float | None = None
    same_answers: float | None = None

    def to_json(self) -> dict[str, int | float | None]:
        return asdict(self)

    def in_words(self) -> str:
        """A sentence for the user."""
        if self.logit_change_mean is None:
            return "No frozen convolution can be held in 8 bits here, so --frozen-bits 8 changes nothing."
        return (
            f"The frozen weights of {self.layers} convolutions are held in 8 bits. On {self.photos} training photos "
            f"this moves the logits by {self.logit_change_mean:.2g} on average and {self.logit_change_max:.2g} at "
            f"most (their own spread is {self.logit_spread:.2g}) before training starts; "
            f"{percent(self.same_answers)} of the answers stay the same."
        )


def round_frozen(
    model: Adapted, lean: Lean, train: Sequence[Sample], preprocess: Preprocess
) -> tuple[Rounding, tuple[str, ...]]:
    """`make_lean` for ``lean.frozen_bits`` 8, corrected on up to 64 photos spread over ``train``; with its notes.

    The photos are decoded an image at a time, three times over, and the same ones every time: a
    resumed run holds the same bits.
    """
    photos = _Photos(_spread(train), preprocess)
    before = _logits(model, photos)
    notes = make_lean(model, lean, photos)
    layers = len(list(int8_layers(model)))
    if not layers:
        return Rounding(lean.frozen_bits), notes
    after = _logits(model, photos)
    change = (after - before).abs()
    rounding = Rounding(
        lean.frozen_bits,
        layers,
        len(before),
        float(change.mean()),
        float(change.max()),
        float(before.std(correction=0)),
        float((before.argmax(1) == after.argmax(1)).double().mean()),
    )
    return rounding, notes


@dataclass(frozen=True)
class _Photos:
    """Batches (1, 3, S, S) uint8 of ``samples``, as evaluation shows them; can be gone through again."""

    samples: tuple[Sample, ...]
    preprocess: Preprocess

    def __iter__(self) -> Iterator[Tensor]:
        order = range(len(self.samples))
        return (images for images, _ in batches(self.samples, order, 1, self.preprocess, None, 0, 0, workers=0))


@torch.no_grad()
def _logits(model: Adapted, photos: _Photos) -> Tensor:
    """(photos, classes) in eval mode; afterwards the model trains again."""
    model.eval()
    logits = torch.cat([model(image) for image in photos])
    model.train()
    return logits


def _spread(samples: Sequence[Sample]) -> tuple[Sample, ...]:
    count = min(PHOTOS, len(samples))
    return tuple(samples[i * len(samples) // count] for i in range(count))
