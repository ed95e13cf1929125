"""The whole part on real photos."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from edgewise.core.preprocess import Preprocess
from edgewise.data import ImageSet, open_data, open_labelled
from edgewise.data.images import open_image
from edgewise.data.loader import batches, epoch_order
from edgewise.data.thumbnails import thumbnail
from edgewise.data.transforms import Augment
from edgewise.data.verify import verify

EACH = 12


@pytest.fixture(scope="module")
def flowers(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few photos of each of five flowers, as ``train/CLASS`` and ``test/CLASS``."""
    root = tmp_path_factory.mktemp("flowers")
    for part in ("train", "test"):
        with np.load(shared / "images" / f"flowers5_{part}.npz", allow_pickle=False) as packed:
            data, offsets, labels, classes = (packed[k] for k in ("data", "offsets", "labels", "classes"))
        for label, name in enumerate(classes):
            folder = root / part / str(name)
            folder.mkdir(parents=True)
            for row in np.flatnonzero(labels == label)[:EACH]:
                (folder / f"{row:04d}.jpg").write_bytes(data[offsets[row] : offsets[row + 1]].tobytes())
    return root


@pytest.fixture(scope="module")
def images(flowers: Path) -> ImageSet:
    return verify(open_data(flowers, 0.25), 0.0)


def test_found_and_sound(images: ImageSet, flowers: Path) -> None:
    assert images.classes == ("daisy", "dandelion", "rose", "sunflower", "tulip")
    assert images.counts() == {
        "train": dict.fromkeys(images.classes, 9),
        "val": dict.fromkeys(images.classes, 3),
        "test": dict.fromkeys(images.classes, 12),
    }
    assert images.skipped == ()
    samples, split = open_labelled(flowers, images.classes)
    assert (samples, split) == (images.test, "test")


def test_decoded_as_pillow_does(images: ImageSet) -> None:
    for sample in images.test[::7]:
        with Image.open(sample.path) as file:
            wanted = np.asarray(file.convert("RGB"))
        assert np.array_equal(np.asarray(open_image(sample.path)), wanted)
        assert np.array_equal(np.asarray(open_image(sample.path, at_least=146)), wanted)  # 227 px: no smaller decode


def test_batches_look_like_photos(images: ImageSet) -> None:
    order = epoch_order(images.train, 0, 0)
    for augment in (Augment(), None):
        pixels, labels = next(batches(images.train, order, 16, Preprocess(128), augment, 0, 0, 0))
        assert pixels.shape == (16, 3, 128, 128)
        assert 30 < pixels.float().mean() < 200
        assert pixels.float().std(dim=(1, 2, 3)).min() > 10
        assert labels.tolist() == [images.train[row].label for row in order[:16]]


def test_workers_and_resume_on_real_photos(images: ImageSet) -> None:
    order = epoch_order(images.train, 1, 2)
    arguments = (images.train, order, 8, Preprocess(96), Augment(), 1, 2)
    alone = list(batches(*arguments, workers=0))
    helped = list(batches(*arguments, workers=2))
    resumed = list(batches(*arguments, workers=1, start=3))
    assert all(torch.equal(a[0], b[0]) and torch.equal(a[1], b[1]) for a, b in zip(alone, helped, strict=True))
    assert all(torch.equal(a[0], b[0]) for a, b in zip(alone[3:], resumed, strict=True))


def test_thumbnails(images: ImageSet) -> None:
    assert all(1000 < len(thumbnail(sample.path)) < 20_000 for sample in images.test[::5])
