import json
import re
from pathlib import Path
from typing import Any

import pytest
from report_samples import METHODS, write_demo

from edgewise.core.errors import EdgewiseError
from edgewise.report import write_report


def change(folder: Path, **values: Any) -> None:
    path = folder / "record.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def drop(folder: Path, key: str) -> None:
    path = folder / "record.json"
    record = json.loads(path.read_text())
    del record[key]
    path.write_text(json.dumps(record))


def test_the_page_compares_and_links(tmp_path: Path) -> None:
    page = write_report(write_demo(tmp_path)).read_text()
    for method, title, *_ in METHODS:
        assert f'href="{method}/report.html">{title}</a>' in page
    assert page.count('class="figure') == 6  # scatter, curves, memory, time, matrix, classes
    assert page.count("<img ") == 20 + 10
    assert page.count('class="coarse"') == 30
    assert "A closer look at Rep-Net" in page
    assert "edgewise demo --out runs/demo" in re.sub(r"</?span>", "", page)
    assert len(page.encode()) < 2_000_000
    links = re.findall(r"""(?:src|href)=["']([^"']+)""", page)
    assert all(re.match(r"data:|#|\w+/report\.html$", link) for link in links)


def test_each_method_has_its_own_line(tmp_path: Path) -> None:
    page = write_report(write_demo(tmp_path)).read_text()
    tones = re.findall(r'<path d="[^"]+" class="line (t\d)"', page)
    assert tones == ["t1", "t2", "t3", "t4"]
    assert "Accuracy on the validation images" in page


def test_without_validation_training_is_drawn_and_said(tmp_path: Path) -> None:
    write_demo(tmp_path)
    inner = json.loads((tmp_path / "bias/record.json").read_text())
    for row in inner["history"]:
        row["val_accuracy"] = row["val_loss"] = None
    (tmp_path / "bias/record.json").write_text(json.dumps(inner))
    assert "Accuracy on the training images" in write_report(tmp_path).read_text()


@pytest.mark.parametrize("key", ["command", "environment", "data", "title", "rows", "samples", "notes"])
def test_missing_keys(tmp_path: Path, key: str) -> None:
    drop(write_demo(tmp_path, epochs=1), key)
    with pytest.raises(EdgewiseError, match=f"has no {key}, which its page needs"):
        write_report(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_a_sub_run_that_is_missing_or_incomplete(tmp_path: Path) -> None:
    write_demo(tmp_path, epochs=1)
    drop(tmp_path / "bias", "sizes")
    with pytest.raises(EdgewiseError, match=r"bias.record\.json has no sizes"):
        write_report(tmp_path)
    (tmp_path / "bias/record.json").unlink()
    with pytest.raises(EdgewiseError, match="There is no record of the run at .*bias"):
        write_report(tmp_path)


@pytest.mark.parametrize("name", ["../other", "a/b", "..", "", "a\\b"])
def test_runs_are_folders_of_the_demo(tmp_path: Path, name: str) -> None:
    write_demo(tmp_path, epochs=1)
    rows = json.loads((tmp_path / "record.json").read_text())["rows"]
    change(tmp_path, rows=[{**rows[0], "run": name}])
    with pytest.raises(EdgewiseError, match=r"rows\[0\]\.run is .*; it must be the name of a folder in the run"):
        write_report(tmp_path)


def test_no_rows(tmp_path: Path) -> None:
    change(write_demo(tmp_path, epochs=1), rows=[])
    with pytest.raises(EdgewiseError, match="rows is empty; it must have a line for each run"):
        write_report(tmp_path)


def test_a_single_method_and_unmeasured_memory(tmp_path: Path) -> None:
    write_demo(tmp_path, epochs=1)
    rows = json.loads((tmp_path / "record.json").read_text())["rows"]
    change(tmp_path, rows=[{**rows[0], "memory_mb": None}], samples=[], notes=["<script>"])
    page = write_report(tmp_path).read_text()
    assert "1 method, same images" in page
    assert "not measured" in page
    assert "A closer look at Last layer" in page
    assert "<script" not in page
