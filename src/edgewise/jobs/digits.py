"""Scikit-learn's handwritten digits as a folder of pictures: real images that need no download."""

import importlib.util
from pathlib import Path

import numpy as np
from PIL import Image

from edgewise.core.errors import UsageError
from edgewise.core.files import write_bytes
from edgewise.data.thumbnails import png

SIDE, TEST_SHARE = 32, 0.3


def write_digits(folder: Path, seed: int = 0) -> Path:
    """Write ``folder/train/CLASS/*.png`` and ``folder/test/CLASS/*.png``: 1,797 digits, 70 / 30 by class.

    Raises `UsageError` when scikit-learn, which carries the digits, is not installed.
    """
    if importlib.util.find_spec("sklearn") is None:
        raise UsageError('The demo needs scikit-learn\'s digits: pip install "edgewise[demo]".')
    from sklearn.datasets import load_digits

    digits = load_digits()
    rng = np.random.default_rng(seed)
    for label in range(10):
        rows = rng.permutation(np.flatnonzero(digits.target == label))
        cut = round(TEST_SHARE * len(rows))
        for number, row in enumerate(rows):
            name = folder / ("test" if number < cut else "train") / str(label) / f"{number:03d}.png"
            pixels = (digits.images[row] * (255 / 16)).astype(np.uint8)
            picture = Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
            write_bytes(name, png(picture))
    return folder
