"""Real pictures, some fifty steps, with and without the lean pass: the same accuracy."""

import shutil
from pathlib import Path

import pytest

from edgewise.jobs.digits import write_digits
from edgewise.jobs.fit import fit_run
from edgewise.jobs.request import FitRequest
from edgewise.lean import FAST, SMALL, Lean

A_CLASS, BATCH = 45, 8


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """450 of scikit-learn's handwritten digits to train on; all of its test part."""
    pytest.importorskip("sklearn", reason="the demo's digits come with scikit-learn")
    root = write_digits(tmp_path_factory.mktemp("digits") / "all", seed=0)
    for folder in (root / "train").iterdir():
        for picture in sorted(folder.iterdir())[A_CLASS:]:
            picture.unlink()
    shutil.rmtree(root / "val", ignore_errors=True)
    return root


@pytest.mark.slow
@pytest.mark.parametrize("method", ["repnet", "full"])
def test_the_same_accuracy(method: str, digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgewise.lean.planning.ROOM", 0)  # as small as it is, the step is cut
    found = {}
    settings: dict[str, Lean | None] = {"off": None, "small": SMALL, "fast": FAST}
    for name, lean in settings.items():
        request = FitRequest(
            str(digits), backbone="pocket", method=method, epochs=1, batch_size=BATCH, val_fraction=0.1, flip=False,
            crop_scale=0.8, lean=lean, workers=0, max_bad=0,
        )  # fmt: skip
        record = fit_run(request, tmp_path / name)
        assert record["data"]["train"] // BATCH in range(45, 56)
        found[name] = record["metrics"]["test_accuracy"], record["history"][0]["train_loss"]
    accuracy, loss = found["off"]
    assert accuracy > 0.3, "three times chance: it has learned"
    for name in ("small", "fast"):
        # of 539 test pictures; two standard errors of a difference are six points
        assert found[name][0] == pytest.approx(accuracy, abs=0.06), found
        assert found[name][1] == pytest.approx(loss, rel=0.05), found
