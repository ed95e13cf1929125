"""The pages in a real browser: nothing in the console, nothing fetched, nothing cut off, readable on a telephone."""

from pathlib import Path

import pytest
from chromium import Chromium
from report_samples import DIGITS, METHODS, fit_record, write_demo, write_run

from edgewise.report import write_report

pytestmark = pytest.mark.browser
LONG = [f"a rather long name of class number {index}" for index in range(16)]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("runs")
    records = {
        "two": fit_record(["ant", "bee"], mistakes=1, epochs=1, split="val"),
        "flowers": fit_record(),
        "digits": fit_record(DIGITS),
        "long": fit_record(LONG, 0.7),
        "many": fit_record([f"class {index}" for index in range(200)], 0.6, each=10, epochs=60),
        "hostile": fit_record(
            ["<script>console.error('x')</script>", "<img src=x onerror=console.error(2)>", "b" * 300]
        ),
    }
    found = {name: write_report(write_run(root / name, record)) for name, record in records.items()}
    write_demo(root / "demo")
    for method, *_ in METHODS:
        write_report(root / "demo" / method)
    return {**found, "demo": write_report(root / "demo")}


@pytest.mark.parametrize("width", [1200, 768, 390])
@pytest.mark.parametrize("name", ["two", "flowers", "digits", "long", "many", "hostile", "demo"])
def test_nothing_is_wrong_with_a_page(chromium: Chromium, pages: dict[str, Path], name: str, width: int) -> None:
    assert chromium.faults(pages[name], width) == []
    assert chromium.value("document.querySelectorAll('svg.figure').length") >= 5
    assert chromium.value("innerWidth") == width


def test_dark_and_light_follow_the_reader(chromium: Chromium, pages: dict[str, Path]) -> None:
    grounds = []
    for scheme in ("light", "dark"):
        assert chromium.faults(pages["flowers"], 390, scheme) == []
        grounds.append(chromium.value("getComputedStyle(document.body).backgroundColor"))
    assert grounds == ["rgb(246, 246, 243)", "rgb(15, 18, 21)"]


def test_the_demo_leads_to_every_report(chromium: Chromium, pages: dict[str, Path]) -> None:
    assert chromium.faults(pages["demo"], 1200) == []
    links = chromium.value("[...document.querySelectorAll('a[href$=\"report.html\"]')].map(a => a.href)")
    assert len(links) == len(METHODS) + 1
    for link in sorted(set(links)):
        assert chromium.faults(Path(link.removeprefix("file://")), 390) == []


@pytest.mark.parametrize(
    ("spoiled", "said"),
    [
        ("<div style='width:600px'>wide</div>", "the page is "),
        ("<svg class='figure' viewBox='0 0 9 9' width='0' height='0'></svg>", "no size: <svg figure>"),
        ("<img src='data:image/png;base64,AAAA' style='width:9px;height:9px'>", "not loaded: <img >"),
        ("<img src='https://example.invalid/a.png' width='9' height='9'>", "request: https://example.invalid/a.png"),
        ("<img src='other.png' width='9' height='9'>", "log: "),
        ("<script>console.error('spoiled')</script>", "log: "),  # the page's own policy refuses it
        (
            "<svg class='figure chart' viewBox='0 0 400 40'><text x='390' y='20'>beyond the edge</text></svg>",
            'cut off: "beyond the edge"',
        ),
        ("<svg class='figure' viewBox='0 0 900 40'><text x='9' y='20'>tiny</text></svg>", "text of "),
    ],
)
def test_the_checks_can_fail(
    chromium: Chromium, pages: dict[str, Path], tmp_path: Path, spoiled: str, said: str
) -> None:
    page = tmp_path / "report.html"
    text = pages["flowers"].read_text(encoding="utf-8")
    page.write_text(text.replace("</main>", f"{spoiled}</main>"), encoding="utf-8")
    faults = chromium.faults(page, 390)
    assert any(fault.startswith(said) for fault in faults), faults


def test_a_script_that_ran_would_be_heard(chromium: Chromium, tmp_path: Path) -> None:
    page = tmp_path / "bare.html"
    page.write_text("<!doctype html><link rel=icon href='data:,'><script>console.error('heard')</script>")
    assert chromium.faults(page, 390) == ["console: heard"]
