"""``edgewise subnets`` as a user types it, on a tiny folder of generated photos."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from commands import edgewise

NETWORK = ("--backbone", "resnet20", "--weights", "none", "--workers", "0")
QUICK = ("--epochs", "2", "--batch-size", "4", "--densities", "0.3,0.1", "--relation", "nd", "--gc")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``my photos``: train/ 10 and test/ 4 noisy squares of each of two colours."""
    folder, noise = tmp_path_factory.mktemp("subnets"), np.random.default_rng(0)
    for split, count in {"train": 10, "test": 4}.items():
        for name, colour in {"green": (50, 170, 60), "rot": (200, 50, 40)}.items():
            (folder / "my photos" / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = np.clip(np.array(colour) + noise.normal(0, 30, (36, 32, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / "my photos" / split / name / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def printed(home: Path) -> str:
    done = edgewise(home, "subnets", "my photos", *NETWORK, *QUICK)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_shows_every_epoch_and_every_sub_net_in_80_columns(home: Path, printed: str) -> None:
    lines = printed.splitlines()
    assert max(len(line) for line in lines if not line.startswith("Note:")) <= 80
    (heading,) = (line for line in lines if "train loss" in line)
    assert heading.split()[-3:] == ["70%", "90%", "time"]
    rows = {line.split()[0]: line for line in lines if line.strip().startswith(("70%", "90%"))}
    assert "30.0 %" in rows["70%"]
    assert "10.0 %" in rows["90%"]
    assert any(line.startswith("Engine:   masked dense") for line in lines)
    assert lines[-1] == "  edgewise eval runs/subnets-1 'my photos' --subnet 90%"
    for name in ("config.yaml", "record.json", "metrics.csv", "log.txt", "artifact/subnets.safetensors"):
        assert (home / "runs/subnets-1" / name).is_file(), name


def test_eval_agrees_with_the_record_and_predict_works(home: Path, printed: str) -> None:
    done = edgewise(home, *shlex.split(printed.splitlines()[-1])[1:], "--json")
    record = json.loads((home / "runs/subnets-1/record.json").read_text())
    assert json.loads(done.stdout)["accuracy"] == record["subnets"]["accuracy"]["90%"]
    done = edgewise(home, "eval", "runs/subnets-1", "my photos", "--subnet", "99%")
    assert (done.returncode, "Did you mean '90%'" in done.stderr) == (2, True)
    done = edgewise(home, "predict", "runs/subnets-1", "my photos/test/rot/0.png")
    assert done.returncode == 0


def test_json_is_all_there_is_on_standard_output(home: Path) -> None:
    words = ("--training", "granet", "--densities", "0.2", "--json", "--out", "told")
    done = edgewise(home, "subnets", "my photos", *NETWORK, *QUICK, *words)
    found = json.loads(done.stdout)
    assert (found["run"], found["subnets"]["names"], found["subnets"]["training"]) == ("told", ["80%"], "granet")
    assert "1/2" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--densities", "0.1,0.5"), "from the largest down: 0.5,0.1"),
        (("--densities", "0.1,x"), "'0.1,x' is no list of numbers"),
        (("--densities", "0.1,0.0001"), "less than one weight of layer1.0.conv1 (2304)"),
        (("--patterns", "2:4,1:32"), "needs input channels that 32 divides"),
        (("--relation", "sc"), "choose one of nd, cs"),
        (("--weights", "nowhere.safetensors"), "nowhere.safetensors"),
    ],
)
def test_bad_input_is_refused_in_the_users_words_and_nothing_is_written(
    home: Path, words: tuple[str, ...], said: str
) -> None:
    done = edgewise(home, "subnets", "my photos", *NETWORK, *words, "--out", "refused")
    assert done.returncode in (1, 2)
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not (home / "refused").exists()


def test_a_finished_run_is_not_overwritten_and_not_resumed_with_other_settings(home: Path, printed: str) -> None:
    out = ("--out", "runs/subnets-1")
    again = edgewise(home, "subnets", "my photos", *NETWORK, *QUICK, *out)
    assert (again.returncode, "is in use" in again.stderr) == (2, True)
    other = edgewise(home, "subnets", "my photos", *NETWORK, *QUICK, "--no-gc", *out, "--resume")
    assert (other.returncode, "gc was True and is now False" in other.stderr) == (2, True)
