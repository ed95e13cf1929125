"""``edgewise compress`` as a user types it, on a tiny folder of generated photos."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from commands import edgewise

NETWORK = ("--backbone", "resnet20", "--weights", "none", "--workers", "0")
QUICK = ("--epochs", "2", "--batch-size", "6", "--lambda", "0.01")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``my photos``: train/ 10 and test/ 4 noisy squares of each of two colours."""
    folder, noise = tmp_path_factory.mktemp("compress"), np.random.default_rng(0)
    for split, count in {"train": 10, "test": 4}.items():
        for name, colour in {"green": (50, 170, 60), "rot": (200, 50, 40)}.items():
            (folder / "my photos" / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = np.clip(np.array(colour) + noise.normal(0, 30, (36, 32, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / "my photos" / split / name / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def printed(home: Path) -> str:
    done = edgewise(home, "compress", "my photos", *NETWORK, *QUICK)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_shows_every_epoch_every_layer_and_the_three_rates_in_80_columns(home: Path, printed: str) -> None:
    lines = printed.splitlines()
    assert max(len(line) for line in lines if not line.startswith("Note:")) <= 80
    assert [line.split()[0] for line in lines if line.strip().startswith(("1/2", "2/2"))] == ["1/2", "2/2"]
    (heading,) = (line for line in lines if "train loss" in line)
    assert heading.split("  ")[-1].strip() == "time"
    assert "penalty" in heading
    assert "group sparsity" in heading
    assert sum(line.strip().startswith("layer") for line in lines) == 18
    assert any(line.split()[:2] == ["all", "layers"] and "1,856" in line for line in lines)
    assert sum("Smaller, " in line for line in lines) == 3
    assert any(line.strip().startswith("Accuracy on 8 photos (test)") for line in lines)
    assert lines[-2:] == ["  edgewise eval runs/compress-1 'my photos'", "  edgewise export runs/compress-1 --to c"]
    for name in ("config.yaml", "record.json", "metrics.csv", "log.txt", "report.html", "artifact/network.ew3"):
        assert (home / "runs/compress-1" / name).is_file(), name


def test_eval_agrees_with_the_record_and_predict_works(home: Path, printed: str) -> None:
    done = edgewise(home, *shlex.split(printed.splitlines()[-2])[1:], "--json")
    record = json.loads((home / "runs/compress-1/record.json").read_text())
    assert json.loads(done.stdout)["accuracy"] == record["metrics"]["accuracy"]
    assert shlex.split(record["command"])[:3] == ["edgewise", "compress", "my photos"]
    done = edgewise(home, "predict", "runs/compress-1", "my photos/test/rot/0.png")
    assert done.returncode == 0


def test_json_is_all_there_is_on_standard_output(home: Path) -> None:
    words = ("--arm", "prune", "--pe", "4", "--json", "--out", "told")
    done = edgewise(home, "compress", "my photos", *NETWORK, *QUICK, *words)
    found = json.loads(done.stdout)
    assert (found["run"], found["compress"]["arm"], found["compress"]["pe"]) == ("told", "prune", 4)
    assert set(found["compress"]["rates"]) == {"eq_2_8", "with_ends", "file"}
    assert "1/2" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--pe", "5"), "--pe is 5, which does not divide the input channels of 18 of 18 layers: layer1.0.conv1 (16)"),
        (("--lambda", "-1"), "lam is -1.0; it must be from 0 to 1000"),
        (("--weights", "nowhere.safetensors"), "nowhere.safetensors"),
    ],
)
def test_bad_input_is_refused_in_the_users_words_and_nothing_is_written(
    home: Path, words: tuple[str, ...], said: str
) -> None:
    done = edgewise(home, "compress", "my photos", *NETWORK, *words, "--out", "refused")
    assert done.returncode in (1, 2)
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not (home / "refused").exists()


def test_a_finished_run_is_not_overwritten_and_not_resumed_with_other_settings(home: Path, printed: str) -> None:
    out = ("--out", "runs/compress-1")
    again = edgewise(home, "compress", "my photos", *NETWORK, *QUICK, *out)
    assert (again.returncode, "is in use" in again.stderr) == (2, True)
    other = edgewise(home, "compress", "my photos", *NETWORK, *QUICK, "--pe", "8", *out, "--resume")
    assert (other.returncode, "pe was 16 and is now 8" in other.stderr) == (2, True)
