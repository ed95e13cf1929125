"""What a budget chooses, in words; and the ceiling, under which memory is really refused."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from commands import environment
from edgewise.core.errors import EdgewiseError, UsageError
from edgewise.core.progress import Silent
from edgewise.core.runs import RunFolder
from edgewise.cost.resident import resident
from edgewise.jobs.budget import within_budget
from edgewise.jobs.request import FitRequest, resolve_method, resolved
from edgewise.lean import Lean
from edgewise.plan import BESIDES, parse_budget

LIMITS = pytest.mark.skipif(
    resident() is None or not sys.platform.startswith("linux"), reason="no limit that counts a process's data here"
)


class Heard(Silent):
    def __init__(self) -> None:
        self.stages: list[str] = []
        self.notes: list[str] = []

    def stage(self, text: str) -> None:
        self.stages.append(text)

    def note(self, text: str) -> None:
        self.notes.append(text)


def request(photos: Path, **changes: Any) -> FitRequest:
    """Of two photos a step: less to plan."""
    return FitRequest(str(photos), **{"backbone": "pocket", "batch_size": 2, "workers": 3, **changes})


def chosen(
    request: FitRequest, budget: str, folder: Path, any_method: bool = False, resume: bool = False
) -> tuple[FitRequest, dict[str, Any], Heard]:
    heard = Heard()
    found, choice = within_budget(request, parse_budget(budget), any_method, RunFolder(folder), resume, heard)
    return found, choice, heard


def test_the_plan_chooses_and_says_so(photos: Path, tmp_path: Path) -> None:
    asked = request(photos, method="last")
    found, choice, heard = chosen(asked, "40MB", tmp_path, any_method=True)
    assert (found.method, found.lean, found.workers) == ("repnet", Lean(1, 32, True), 0)
    assert {key: choice[key] for key in ("budget_mb", "grade", "method")} == {
        "budget_mb": 40, "grade": "A", "method": "repnet",
    }  # fmt: skip
    assert choice["lean"] == {"chunk": 1, "frozen_bits": 32, "recompute": True}
    assert heard.notes == [
        "For 40.00 MB: repnet (grade A), 1 photo at a time, frozen weights in 32 bits, computing again what is cheap; "
        f"a training step is predicted to take {choice['predicted_mb']:.2f} MB, the rest of the command up to 11.00 MB "
        "more."
    ]
    assert heard.stages == ["Predicting what every method takes"], "the best grade fits, so nothing else was asked"
    assert found == FitRequest(**{**vars(asked), "method": "repnet", "workers": 0})


@pytest.mark.slow
def test_nothing_fits_and_the_budget_that_is_named_does(photos: Path, tmp_path: Path) -> None:
    asked = request(photos, method="last")
    with pytest.raises(EdgewiseError) as caught:
        chosen(asked, "12MB", tmp_path)
    said = re.fullmatch(
        r"Nothing of last fits a budget of 12\.00 MB\. The smallest that would do is (\d+\.\d\d MB): last, 1 photo at "
        r"a time, frozen weights in 8 bits, computing again what is cheap\. Or use a smaller --batch-size or "
        r"--image-size\.",
        str(caught.value),
    )
    assert said
    # a run that was stopped before it began is planned as well
    found, choice, _ = chosen(asked, said[1], tmp_path / "gone", resume=True)
    assert found.lean is not None
    assert (found.method, found.lean.frozen_bits, choice["grade"]) == ("last", 8, "C-")
    assert choice["predicted_mb"] + BESIDES / 1e6 == pytest.approx(float(said[1].split()[0]), abs=0.011)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_method_of_a_lower_grade_where_the_best_does_not_fit(photos: Path, tmp_path: Path) -> None:
    asked = request(photos)
    least = {}
    for method in ("repnet", "full", "bias"):
        with pytest.raises(EdgewiseError) as caught:
            chosen(request(photos, method=method), "1MB", tmp_path)
        least[method] = float(str(caught.value).split("would do is ")[1].split()[0])
    budget = (least["bias"] + min(least["repnet"], least["full"])) / 2
    assert least["bias"] < budget
    found, choice, heard = chosen(asked, f"{budget:.2f}MB", tmp_path, any_method=True)
    assert (found.method, choice["method"]) == ("bias", "bias")
    assert len(heard.stages) == 3
    with pytest.raises(EdgewiseError, match="^No method fits a budget of 1.00 MB. The smallest that would do is "):
        chosen(asked, "1MB", tmp_path, any_method=True)


def test_settings_belong_to_their_method(photos: Path, tmp_path: Path) -> None:
    """What is set is Rep-Net's, the default: no other method is chosen, and the plan heeds it."""
    asked = request(photos, method_settings={"connect": "none-such"})
    with pytest.raises(UsageError, match="none-such"):
        chosen(asked, "40MB", tmp_path, any_method=True)


def test_a_resumed_run_keeps_what_was_chosen(photos: Path, tmp_path: Path) -> None:
    begun = request(photos, method="bias", lean=Lean(2, 8, False), workers=0)
    RunFolder(tmp_path).create(resolved(begun, resolve_method(begun)), resume=False)
    found, choice, heard = chosen(request(photos), "900MB", tmp_path, any_method=True, resume=True)
    assert found == begun
    assert choice == {"budget_mb": 900, "method": "bias", "lean": {"chunk": 2, "frozen_bits": 8, "recompute": False}}
    assert heard.stages == heard.notes == [], "nothing is planned again"
    named = chosen(request(photos, method="last"), "900MB", tmp_path, resume=True)[0]
    with pytest.raises(UsageError, match="method was 'bias' and is now 'last'"):
        RunFolder(tmp_path).started(resolved(named, resolve_method(named)), resume=True)


UNDER_A_CEILING = """
import gc, json, resource, torch
from edgewise.core.errors import EdgewiseError
from edgewise.cost.resident import forget_highest, resident
from edgewise.jobs.budget import ceiling

BUDGET = 30_000_000
forget_highest()
base, limit, said = resident(), resource.getrlimit(resource.RLIMIT_DATA), {}
with ceiling(BUDGET, base) as watchdog:
    small = torch.ones(5_000_000)
    said["below"] = watchdog()
    said["limited"] = resource.getrlimit(resource.RLIMIT_DATA) != limit
    del small
try:
    with ceiling(BUDGET, base) as watchdog:
        torch.ones(100_000_000)
except EdgewiseError as error:
    said["refused"] = str(error)
try:
    with ceiling(BUDGET, base):
        bytearray(400_000_000)
except EdgewiseError as error:
    said["refused by Python"] = str(error)
said["the same limit"] = resource.getrlimit(resource.RLIMIT_DATA) == limit
with ceiling(BUDGET, base) as watchdog:
    said["still below"] = watchdog()
    grown = torch.ones(18_000_000)
    del grown
    said["above"] = watchdog()
with ceiling(BUDGET, None) as watchdog:
    said["nobody knows where it began"] = watchdog()
said["afterwards"] = len(torch.ones(100_000_000))
try:
    with ceiling(BUDGET, base):
        raise RuntimeError("shapes do not match")
except RuntimeError as error:
    said["another error"] = str(error)
print(json.dumps(said))
"""
REMEDY = (
    "the budget is 30.00 MB, and up to 20.00 MB beside it. The last checkpoint is kept: repeat the command with "
    "--resume and a larger --budget, or begin anew with a smaller --batch-size."
)


@LIMITS
def test_the_ceiling_refuses_memory_and_the_watchdog_sees_it() -> None:
    done = subprocess.run([sys.executable, "-c", UNDER_A_CEILING], env=environment(), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    said = json.loads(done.stdout)
    assert said["below"] is said["still below"] is said["nobody knows where it began"] is None
    assert said["limited"] is said["the same limit"] is True
    assert said["refused"].startswith("More memory was needed than the budget allows (")
    assert "allocate" in said["refused"]
    assert said["refused"].endswith(f"); {REMEDY}")
    assert said["refused by Python"] == f"More memory was needed than the budget allows (MemoryError); {REMEDY}"
    grown = re.fullmatch(r"The process grew to ([\d.]+) MB over import; (.*)", said["above"])
    assert grown
    assert 68 < float(grown[1]) < 90
    assert grown[2] == REMEDY
    assert said["afterwards"] == 100_000_000
    assert said["another error"] == "shapes do not match"
