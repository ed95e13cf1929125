"""Small real folders of photos for the jobs: coloured shapes that a network can tell apart."""

import numpy as np
import pytest
from PIL import Image


def paint(folder, label, count, seed=0, side=32):
    """``count`` noisy squares (label 0) or stripes (label 1) as JPEGs in ``folder``."""
    rng = np.random.default_rng([seed, label])
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        pixels = rng.integers(0, 90, (side, side, 3))
        if label == 0:
            y, x = rng.integers(4, side - 16, 2)
            pixels[y : y + 12, x : x + 12, 0] += 150
        else:
            pixels[:: int(rng.integers(3, 6)), :, 2] += 150
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i:03d}.jpg", quality=95)


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """train 2 x 20, test 2 x 8."""
    root = tmp_path_factory.mktemp("photos")
    for label, name in enumerate(("square", "stripe")):
        paint(root / "train" / name, label, 20)
        paint(root / "test" / name, label, 8, seed=1)
    return root
