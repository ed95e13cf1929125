"""The three numbers: predicted in one process, measured in another, and close to each other."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from commands import edgewise
from edgewise.core.errors import EdgewiseError, UsageError
from edgewise.core.progress import Silent
from edgewise.cost.heap import why_not
from edgewise.jobs import memory_report
from edgewise.jobs.memory_report import along, check_place, other, predicted_here, sides, write_report
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
    assert found["kept_mb"] < found["measured_peak_mb"]
    assert found["measured_rss_mb"] <= found["measured_peak_mb"] + 20
    assert found["step_ms"] > 0
    assert found["threads"] == 1
    assert found["uncovered"] == []
    fullest = sum(found["fullest"]["kinds"].values())
    assert 0.7 <= found["predicted_mb"] - fullest < 3, "the plan, and compiled code for every shape"
    assert max(sum(kinds.values()) for kinds in found["timeline"]) == pytest.approx(fullest, abs=0.02)


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


@COUNTED
def test_frozen_weights_in_8_bits_are_predicted_and_measured() -> None:
    wide, narrow = (
        profile(StepRequest("pocket", method="last", classes=2, threads=1, frozen_bits=bits), measure=True)
        for bits in (32, 8)
    )
    frozen = 4 * (narrow["total_params"] - narrow["trainable_params"]) / 1e6
    for found in (wide, narrow):
        assert close(found["predicted_mb"], found["measured_peak_mb"]), found
    for key in ("predicted_mb", "measured_peak_mb"):
        assert 0.6 * frozen < wide[key] - narrow[key] < 0.75 * frozen, "three of four bytes, but for norms and scales"
    for key in ("kept_mb", "macs_forward", "published_mb", "trainable_params", "total_params"):
        assert narrow[key] == wide[key], key


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"method": "repnt"}, "There is no method 'repnt'. Did you mean 'repnet'?"),
        ({"lean": "smal"}, "There is no setting of --lean 'smal'. Did you mean 'small'?"),
        ({"lean": "off", "frozen_bits": 8}, "--frozen-bits 8 needs --lean small or fast"),
        ({"frozen_bits": 16}, "frozen_bits is 16; choose one of 8, 32"),
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


def test_predictions_of_the_report_are_those_of_the_command() -> None:
    """One after another in one process, they must be what a process of its own says."""
    predicted_here(StepRequest("pocket", method="full", threads=1))
    request = StepRequest("pocket", batch_size=4, threads=1)
    assert predicted_here(request) == in_process("predict", request)


def test_along_the_network_work_and_memory_add_up() -> None:
    request = StepRequest("pocket", method="bias", threads=1)
    depth, size = along(request)
    assert size == 32
    assert list(depth.macs) == sorted(depth.macs)
    assert list(depth.kept_mb) == sorted(depth.kept_mb)
    found = predicted_here(other(request))
    assert depth.macs[-1] == found["macs_forward"]
    kept = found["fullest"]["kinds"]["kept"] / request.batch_size
    assert depth.kept_mb[-1] == pytest.approx(kept, rel=0.1)


def test_sides_lie_about_the_chosen_one() -> None:
    assert sides(224) == [128, 160, 224, 288, 320]
    assert sides(32) == [16, 24, 32, 40, 48]
    assert sides(100) == [48, 72, 100, 128, 152]
    assert sides(8) == [8, 12]


def test_stock_is_compared_with_small_and_everything_else_with_stock() -> None:
    assert other(StepRequest(lean="off")).lean == "small"
    assert other(StepRequest(lean="fast", frozen_bits=8)) == StepRequest(lean="off")


def test_a_step_that_cannot_be_predicted_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    request = StepRequest("pocket", method="last", lean="off", threads=1)
    unmeasured = dict.fromkeys(("measured_peak_mb", "measured_rss_mb", "step_ms"))
    found, predict, asked = {**unmeasured, **predicted_here(request)}, memory_report.predict, []

    def refuse(request: StepRequest) -> Mapping[str, Any]:
        asked.append((request.lean, request.image_size, request.batch_size))
        if request.image_size == 16 or request.batch_size == 32:
            raise EdgewiseError("too small <or> too many")
        return predict(request)

    monkeypatch.setattr(memory_report, "predict", refuse)
    monkeypatch.setattr(memory_report, "BATCH_SIZES", (1, 32))
    write_report(request, found, tmp_path / "page.html", "edgewise profile", Silent(), time.monotonic())
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "At 16 px, batch 8, --lean off there is no prediction: too small &lt;or&gt; too many" in page
    assert "At 32 px, batch 32, --lean small there is no prediction" in page
    assert len(asked) == len(set(asked)) == 2 * 7 - 1  # nothing twice, and not what is known already


def test_a_page_that_could_not_be_written_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for page, said in (
        (tmp_path / "gone" / "page.html", f"There is no folder {tmp_path / 'gone'} for --report page.html."),
        (tmp_path / "file" / "page.html", f"There is no folder {tmp_path / 'file'} for --report"),
        (tmp_path, f"--report {tmp_path} is a folder; name a file in it"),
    ):
        with pytest.raises(UsageError) as caught:
            profile(StepRequest("mobilenet_v9"), report=page)
        assert str(caught.value).startswith(said)
    check_place(tmp_path / "page.html")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_folder_that_cannot_be_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**where: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(memory_report.tempfile, "TemporaryFile", refuse)
    with pytest.raises(UsageError, match="cannot be written to .Permission denied.. Choose another place"):
        check_place(tmp_path / "page.html")


def test_the_command_writes_a_page(tmp_path: Path) -> None:
    done = edgewise(
        tmp_path, "profile", "--backbone", "pocket", "--image-size", "32", "--report", "memory.html", "--json"
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["report"] == "memory.html"
    assert "Predicting 19 more steps for the report" in done.stderr
    page = (tmp_path / "memory.html").read_text(encoding="utf-8").replace("\u00a0", " ")
    assert f"{found['predicted_mb']:.2f} MB" in page
    assert f"{found['published_mb']:.2f} MB" in page
    assert "<span>edgewise</span> <span>profile</span>" in page
    assert page.count('class="figure chart"') == 9
    assert len(page) < 2_000_000
    assert [path.name for path in tmp_path.iterdir()] == ["memory.html"]


def test_the_command_refuses_a_folder_that_is_not_there(tmp_path: Path) -> None:
    done = edgewise(tmp_path, "profile", "--report", "gone/memory.html")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "Error: There is no folder gone for --report memory.html. Make it first, or choose another.\n"
