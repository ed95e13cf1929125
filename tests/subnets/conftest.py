"""A finished run of sub-nets on photos of noise."""

import numpy as np
import pytest
from PIL import Image

from edgewise.jobs.subnets import SubNetSettings, SubNetsRequest, subnets
from subnets_small import Small


@pytest.fixture(scope="session")
def photos_run(tmp_path_factory):
    """``photos_run(seed=0)``: the record of a run with that seed, made once."""
    root, made, noise = tmp_path_factory.mktemp("subnets"), {}, np.random.default_rng(0)
    for part in ("train", "test"):
        for label in ("dark", "light"):
            (root / "photos" / part / label).mkdir(parents=True)
            for number in range(12):
                pixels = noise.integers(0, 120, (16, 16, 3)) + (100 if label == "light" else 0)
                Image.fromarray(pixels.astype(np.uint8)).save(root / "photos" / part / label / f"{number}.png")

    def run(seed):
        if seed not in made:
            request = SubNetsRequest(
                str(root / "photos"), subnets=SubNetSettings(densities=(0.5, 0.2)), epochs=4, batch_size=4,
                image_size=16, workers=0, val_fraction=0.25, seed=seed,
            )  # fmt: skip
            made[seed] = subnets(request, root / str(seed), module=Small())
        return made[seed]

    return run
