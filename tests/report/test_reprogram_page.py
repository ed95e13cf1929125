"""The page of a reprogramming says what was learned, asked and paid, and names what its record lacks."""

import copy
from pathlib import Path
from typing import Any

import pytest
from reprogram_samples import reprogram_record, write_reprogramming
from test_fit_page import LIMIT, leaves, words

from edgewise.core.errors import EdgewiseError
from edgewise.core.runs import RunFolder
from edgewise.report import write_report


def page_of(folder: Path, record: dict[str, Any], side: int = 224) -> str:
    return write_report(write_reprogramming(folder, record, side)).read_text(encoding="utf-8")


def test_a_model_behind_an_address(tmp_path: Path) -> None:
    page = page_of(tmp_path, reprogram_record())
    text = words(page)
    for part in (
        "4 classes from a frozen model",
        "mobilenet_v2 at http://127.0.0.1:8000 was not changed, only asked",
        "a program of 192 numbers",
        "which of its 1,000 answers",
        "with the mapping alone, before the program was trained, 41.2 %",
        "17,412",
        "of 20,000, for 26.12 in all",
        "read at 168 x 168 pixels",
        "the source says label 340, 61.0 %",
        "label 0 label 10 label 20",
        "The source tells probabilities and nothing else",
        "2620.99 MB",
        "7.31 MB",
        "14.16 MB",
        "Four fixed samples were asked at the start and again at the end",
        "keep it in EDGEWISE_TOKEN",
        "A program fits one model",
    ):
        assert part in text, part
    assert len(page.encode()) < LIMIT
    assert page.count("<svg") == 8  # the brand's, gauge, two curves, matrix, bars of classes, of queries and of bytes


def test_a_model_that_is_here(tmp_path: Path) -> None:
    text = words(page_of(tmp_path, reprogram_record(black=False, weights=True), 32))
    assert "the digest is the same" in text
    assert "201.60 MB" in text
    assert "label 0 50.0 %" in text
    assert "What was asked" not in text
    assert "EDGEWISE_TOKEN" not in text


def test_a_model_that_is_here_and_only_answers(tmp_path: Path) -> None:
    text = words(page_of(tmp_path, reprogram_record(remote=False)))
    assert "What was asked, and paid" in text
    assert "Bytes that crossed" not in text
    assert "the digest is the same" in text


def test_what_is_not_known_is_not_shown(tmp_path: Path) -> None:
    record = reprogram_record(epochs=0)
    record |= {"canvas": None, "samples": [], "mapping": None, "mistakes": []}
    record["metrics"] |= {"mapping_alone_accuracy": None, "best_epoch": None}
    record["source"]["checked"] = None
    record["sizes"]["weight_bytes"] = None
    record["asked"] |= {"budget": None, "price": 0.0}
    text = words(page_of(tmp_path, record))
    for part in (
        "Nothing was trained",
        "there is no list of labels to show",
        "the budget did not reach to ask the fixed samples again",
        "How large the model is, the endpoint does not say",
    ):
        assert part in text, part
    assert "Mapping alone" not in text


def test_a_line_along_the_ceiling_is_drawn(tmp_path: Path) -> None:
    record = reprogram_record(epochs=3)
    for row in record["history"]:
        row |= {"train_accuracy": 1.0, "val_accuracy": 1.0}
    assert "from 100 % to 100 %" in page_of(tmp_path, record)


def needed(record: dict[str, Any]) -> list[tuple[Any, ...]]:
    """The paths of all keys without which there must be no page."""
    free = {("config", "data"), ("config", "source"), ("config", "budget"), ("config", "epochs")}
    free |= {("asked", "epochs"), ("asked", "steps"), ("asked", "whole_steps"), ("samples", 0, "file")}
    free |= {("history", 0, "lr"), ("history", 0, "seconds"), ("source", "after")}
    return [
        path
        for path in leaves(record)
        if isinstance(path[-1], str)
        and path not in free
        and not (path[0] in ("environment", "seeds") and len(path) > 1)
        and not (path[0] == "config" and len(path) == 3 and path[2] != "name")
        and not (path[0] == "data" and len(path) == 4)
    ]


def test_every_key_that_is_missing_is_named(tmp_path: Path) -> None:
    record = reprogram_record()
    page_of(tmp_path, record)
    paths = needed(record)
    assert len(paths) > 60
    for path in paths:
        broken = copy.deepcopy(record)
        inner = broken
        for key in path[:-1]:
            inner = inner[key]
        del inner[path[-1]]
        RunFolder(tmp_path).write_record(broken)
        with pytest.raises(EdgewiseError) as refused:
            write_report(tmp_path)
        assert str(path[-1]) in str(refused.value), path


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"checked": "oath"}, "source.checked is 'oath'"),
        ({"checked": "weights"}, "source.after is not the fingerprint"),
        ({"remote": "yes"}, "source.remote is 'yes'; it must be true or false"),
    ],
)
def test_what_contradicts_itself_is_refused(change: dict[str, Any], complaint: str, tmp_path: Path) -> None:
    record = reprogram_record()
    record["source"] |= change
    with pytest.raises(EdgewiseError) as refused:
        page_of(tmp_path, record)
    assert complaint in str(refused.value)


def test_nothing_of_a_record_becomes_markup(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    record = reprogram_record([evil, "b"])
    record["source"] |= {"name": evil, "calls_itself": evil}
    record["mapping"][0]["labels"][0]["label"] = evil
    record["samples"][0]["source_says"] = evil
    page = page_of(tmp_path, record)
    assert evil not in page
    assert "&lt;script&gt;" in page
