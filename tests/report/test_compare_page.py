"""The page of a comparison: what it says, what it refuses, and that its names never cover one another."""

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from compare_samples import MANY, compare_record, left_out, row, write_compare
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise.core.errors import EdgewiseError
from edgewise.report import write_report
from edgewise.report.curves import Line
from edgewise.report.front import LEFT, MOST_NAME, WIDTH, Bubble, front, pareto
from edgewise.report.multiples import multiples
from edgewise.report.placing import RISE, SINK
from edgewise.report.svg import clipped, extent

SVG = "{http://www.w3.org/2000/svg}"


def page_of(folder: Path, record: dict[str, Any]) -> str:
    return write_report(write_compare(folder, record)).read_text(encoding="utf-8")


def plain(page: str) -> str:
    """The text of ``page``, on one line."""
    return " ".join(re.sub(r"<[^>]+>", " ", page.partition("<body>")[2]).replace("\u00a0", " ").split())


def test_every_method_has_its_line_and_its_curve(tmp_path: Path) -> None:
    page = page_of(tmp_path, compare_record())
    for method, title, accuracy, peak, published, step, ahead, _, trained in MANY:
        line = plain(page[: page.index("</table>")]).partition(f" {method} · seed 0 , 1 , 2 ")[2]
        assert line.startswith(f"{100 * accuracy:.1f} % ± "), title
        assert f"{peak:.2f} MB {published:.2f} MB" in line
        assert f"{ahead:.1f} M" in line
        assert f"{step} ms {trained:,}" in line
        assert f'href="{method.replace("+", "%2B")}/seed-2/report.html"' in page
    assert page.count('class="figure') == 1 + len(MANY)
    assert "edgewise compare photos/signs" in plain(page)
    assert f"edgewise predict {tmp_path.name}/repnet/seed-0 PHOTO" in plain(page)
    assert "Rep-Net is the one to go on with: it was right on 94.5 % of the 800 test photos" in plain(page)
    assert len(page.encode()) < 2_000_000
    assert "<script" not in page


def test_methods_that_are_left_out_say_why(tmp_path: Path) -> None:
    rows = [row(*MANY[6], seeds=1), left_out("mobiletl", "MobileTL", "There is no block."),
            left_out("full", "Full", "It does not fit.", predicted_mb=61.2, macs_forward=2e7)]  # fmt: skip
    record = compare_record(rows, seeds=1)
    record["best"] = {"method": "last", "run": "last/seed-0"}
    text = plain(page_of(tmp_path, record))
    assert "1 method on the same photos" in text
    assert "Left out mobiletl There is no block. full It does not fit." in text
    assert "MobileTL mobiletl left out – – – – – – –" in text
    assert "Full full left out – – – 20.0 M – – –" in text
    assert "of a single run: a small difference may be luck" in text
    assert "±" not in text


def test_without_measured_memory_the_prediction_is_drawn_and_said(tmp_path: Path) -> None:
    rows = [row(*one) for one in MANY[:4]]
    rows[2]["measured_peak_mb"] = None
    text = page_of(tmp_path, compare_record(rows))
    assert "predicted peak of a training step" in text
    assert "here it could not be measured" in text


def test_without_validation_training_is_drawn_and_said(tmp_path: Path) -> None:
    rows = [row(*one) for one in MANY[:4]]
    for point in rows[1]["curve"]:
        point["val_accuracy"] = None
    record = compare_record(rows)
    record["metrics"]["split"] = "val"
    text = plain(page_of(tmp_path, record))
    assert "Accuracy on the training photos after each epoch" in text
    assert "There are no test photos, so these accuracies are a little too good." in text


@pytest.mark.parametrize("key", ["command", "config", "environment", "data", "metrics", "best", "rows", "notes"])
def test_missing_keys(tmp_path: Path, key: str) -> None:
    record = compare_record()
    del record[key]
    with pytest.raises(EdgewiseError, match=f"has no {key}, which its page needs"):
        page_of(tmp_path, record)
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda r: r.update(rows=[]), "rows has no method with a run; it must have one at least"),
        (lambda r: r["metrics"].update(split="dream"), "metrics.split is 'dream'; it must be one of"),
        (lambda r: r["best"].update(method="dream"), "best.method is 'dream'; it must be one of those with runs"),
        (lambda r: r["rows"][0].update(accuracy=None), r"rows\[0\].accuracy is null, although there are runs"),
        (lambda r: r["rows"][0].update(accuracy=7), r"rows\[0\].accuracy is 7; it must be between 0 and 1"),
        (lambda r: r["rows"][0]["runs"][0].update(run="../x"), r"run is '\.\./x'; it must be METHOD/seed-K"),
        (lambda r: r["rows"][0]["runs"][0].update(run="x"), "run is 'x'; it must be METHOD/seed-K"),
        (lambda r: r["rows"][1].update(step_ms="fast"), r"rows\[1\].step_ms is 'fast'; it must be a number"),
    ],
)
def test_what_cannot_be_is_named(tmp_path: Path, change: Any, said: str) -> None:
    record = compare_record()
    change(record)
    with pytest.raises(EdgewiseError, match=said):
        page_of(tmp_path, record)


def test_hostile_texts_stay_texts(tmp_path: Path) -> None:
    hostile = "<script>alert('x')</script>"
    rows = [{**row(*MANY[0]), "title": hostile}, left_out(hostile, hostile, f"{hostile} /home/ann/weights.pth")]
    record = compare_record(rows)
    record["best"]["method"], record["command"] = "mobiletl", hostile
    page = page_of(tmp_path, json.loads(json.dumps(record)))
    assert "<script" not in page
    assert "/home/ann" not in page


def bubble(name: str, x: float, y: float, size: float = 1.0) -> Bubble:
    return Bubble(name, x, y, y - 0.01, y + 0.01, size)


def test_the_front_is_what_nothing_beats() -> None:
    a, b, c, d = bubble("a", 10, 0.8), bubble("b", 12, 0.9), bubble("c", 13, 0.85), bubble("d", 12, 0.7)
    assert pareto([d, c, b, a]) == [a, b]
    assert pareto([a]) == [a]
    twin = bubble("twin", 12, 0.9)
    assert pareto([b, twin, c]) == [b, twin]
    assert pareto([bubble("e", 12, 0.95), b]) == [bubble("e", 12, 0.95)]


POINTS = st.lists(st.tuples(st.floats(1, 300), st.floats(0.05, 1.0), st.floats(0, 5)), min_size=1, max_size=16)


@given(POINTS)
def test_nothing_outside_the_front_is_unbeaten_and_nothing_on_it_is_beaten(points: list[tuple[float, ...]]) -> None:
    bubbles = [bubble(f"m{index}", *point) for index, point in enumerate(points)]
    on = pareto(bubbles)
    assert [one.x for one in on] == sorted(one.x for one in on)
    assert [one.y for one in on] == sorted(one.y for one in on)
    for one in bubbles:
        beaten = any(o.x <= one.x and o.y >= one.y and (o.x < one.x or o.y > one.y) for o in bubbles)
        assert beaten == (one not in on)


def names_of(svg: str) -> list[tuple[str, tuple[float, float, float, float]]]:
    """Every name in the picture with the box that it covers."""
    found = []
    for element in ElementTree.fromstring(svg).iter(f"{SVG}text"):
        if not element.attrib.get("class", "").startswith("name"):
            continue
        text, x, y = element.text or "", float(element.attrib["x"]), float(element.attrib["y"])
        left = x - {"start": 0.0, "middle": 0.5, "end": 1.0}[element.attrib["text-anchor"]] * extent(text)
        found.append((text, (left, y - RISE, left + extent(text), y + SINK)))
    return found


@settings(max_examples=30, deadline=None, derandomize=True)
@given(POINTS)
def test_names_cover_nothing_and_stay_inside(points: list[tuple[float, ...]]) -> None:
    titles = [one[1] for one in MANY]
    bubbles = [bubble(f"{titles[index % 12]} {index}", *point) for index, point in enumerate(points)]
    svg = front("Front", bubbles, "memory", "accuracy", lambda size: f"{size:.3g} MB", lambda y: f"{100 * y:.3g} %")
    names = names_of(svg)
    assert sorted(name for name, _ in names) == sorted(clipped(one.name, MOST_NAME) for one in bubbles)
    for _, (left, top, right, _) in names:
        assert left >= LEFT - 0.1
        assert right <= WIDTH + 0.1
        assert top >= 0
    for (one, a), (other, b) in combinations(names, 2):
        apart = a[2] <= b[0] + 0.1 or b[2] <= a[0] + 0.1 or a[3] <= b[1] + 0.1 or b[3] <= a[1] + 0.1
        assert apart, (one, other)


def test_a_crowd_of_equals_keeps_its_names_apart() -> None:
    bubbles = [bubble(one[1], 12.0, 0.9, 2.0) for one in MANY]
    names = names_of(front("Crowd", bubbles, "memory", "accuracy", str, str))
    for (_, a), (_, b) in combinations(names, 2):
        assert a[2] <= b[0] + 0.1 or b[2] <= a[0] + 0.1 or a[3] <= b[1] + 0.1 or b[3] <= a[1] + 0.1


def test_the_area_of_a_circle_is_the_work() -> None:
    bubbles = [bubble("small", 10, 0.8, 1.0), bubble("large", 20, 0.9, 4.0), bubble("none", 15, 0.7, 0.0)]
    svg = ElementTree.fromstring(front("Work", bubbles, "memory", "accuracy", str, str))
    radii = {
        next(group.iter(f"{SVG}title")).text.partition(":")[0]: float(circle.attrib["r"])  # type: ignore[union-attr]
        for group in svg.iter(f"{SVG}g")
        for circle in group.iter(f"{SVG}circle")
        if "bubble" in circle.attrib["class"]
    }
    assert radii["large"] == pytest.approx(2 * radii["small"])
    assert 0 < radii["none"] < radii["small"]


def test_each_chart_has_one_line_in_front_of_all() -> None:
    lines = [Line(name, tuple((float(e), e / 10) for e in range(1, 7)), 1) for name in ("a", "b", "c")]
    charts = multiples("Curve", [*lines, Line("empty", (), 1)], lambda y: f"{y:.1f}", ceiling=1.0)
    assert [(name, value) for name, value, _ in charts] == [("a", 0.6), ("b", 0.6), ("c", 0.6)]
    for _, _, svg in charts:
        paths = [element.attrib["class"] for element in ElementTree.fromstring(svg).iter(f"{SVG}path")]
        assert (paths.count("other"), paths.count("line t1")) == (3, 1)
    assert multiples("Curve", [Line("empty", (), 1)], str) == []
    assert "epoch 6" in charts[0][2]
    assert ">epoch 1<" not in multiples("One", [Line("a", ((1.0, 0.5),), 1)], str)[0][2], "said once, at the left"
