"""The three numbers: predicted in one process, measured in another, and close to each other."""

import json
from pathlib import Path

import pytest

from commands import edgewise
from edgewise.core.errors import UsageError
from edgewise.cost.heap import why_not
from edgewise.jobs.profile import profile
from edgewise.jobs.step_process import in_process
from edgewise.jobs.training_step import StepRequest

COUNTED = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))


def close(predicted: float, measured: float) -> bool:
    return abs(predicted - measured) <= max(2.0, 0.05 * measured)


@COUNTED
@pytest.mark.parametrize("method", ["repnet", "full"])
def test_prediction_meets_measurement(method: str) -> None:
    found = profile(StepRequest("pocket", method=method, batch_size=32, threads=1), measure=True)
    assert close(found["predicted_mb"], found["measured_peak_mb"]), found
    assert found["kept_mb"] < found["measured_peak_mb"] < found["measured_rss_mb"]
    assert found["step_ms"] > 0
    assert found["threads"] == 1
    assert found["uncovered"] == []
    assert sum(found["fullest"]["kinds"].values()) == pytest.approx(found["predicted_mb"] - 1, abs=0.02)
    assert max(sum(kinds.values()) for kinds in found["timeline"]) == pytest.approx(found["predicted_mb"] - 1, abs=0.02)


@COUNTED
@pytest.mark.slow
@pytest.mark.parametrize("method", ["full", "last", "bn", "bias", "repnet"])
def test_predictions_of_mobilenet_v2_meet_their_measurements(method: str) -> None:
    found = profile(StepRequest("mobilenet_v2", method=method, classes=100, threads=1), measure=True)
    assert close(found["predicted_mb"], found["measured_peak_mb"]), found


def test_lean_is_predicted_to_take_less() -> None:
    off, small = (in_process("predict", StepRequest("pocket", method="bias", lean=lean)) for lean in ("off", "small"))
    assert small["predicted_mb"] < off["predicted_mb"] / 3
    assert small["published_mb"] == off["published_mb"]
    assert small["macs_forward"] == off["macs_forward"] > 0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"method": "repnt"}, "There is no method 'repnt'. Did you mean 'repnet'?"),
        ({"lean": "smal"}, "There is no setting of --lean 'smal'. Did you mean 'small'?"),
        ({"classes": 1}, "profile: classes is 1; it must be from 2 to 100000."),
    ],
)
def test_bad_requests(changes: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said.replace("?", r"\?").replace("(", r"\(")):
        StepRequest(**changes)  # type: ignore[arg-type]


def test_a_backbone_nobody_knows_is_said_by_the_child() -> None:
    with pytest.raises(UsageError, match="There is no backbone 'mobilenet_v9'"):
        in_process("predict", StepRequest("mobilenet_v9"))


def test_the_command(tmp_path: Path) -> None:
    done = edgewise(tmp_path, "profile", "--backbone", "pocket", "--method", "last", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert {"published_mb", "predicted_mb", "measured_peak_mb", "timeline", "trainable_params"} <= set(found)
    assert found["measured_peak_mb"] is None
