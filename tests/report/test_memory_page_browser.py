"""The page of a profile in a real browser: quiet, whole, and readable on a telephone."""

from pathlib import Path

import pytest
from chromium import Chromium
from memory_samples import memory_record, prediction

from edgewise.report.memory_page import memory_page

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    measured = {"measured_peak_mb": 32.8, "measured_rss_mb": 86.5, "step_ms": 1238.0, "threads": 16}
    huge = prediction(300.0, macs_forward=4e11, macs_backward=8e11, macs_again=1e11)
    records = {
        "plain": memory_record(),
        "measured": memory_record(found=prediction(**measured)),
        "huge": memory_record(found={**huge, **measured}),
        "late": memory_record(found=_late()),
        "hostile": memory_record(
            command="<script>console.error('x')</script>" + 200 * "y",
            settings={**memory_record().settings, "backbone": "timm:" + 80 * "b"},
            notes=("n" * 300,),
        ),
    }
    for name, record in records.items():
        (folder / f"{name}.html").write_text(memory_page(record), encoding="utf-8")
    return {name: folder / f"{name}.html" for name in records}


def _late() -> dict[str, object]:
    """The fullest moment is the last one, and its operation has a long name."""
    timeline = [{"weights": 8.0, "kept": float(i)} for i in range(30)]
    fullest = {"operation": "aten.native_batch_norm_backward.default", "kinds": timeline[-1]}
    return prediction(timeline=timeline, fullest=fullest, predicted_mb=38.0)


@pytest.mark.parametrize("width", [1200, 768, 390])
@pytest.mark.parametrize("name", ["plain", "measured", "huge", "late", "hostile"])
def test_nothing_is_wrong_with_a_page(chromium: Chromium, pages: dict[str, Path], name: str, width: int) -> None:
    assert chromium.faults(pages[name], width) == []
    assert chromium.value("document.querySelectorAll('svg.figure').length") == 9
    assert chromium.value("innerWidth") == width


def test_in_the_dark(chromium: Chromium, pages: dict[str, Path]) -> None:
    assert chromium.faults(pages["measured"], 390, "dark") == []
