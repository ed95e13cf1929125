"""Stacked memory: layers that add up, a marked fullest moment, text that stays text."""

import re
from collections.abc import Iterator
from xml.etree import ElementTree

import pytest
from memory_samples import prediction

from edgewise.report.curves import Line
from edgewise.report.growth import growth
from edgewise.report.stacked import KINDS, PLOT, TOP, amount, height, moments, stacked, total
from edgewise.report.standalone import Placed, standalone

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "<script>alert(1)</script>&\"'\x00"


def of_class(root: ElementTree.Element, name: str) -> Iterator[ElementTree.Element]:
    return (element for element in root.iter() if name in element.attrib.get("class", "").split())


def texts(root: ElementTree.Element) -> list[str]:
    return [element.text or "" for element in root.iter(f"{SVG}text")]


def edges(root: ElementTree.Element) -> dict[str, list[float]]:
    """The upper edge of every area, moment by moment, by the style of its kind."""
    found = {}
    for path in of_class(root, "layer"):
        style = path.attrib["class"].removesuffix(" layer")
        found[style] = [float(y) for y in re.findall(r"V([\d.]+)H", path.attrib["d"])]
    return found


def test_layers_sum_to_the_totals() -> None:
    line = [
        {"weights": 4.0, "kept": 1.0, "transient": 5.0},
        {"weights": 4.0, "kept": 16.0},
        {"weights": 4.0, "optimizer": 2.0, "input": 1.0, "plan": 1.0, "kept": 2.0, "transient": 3.0},
    ]
    drawn = edges(ElementTree.fromstring(stacked("Memory", line)))
    assert set(drawn) == {kind.style for kind in KINDS}
    per_mb = PLOT / 20  # the axis ends at 20 MB, the fullest moment
    for index, moment in enumerate(line):
        below = 0.0
        for kind in KINDS:
            below += moment.get(kind.key, 0.0)
            assert drawn[kind.style][index] == pytest.approx(TOP + PLOT - below * per_mb, abs=0.06)
        assert below == total(moment)
    assert min(drawn[KINDS[-1].style]) == pytest.approx(TOP, abs=0.06)


def test_the_fullest_moment_is_marked_and_named() -> None:
    line = [{"weights": 1.0}, {"weights": 1.0, "kept": 30.4}, {"weights": 1.0, "kept": 2.0}]
    root = ElementTree.fromstring(stacked("Memory", line, "aten.mean.dim"))
    assert "Fullest: 31.4 MB, in mean" in texts(root)
    x = float(re.match(r"M([\d.]+) ", next(of_class(root, "marker")).attrib["d"])[1])  # type: ignore[index]
    corners = [float(x) for x in re.findall(r"H([\d.]+)", next(of_class(root, "layer")).attrib["d"])]
    assert corners[0] < x < corners[1]
    assert "weights 1.00 MB, kept for backward 30.4 MB" in (root[1].text or "")


def test_the_measured_peak_is_a_line_and_may_be_the_highest() -> None:
    line = [{"weights": 10.0}]
    assert not list(of_class(ElementTree.fromstring(stacked("Memory", line)), "measured"))
    root = ElementTree.fromstring(stacked("Memory", line, measured=20.0))
    path = next(of_class(root, "measured")).attrib["d"]
    assert path.split()[1].startswith(f"{TOP:.1f}H")
    assert edges(root)["bar t3"] == [pytest.approx(TOP + PLOT / 2, abs=0.06)]
    assert "measured peak" in texts(root)
    assert float(root.attrib["height"]) == height(measured=True) > height()


def test_one_scale_for_two_pictures() -> None:
    small = ElementTree.fromstring(stacked("Small", [{"weights": 10.0}], ceiling=100.0))
    assert "100 MB" in texts(small)
    assert edges(small)["bar t3"] == [pytest.approx(TOP + PLOT * 0.9, abs=0.06)]


@pytest.mark.parametrize("line", [[{"weights": 1.0}], [{}], [{"weights": 0.0}] * 3])
def test_a_single_or_empty_moment_is_drawn(line: list[dict[str, float]]) -> None:
    root = ElementTree.fromstring(stacked("Memory", line))
    assert float(root.attrib["width"]) > 0
    assert root[1].text


def test_no_moment_is_nothing_to_draw() -> None:
    with pytest.raises(ValueError, match="nothing to draw in 'Memory'"):
        stacked("Memory", [])
    with pytest.raises(ValueError, match="nothing to draw in 'Growth'"):
        growth("Growth", [Line("a", (), 1)], "batch", "MB")


def test_text_stays_text() -> None:
    hostile = HOSTILE.rstrip("\x00")
    for svg in (
        stacked(hostile, [{"weights": 1.0}], HOSTILE),
        growth(hostile, [Line(hostile, ((1, 2.0),), 1)], hostile, "MB"),
        standalone(hostile, [[Placed(hostile, stacked(hostile, [{}]), 400, height())]]),
    ):
        root = ElementTree.fromstring(svg)
        assert "<script" not in svg
        assert root[0].text == hostile


def test_the_plan_makes_the_fullest_moment_the_prediction() -> None:
    found = prediction()
    line = moments(found)
    assert max(map(total, line)) == pytest.approx(found["predicted_mb"])
    assert all(moment["plan"] == pytest.approx(1.0) for moment in line)


def test_amounts_have_the_digits_that_are_of_use() -> None:
    assert [amount(mb) for mb in (0.0, 3.476, 31.41, 1234.56)] == ["0.00", "3.48", "31.4", "1,234.6"]


def test_growth_places_dots_by_value() -> None:
    lines = [Line("lean", ((1, 10.0), (2, 20.0), (4, 40.0)), 1), Line("stock", ((1, 100.0), (4, 400.0)), 2)]
    root = ElementTree.fromstring(growth("Peak", lines, "batch size", "MB", marked=2))
    dots = [(float(dot.attrib["cx"]), float(dot.attrib["cy"])) for dot in of_class(root, "dot")]
    assert len(dots) == 5
    (x1, y1), (x2, y2), (x4, y4), (_, bottom), (_, top) = dots
    assert x4 - x2 == pytest.approx(2 * (x2 - x1), abs=0.1)
    assert y1 - y4 == pytest.approx(3 * (y1 - y2), abs=0.1)
    assert bottom - top == pytest.approx(10 * (y1 - y4), abs=0.2)
    assert {"lean", "stock", "batch size", "400 MB"} <= set(texts(root))
    assert "stock from 100 MB at 1 to 400 MB at 4" in (root[1].text or "")


@pytest.mark.parametrize("points", [((8, 5.0),), ((0, 0.0),), ((1, 0.0), (2, 0.0))])
def test_growth_of_one_place_and_of_nothing(points: tuple[tuple[float, float], ...]) -> None:
    root = ElementTree.fromstring(growth("Peak", [Line("lean", points, 1)], "batch size", "MB", marked=points[0][0]))
    assert len(list(of_class(root, "dot"))) == len(points)


def test_a_file_of_its_own_has_its_colours_and_its_ground() -> None:
    svg = standalone("Memory", [[Placed("one", stacked("one", [{"weights": 1.0}]), 400, height())] * 2])
    root = ElementTree.fromstring(svg)
    assert "var(" not in svg
    assert "#0067a5" in svg
    assert float(root.attrib["width"]) > 800
    assert next(of_class(root, "ground")).attrib["width"] == root.attrib["width"]
    assert texts(root).count("one") == 2
