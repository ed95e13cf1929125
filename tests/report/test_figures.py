"""The figures are XML, have a size and words, and put values where they belong."""

import re
from collections.abc import Iterator
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from edgewise.report.bars import Bar, bars
from edgewise.report.curves import Line, curves
from edgewise.report.gauge import gauge
from edgewise.report.matrix import BESIDE, MOST_NAME, TINTS, matrix, tint
from edgewise.report.scatter import Point, scatter
from edgewise.report.svg import clipped, extent, label, tag

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "<script>alert(1)</script>&\"'"


def percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def parsed(svg: str) -> ElementTree.Element:
    """The figure as a tree, after the checks that hold for every figure."""
    root = ElementTree.fromstring(svg)
    assert root.tag == f"{SVG}svg"
    assert float(root.attrib["width"]) > 0
    assert float(root.attrib["height"]) > 0
    assert root.attrib["viewBox"] == f"0 0 {root.attrib['width']} {root.attrib['height']}"
    assert root[0].tag == f"{SVG}title"
    assert root[0].text
    assert root[1].tag == f"{SVG}desc"
    assert root[1].text
    return root


def of_class(root: ElementTree.Element, name: str) -> Iterator[ElementTree.Element]:
    return (element for element in root.iter() if name in element.attrib.get("class", "").split())


def texts(root: ElementTree.Element) -> list[str]:
    return [element.text or "" for element in root.iter(f"{SVG}text")]


def every_figure(name: str) -> list[str]:
    return [
        bars(name, [Bar(name, 0.5, name, note=name)], name),
        curves(name, [Line(name, ((1, 0.5), (2, 0.7)), 1)], percent),
        gauge(name, 0.5, 0.4, 0.6, 0.1),
        matrix(name, [name, "b"], [[1, 2], [3, 4]]),
        matrix(name, [f"{name}{index}" for index in range(30)], [[1] * 30] * 30),
        scatter(name, [Point(name, 10, 0.5, 0.4, 0.6, 1)], name, str, percent),
    ]


@pytest.mark.parametrize("number", range(6))
def test_hostile_names_stay_text(number: int) -> None:
    svg = every_figure(HOSTILE)[number]
    root = parsed(svg)
    assert "<script" not in svg
    assert root[0].text == HOSTILE
    assert not list(root.iter(f"{SVG}script"))


def test_tag_escapes_attributes() -> None:
    assert tag("g", class_='a"><script>', stroke_width=1.23456) == (
        '<g class="a&quot;&gt;&lt;script&gt;" stroke-width="1.23"/>'
    )
    assert label(1, 2, "a<b", anchor="end", turn=-90) == (
        '<text x="1" y="2" text-anchor="end" transform="rotate(-90 1 2)">a&lt;b</text>'
    )


def test_clipped_text_fits_its_room() -> None:
    assert clipped("rose", 100) == "rose"
    short = clipped("a very long name of a class", 80)
    assert short.endswith("…")
    assert extent(short) <= 80
    assert extent("日本語") > extent("abc") > extent("ill")


def test_bars_are_as_long_as_their_shares() -> None:
    rows = [Bar("half", 0.5, "50 %"), Bar("all", 1.0, "100 %", 3), Bar("none", 0.0, "0 %"), Bar("unknown", None, "–")]
    root = parsed(bars("Bars", rows))
    tracks, lengths = list(of_class(root, "track")), list(of_class(root, "bar"))
    room = float(tracks[0].attrib["width"])
    assert [float(bar.attrib["width"]) / room for bar in lengths] == pytest.approx([0.5, 1.0], abs=1e-3)
    assert len(tracks) == 3  # the unknown one has neither track nor bar
    assert texts(root) == ["half", "50 %", "all", "100 %", "none", "0 %", "unknown", "–"]


def test_curves_place_points_and_best_epoch() -> None:
    lines = [Line("training", ((1, 0.2), (2, 0.6), (3, 1.0)), 2), Line("validation", ((1, 0.1), (2, 0.5), (3, 0.4)), 1)]
    root = parsed(curves("Accuracy", lines, percent, marked=2, ceiling=1.0))
    path = next(of_class(root, "line")).attrib["d"]
    (x1, y1), (x2, y2), (x3, y3) = (tuple(map(float, spot.split())) for spot in path[1:].split("L"))
    assert x2 - x1 == pytest.approx(x3 - x2, abs=0.2)
    assert y1 > y2 > y3  # up is down in SVG
    assert y1 - y2 == pytest.approx(y2 - y3, abs=0.2)
    marker = next(element for element in of_class(root, "marker"))
    assert marker.attrib["d"].startswith(f"M{x2:.1f} ")
    assert len(list(of_class(root, "ring"))) == 2
    assert "best epoch 2" in texts(root)
    assert "100 %" in texts(root)
    assert "120 %" not in texts(root)
    assert "training from 20 % to 100 %; validation from 10 % to 40 %. Best epoch: 2." in (root[1].text or "")


def test_curves_of_one_epoch_and_of_a_missing_line() -> None:
    root = parsed(curves("Loss", [Line("training", ((1, 0.5),), 2), Line("validation", (), 1)], str, marked=1))
    assert "training" in texts(root)
    assert "validation" not in texts(root)
    with pytest.raises(ValueError, match="nothing to draw in 'Loss'"):
        curves("Loss", [Line("validation", (), 1)], str)


def test_names_at_the_ends_of_lines_do_not_touch() -> None:
    lines = [Line(f"line {index}", ((1, 0.5), (2, 0.9)), 1 + index % 4) for index in range(6)]
    root = parsed(curves("Crowd", lines, percent))
    heights = sorted(float(element.attrib["y"]) for element in of_class(root, "name"))
    assert len(heights) == 6
    assert all(below - above >= 15.9 for above, below in pairwise(heights))


def test_a_hundred_thousand_epochs_stay_small() -> None:
    points = tuple((epoch, 1 / epoch) for epoch in range(1, 100_001))
    svg = curves("Long", [Line("training", points, 2)], str)
    assert len(svg) < 20_000
    assert ": 1e-05 in the last epoch" in svg


def test_matrix_counts_and_tints() -> None:
    root = parsed(matrix("Confusion", ["ant", "bee"], [[9, 1], [0, 10]]))
    cells = [e for e in root.iter(f"{SVG}rect") if "rx" in e.attrib and e.attrib["rx"] == "3"]
    assert [cell.attrib["class"] for cell in cells] == ["right h7", "wrong h3", "wrong h0", "right h8"]
    assert [element.text for element in of_class(root, "count")] == ["9", "1", "10"]
    hints = [element.text for element in root.iter(f"{SVG}title")]
    assert "ant taken for bee: 1 of 10 (10.0 %)" in hints
    assert "19 of 20 images are on the diagonal" in (root[1].text or "")


def test_tints_grow_with_the_share() -> None:
    assert [tint(share) for share in (0, 0.001, *TINTS)] == [0, 1, 1, 2, 3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize("size", [2, 5, 12, 20, 21, 60, 61, 200])
def test_matrix_of_every_size(size: int) -> None:
    names = [f"class number {index}" for index in range(size)]
    confusion = [[(row * column) % 7 for column in range(size)] for row in range(size)]
    svg = matrix("Confusion", names, confusion)
    root = parsed(svg)
    counted = [element.text for element in of_class(root, "count")]
    if size <= 20:
        assert sorted(map(int, counted)) == sorted(count for row in confusion for count in row if count)
    else:
        assert not counted
        assert covered(root) == sum(1 for row in confusion for count in row if count)
    assert len(svg) < 1_000_000
    assert float(root.attrib["width"]) <= MOST_NAME + BESIDE + 608


def covered(root: ElementTree.Element) -> int:
    """How many cells of a matrix the joined paths cover."""
    paths = [element.attrib["d"] for element in root.iter(f"{SVG}path")]
    return sum(int(width) for path in paths for width in re.findall(r"h(\d+)v1", path))


def test_scatter_places_points_by_ratio() -> None:
    points = [Point(name, x, y, y - 0.02, y + 0.02, tone) for name, x, y, tone in
              [("a", 1e4, 0.9, 1), ("b", 1e5, 0.95, 1), ("c", 1e6, 0.95, 1)]]  # fmt: skip
    root = parsed(scatter("Size", points, "bytes", str, percent))
    (ax, ay), (bx, by), (cx, cy) = ((float(dot.attrib["cx"]), float(dot.attrib["cy"])) for dot in of_class(root, "dot"))
    assert bx - ax == pytest.approx(cx - bx, abs=0.05)
    assert ay > by == cy
    assert {"a", "b", "c"} <= set(texts(root))


def test_scatter_names_do_not_cover_one_another() -> None:
    points = [Point(f"method {index}", 1e5 + 10 * index, 0.9, 0.89, 0.91, 1 + index) for index in range(4)]
    root = parsed(scatter("Crowd", points, "bytes", str, percent))
    places = {(e.attrib["x"], e.attrib["y"], e.attrib["text-anchor"]) for e in of_class(root, "name")}
    assert len(places) == 4


def test_scatter_names_stay_inside_the_picture() -> None:
    """The demo's four methods, as they once came out: the last one's name ran over the edge."""
    rows = [("Last layer", 1.05e4, 0.443), ("Biases + head", 4.28e4, 0.75), ("Rep-Net", 4.1e5, 0.987)]
    rows.append(("Full fine-tuning", 1.99e6, 0.989))
    points = [Point(name, x, y, y - 0.01, y + 0.01, tone) for tone, (name, x, y) in enumerate(rows, 1)]
    for element in of_class(parsed(scatter("Size", points, "bytes", str, percent)), "name"):
        x, width = float(element.attrib["x"]), extent(element.text or "")
        left = x - {"start": 0, "middle": width / 2, "end": width}[element.attrib["text-anchor"]]
        assert left >= 0
        assert left + width <= 460


def test_gauge_places_accuracy_interval_and_guess() -> None:
    root = parsed(gauge("Accuracy", 0.5, 0.4, 0.6, 0.25))
    track, bar = next(of_class(root, "track")), next(of_class(root, "bar"))
    assert float(bar.attrib["width"]) / float(track.attrib["width"]) == pytest.approx(0.5)
    assert "guessing 25.0 %" in texts(root)
    assert "always answering the most frequent class gives 25.0 %" in (root[1].text or "")
