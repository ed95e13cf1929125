"""The page of a reprogramming in a real browser: quiet, whole, and readable on a telephone."""

from pathlib import Path

import pytest
from chromium import Chromium
from reprogram_samples import reprogram_record, write_reprogramming

from edgewise.report import write_report

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("runs")
    hostile = reprogram_record(["<img src=x onerror=console.error(2)>", "b" * 300])
    hostile["source"] |= {"calls_itself": "c" * 200}
    hostile["mapping"][0]["labels"][0]["label"] = "d" * 200
    records = {
        "remote": reprogram_record(),
        "white": reprogram_record(black=False, weights=True),
        "many": reprogram_record([f"class {index}" for index in range(120)], weights=True, each=3, epochs=60),
        "hostile": hostile,
    }
    return {
        name: write_report(write_reprogramming(root / name, record, 32 if name == "white" else 224))
        for name, record in records.items()
    }


@pytest.mark.parametrize("width", [1200, 768, 390])
@pytest.mark.parametrize("name", ["remote", "white", "many", "hostile"])
def test_nothing_is_wrong_with_a_page(chromium: Chromium, pages: dict[str, Path], name: str, width: int) -> None:
    assert chromium.faults(pages[name], width) == []
    assert chromium.value("document.querySelectorAll('svg.figure').length") >= 5
    assert chromium.value("document.querySelectorAll('.canvas img').length") == 1
    assert chromium.value("innerWidth") == width


def test_in_the_dark(chromium: Chromium, pages: dict[str, Path]) -> None:
    assert chromium.faults(pages["remote"], 390, "dark") == []
