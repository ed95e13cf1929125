"""The page of a comparison in a real browser: quiet, whole, and readable on a telephone."""

from pathlib import Path

import pytest
from chromium import Chromium
from compare_samples import MANY, compare_record, left_out, row, write_compare

from edgewise.report import write_report

pytestmark = pytest.mark.browser

FIGURES = {"many": 13, "few": 3, "equal": 5, "hostile": 2, "long": 13}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("comparisons")
    few = [row(*MANY[3], seeds=1, epochs=1), row(*MANY[6], seeds=1, epochs=1),
           left_out("full", "Full fine-tuning", "It does not fit.", predicted_mb=61.2)]  # fmt: skip
    same = [{**row(*one), "accuracy": 1.0, "accuracy_std": 0.0, "measured_peak_mb": 12.0} for one in MANY[2:6]]
    hostile = [{**row(*MANY[3]), "title": "<script>console.error('x')</script>" + 90 * "y"},
               left_out("z" * 90, "<img src=x onerror=console.error(2)>", "no " * 200)]  # fmt: skip
    records = {
        "many": compare_record(),
        "few": compare_record(few, seeds=1),
        "equal": compare_record(same),
        "hostile": compare_record(hostile),
        "long": compare_record([row(*one, epochs=400) for one in MANY]),
    }
    return {name: write_report(write_compare(root / name, record)) for name, record in records.items()}


@pytest.mark.parametrize("width", [1200, 768, 390])
@pytest.mark.parametrize("name", FIGURES)
def test_nothing_is_wrong_with_a_page(chromium: Chromium, pages: dict[str, Path], name: str, width: int) -> None:
    assert chromium.faults(pages[name], width) == []
    assert chromium.value("document.querySelectorAll('svg.figure').length") == FIGURES[name]
    assert chromium.value("innerWidth") == width
    assert pages[name].stat().st_size < 2_000_000


def test_in_the_dark(chromium: Chromium, pages: dict[str, Path]) -> None:
    assert chromium.faults(pages["many"], 390, "dark") == []


def test_no_name_in_the_picture_touches_another(chromium: Chromium, pages: dict[str, Path]) -> None:
    """As the browser's own font comes out, not as it was estimated."""
    for name in ("many", "equal"):
        assert chromium.faults(pages[name], 1200) == []
        boxes = chromium.value(
            "[...document.querySelectorAll('#front text.name')].map(e => e.getBoundingClientRect())"
            ".map(r => [r.left, r.top, r.right, r.bottom])"
        )
        assert len(boxes) == (12 if name == "many" else 4)
        for number, a in enumerate(boxes):
            for b in boxes[:number]:
                assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] + 1 or b[3] <= a[1] + 1
