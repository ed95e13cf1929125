"""Photos to test with: small, made on the spot, each different from the others."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

Paint = Callable[..., Path]
Fill = Callable[[Path, Mapping[str, int]], None]


@pytest.fixture(scope="session")
def paint() -> Paint:
    """``paint(path, width, height, number)`` saves a smooth picture, another for every number."""

    def save(path: Path, width: int = 48, height: int = 40, number: int = 0, **options: Any) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse = np.random.default_rng(number).integers(0, 256, (5, 6, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
        image.save(path, **options)
        return path

    return save


@pytest.fixture(scope="session")
def fill(paint: Paint) -> Fill:
    """``fill(root, {"train/ant": 3})`` makes folders with that many photos."""

    def make(root: Path, folders: Mapping[str, int]) -> None:
        for place, (folder, number) in enumerate(folders.items()):
            (root / folder).mkdir(parents=True, exist_ok=True)
            for index in range(number):
                paint(root / folder / f"{index:03d}.png", 12, 10, 1000 * place + index)

    return make
