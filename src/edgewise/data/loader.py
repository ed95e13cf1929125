"""Batches, decoded by other processes while the network works.

The order of an epoch and what happens to each photo follow from (seed, epoch, position) alone:
batches are the same to the bit whatever the number of workers, and from wherever one starts.
"""

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from edgewise.core.preprocess import Preprocess
from edgewise.core.seeds import derive
from edgewise.data.images import BadImage, open_image
from edgewise.data.sets import Sample
from edgewise.data.transforms import Augment, evaluation_image, side_needed, training_image
from edgewise.data.workers import default_workers as default_workers
from edgewise.data.workers import settle_in, starting_workers, worker_died

Batch = tuple[Tensor, Tensor]
Arrays = tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]
# streams of random numbers, apart from the training step's
ORDER, VIEW = 10, 11


def epoch_order(samples: Sequence[Sample], seed: int, epoch: int, balance: bool = False) -> tuple[int, ...]:
    """Indices into ``samples``, shuffled for this epoch.

    With ``balance`` every class takes the same number of places (to within one): photos of small
    classes come several times, those of large classes take turns from epoch to epoch.
    """
    rng = np.random.default_rng(derive(seed, ORDER, epoch))
    if not balance:
        return tuple(rng.permutation(len(samples)).tolist())
    labels = np.array([sample.label for sample in samples], dtype=np.int64)
    classes = rng.permutation(np.unique(labels))
    places = np.bincount(np.arange(len(labels)) % max(1, len(classes)), minlength=len(classes))
    chosen = [_drawn(np.flatnonzero(labels == c), n, rng) for c, n in zip(classes, places, strict=True)]
    return tuple(rng.permutation(np.concatenate(chosen)).tolist()) if chosen else ()


def batches(
    samples: Sequence[Sample],
    order: Sequence[int],
    batch_size: int,
    preprocess: Preprocess,
    augment: Augment | None,
    seed: int,
    epoch: int,
    workers: int,
    start: int = 0,
) -> Iterator[Batch]:
    """Photos (N, 3, S, S) uint8 and labels (N,) int64, from batch number ``start`` on.

    N is ``batch_size``, less in the last batch.  ``augment=None`` gives the centre crops of
    evaluation.  ``workers`` 0 decodes in this process; the others end with the iterator.

    Raises `BadImage` when a photo cannot be decoded, `EdgewiseError` when a worker was killed.
    """
    decoded = _Decoded(tuple(samples), tuple(order), batch_size, preprocess, augment, seed, epoch)
    numbers = range(start, len(decoded))
    found = _elsewhere(decoded, numbers, min(workers, len(numbers))) if workers and numbers else _here(decoded, numbers)
    with closing(found):  # an error holds on to this frame: workers would live as long as it does
        for batch in found:
            if isinstance(batch, BadImage):
                raise batch
            images, labels = batch
            yield torch.from_numpy(images), torch.from_numpy(labels)


@dataclass(frozen=True)
class _Decoded(Dataset["Arrays | BadImage"]):
    """The batches of one epoch by number, in a form that crosses processes whole.

    A failure is a value.  Arrays go through a pipe; tensors would go through shared memory, which
    containers are short of, and which fails noisily when one side is interrupted.
    """

    samples: tuple[Sample, ...]
    order: tuple[int, ...]
    batch_size: int
    preprocess: Preprocess
    augment: Augment | None
    seed: int
    epoch: int

    def __len__(self) -> int:
        return -(-len(self.order) // self.batch_size)

    def __getitem__(self, number: int) -> "Arrays | BadImage":
        first = number * self.batch_size
        positions = range(first, min(first + self.batch_size, len(self.order)))
        try:
            views = [self._view(position) for position in positions]
        except BadImage as error:
            return error
        labels = [self.samples[self.order[position]].label for position in positions]
        return np.stack([view.numpy() for view in views]), np.array(labels, dtype=np.int64)

    def _view(self, position: int) -> Tensor:
        path = self.samples[self.order[position]].path
        image = open_image(path, side_needed(self.preprocess, self.augment))
        if self.augment is None:
            return evaluation_image(image, self.preprocess)
        rng = np.random.default_rng(derive(self.seed, VIEW, self.epoch, position))
        return training_image(image, self.preprocess.size, self.augment, rng)


def _here(decoded: _Decoded, numbers: range) -> Generator["Arrays | BadImage"]:
    yield from map(decoded.__getitem__, numbers)


def _elsewhere(decoded: _Decoded, numbers: range, workers: int) -> Generator["Arrays | BadImage"]:
    with starting_workers():
        loader = DataLoader(
            decoded,
            batch_size=None,
            sampler=numbers,
            num_workers=workers,
            collate_fn=_as_it_is,
            worker_init_fn=settle_in,
            generator=torch.Generator(),  # else the loader draws from torch's global random numbers
        )
        source = iter(loader)
    try:
        yield from source
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker"):
            raise
        raise worker_died(error) from error


def _as_it_is(batch: Any) -> Any:
    return batch


def _drawn(rows: npt.NDArray[np.int64], number: int, rng: np.random.Generator) -> list[int]:
    """``number`` of ``rows``, each equally often to within one."""
    rounds = [rng.permutation(rows) for _ in range(-(-number // len(rows)))]
    return np.concatenate(rounds)[:number].tolist() if rounds else []
