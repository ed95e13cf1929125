"""``edgewise plan`` and ``edgewise fit --budget`` as a user types them."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file

from commands import edgewise, environment
from edgewise.cli.main import main
from edgewise.core.surgery import digest
from edgewise.cost.resident import resident

PAGE = Path(__file__).resolve().parents[2] / "docs" / "plan.md"
NETWORK = ("--backbone", "pocket", "--image-size", "32", "--batch-size", "2")
FITTING = (*NETWORK, "--method", "last", "--epochs", "2")
# What PyTorch's compiler and figures bring in, and no run within a budget may.  PyTorch itself imports a few.
HEAVY = (
    "torch._dynamo", "torch._inductor", "sympy", "torch.optim", "torch.utils.checkpoint", "matplotlib",
    "torch.fx.experimental.symbolic_shapes",
)  # fmt: skip
AND_WHAT_IT_IMPORTED = """
import json, sys
import torch
by_torch = set(sys.modules)
from edgewise.cli.main import main
try:
    main(sys.argv[2:])
finally:
    open(sys.argv[1], "w").write(json.dumps(sorted(set(sys.modules) - by_torch)))
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``photos/``: train/ 2 x 8, test/ 2 x 2."""
    folder, noise = tmp_path_factory.mktemp("budget"), np.random.default_rng(0)
    for split, count in {"train": 8, "test": 2}.items():
        for name, colour in {"blue": (40, 60, 200), "rot": (200, 50, 40)}.items():
            (folder / "photos" / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = np.clip(np.array(colour) + noise.normal(0, 30, (40, 48, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / "photos" / split / name / f"{number}.png")
    return folder


def blocks(page: Path) -> list[str]:
    return re.findall(r"^```\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"\d+(?:\.\d+)?", text)]


def test_the_page_shows_what_the_command_says(tmp_path: Path) -> None:
    """docs/plan.md: the same table; its numbers may move a little from one PyTorch to the next."""
    command, shown, *_ = blocks(PAGE)
    done = edgewise(tmp_path, *shlex.split(command)[1:])
    assert (done.returncode, done.stderr) == (0, "")
    begin, end = (next(i for i, line in enumerate(done.stdout.splitlines()) if w in line) for w in ("Grade ", " fit "))
    said = "\n".join(done.stdout.splitlines()[begin : end - 1])
    words = [re.sub(r"\d+(?:\.\d+)?", "#", text).split() for text in (said, shown)]
    assert words[0] == words[1]
    assert numbers(said) == pytest.approx(numbers(shown), rel=0.05, abs=1)
    assert done.stdout.splitlines()[end:] == [
        "3 ways fit 6.00 MB.",
        "Grade: A leads in our comparison (docs/results.md), -: 8-bit weights change the network slightly.",
        "Peak: predicted for a training step. Time: estimated, to compare; edgewise profile measures.",
        "edgewise fit --budget counts the whole command: up to 11.00 MB more than a step.",
        "",
        "Next:",
        "  edgewise fit photos/ --weights FILE --backbone pocket --image-size 32 --batch-size 2 --budget 6MB",
    ]
    assert list(tmp_path.iterdir()) == []


def here(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[object, str, str]:
    """The command in this process: its exit status, output and errors."""
    with pytest.raises(SystemExit) as done:
        main(words)
    return done.value.code, *capsys.readouterr()


def test_where_nothing_fits_the_smallest_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    status, printed, errors = here(capsys, "plan", *NETWORK, "--method", "last", "--budget", "1MB")
    assert (status, printed) == (1, "Predicting what every method takes\n")
    assert re.fullmatch(
        r"Error: Nothing fits 1\.00 MB\. The smallest budget that would do is \d\.\d\d MB: last, 1 photo, 8 bits; most "
        r"of it is in work\. Or use a smaller --batch-size or --image-size\.\n",
        errors,
    )


def test_json_alone_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("plan", "--backbone", "pocket", "--batch-size", "1", "--method", "last", "--json", "--budget")
    status, printed, errors = here(capsys, *words, "1GB")
    found = json.loads(printed)
    assert (status, errors) == (0, "Predicting what every method takes\n")
    assert (found["budget_mb"], found["considered"]) == (1000, 4), "of one photo a step there are no chunks"
    assert [choice["grade"] for choice in found["choices"]] == ["C", "C", "C-", "C-"]
    assert found["smallest"]["predicted_mb"] <= found["smallest_mb"] <= found["smallest"]["predicted_mb"] + 0.011


def test_a_fit_within_a_budget(home: Path) -> None:
    """It stays within, says what was chosen, and never loads what planning loads."""
    words = ("fit", "photos", *FITTING, "--budget", "40MB", "--out", "within")
    done = subprocess.run(
        [sys.executable, "-c", AND_WHAT_IT_IMPORTED, "imported.json", *words],
        cwd=home, env=environment(), capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    imported = json.loads((home / "imported.json").read_text())
    assert "edgewise.train.loop" in imported
    assert [name for name in imported if name.startswith(HEAVY)] == []
    assert "\nNote: For 40.00 MB: last (grade C), 1 photo at a time, frozen weights in 32 bits" in done.stdout
    record = json.loads((home / "within" / "record.json").read_text())
    assert record["budget"]["budget_mb"] == 40
    assert record["budget"]["lean"] == record["config"]["lean"] == {"chunk": 1, "frozen_bits": 32, "recompute": True}
    assert record["budget"]["method"] == record["config"]["method"] == "last"
    assert record["config"]["workers"] == 0
    if resident() is not None:
        assert record["cost"]["measured_rss_mb"] <= 40 + 20


def test_a_budget_that_is_too_small_leaves_nothing_behind(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("fit", str(home / "photos"), *FITTING, "--budget", "3MB", "--out", str(tmp_path / "run"))
    status, _, errors = here(capsys, *words)
    assert status == 1
    assert re.fullmatch(
        r"Error: Nothing of last fits a budget of 3\.00 MB\. The smallest that would do is \d\d\.\d\d MB: last, .*\n",
        errors,
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("plan", "--budget", "48 apples"), "The budget '48 apples' is no amount of memory; write it like 48MB or"),
        (("plan", "--budget", "48MB", "--method", "repnt"), "There is no method 'repnt'. Did you mean 'repnet'?"),
        (("plan", "--budget", "48MB", "--classes", "1"), "plan: classes is 1; it must be from 2 to 100000."),
        (("plan", "--budget", "48MB", "--set", "connect"), "--set 'connect' has no value; write --set name=value"),
        (("fit", "photos", "--budget", "-5MB"), "The budget '-5MB' is no amount of memory"),
        (("fit", "photos", "--budget", "0"), "The budget is '0'; it must be more than nothing"),
        (("fit", "photos", "--budget", "9MB", "--lean", "small"), "--budget chooses --lean itself; leave one of the"),
        (("fit", "photos", "--budget", "9MB", "--frozen-bits", "8"), "--budget chooses --frozen-bits itself; leave"),
        (("fit", "photos", "--budget", "9MB", "--workers", "2"), "--budget chooses --workers itself; leave one of"),
    ],
)
def test_wrong_usage_is_2(
    words: tuple[str, ...],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    status, printed, errors = here(capsys, *words)
    assert (status, printed) == (2, "")
    assert errors.startswith(f"Error: {said}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.skipif(resident() is None, reason="the system does not tell a resident size")
def test_a_photo_that_is_too_large_stops_the_run_which_is_then_finished(home: Path) -> None:
    """Beyond the ceiling it is refused; below, the watchdog sees it. Resumed, the weights are those of a run alone."""
    shutil.copytree(home / "photos", home / "large")
    huge, words = home / "large" / "train" / "rot" / "huge.png", ("fit", "large", *FITTING)
    Image.new("RGB", (6000, 6000), (190, 60, 40)).save(huge)
    refused = edgewise(home, *words, "--budget", "16MB", "--out", "refused")
    assert refused.returncode == 1
    assert refused.stderr.startswith("Error: More memory was needed than the budget allows (MemoryError); the budget")
    assert not (home / "refused").exists()

    Image.new("RGB", (3000, 3000), (190, 60, 40)).save(huge)
    stopped = edgewise(home, *words, "--budget", "16MB", "--out", "stopped")
    assert stopped.returncode == 1
    said = r"Error: The process grew to [\d.]+ MB over import; the budget is 16\.00 MB, and up to 20\.00 MB beside it\."
    assert re.match(said, stopped.stderr)
    assert not (home / "stopped" / "record.json").exists()
    resumed = edgewise(home, *words, "--budget", "300MB", "--out", "stopped", "--resume")
    alone = edgewise(home, *words, "--workers", "0", "--out", "alone")
    assert (resumed.returncode, resumed.stderr, alone.returncode, alone.stderr) == (0, "", 0, "")
    adapters = [load_file(home / run / "artifact" / "adapter.safetensors") for run in ("stopped", "alone")]
    assert digest(adapters[0]) == digest(adapters[1])
    record = json.loads((home / "stopped" / "record.json").read_text())
    assert record["budget"] == {"budget_mb": 300, "method": "last", "lean": record["config"]["lean"]}
