"""The page of a compression in a real browser: quiet, whole, and readable on a telephone."""

from pathlib import Path

import pytest
from chromium import Chromium
from compress_samples import compress_record, resnet
from report_samples import write_run

from edgewise.report import write_report

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("runs")
    records = {
        "small": compress_record(),
        "deep": compress_record(resnet(9), epochs=200, shown=50),
        "single channels": compress_record(pe=1),
        "wide": compress_record([("features.3", (384, 256, 3, 3)), ("f" * 200, (16, 64, 1, 1))], pe=64, shown=0),
        "prune": compress_record(arm="prune", epochs=1),
        "float": compress_record([], arm="float"),
    }
    return {name: write_report(write_run(root / name, record)) for name, record in records.items()}


@pytest.mark.parametrize("width", [1200, 768, 390])
@pytest.mark.parametrize("name", ["small", "deep", "single channels", "wide", "prune", "float"])
def test_nothing_is_wrong_with_a_page(chromium: Chromium, pages: dict[str, Path], name: str, width: int) -> None:
    assert chromium.faults(pages[name], width) == []
    assert chromium.value("document.querySelectorAll('svg.figure').length") >= 5
    assert chromium.value("innerWidth") == width


def test_in_the_dark(chromium: Chromium, pages: dict[str, Path]) -> None:
    assert chromium.faults(pages["small"], 390, "dark") == []
