import copy
import json
import random
import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from report_samples import FLOWERS, fit_record, write_run

from edgewise.core.errors import EdgewiseError
from edgewise.core.runs import RunFolder
from edgewise.report import PAGES, write_report

LIMIT = 2_000_000


def page_of(folder: Path, record: dict[str, Any]) -> str:
    return write_report(write_run(folder, record)).read_text(encoding="utf-8")


def words(page: str) -> str:
    """What a reader sees, blanks made one."""
    visible = re.sub(r"<style>.*?</style>", " ", page, flags=re.DOTALL)
    together = re.sub(r"</?(?:span|wbr|bdi|b)\b[^>]*>", "", visible)
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", together)))


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every key in a record, lists by their first member."""
    found = []
    entries = value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else []
    for key, inner in entries:
        found += [(*path, key), *leaves(inner, (*path, key))]
    return found


OPEN_SECTIONS = {"environment", "seeds"}  # shown as they are, whatever they hold


def needed(record: dict[str, Any]) -> list[tuple[Any, ...]]:
    """The paths of all keys without which there must be no page."""
    return [
        path
        for path in leaves(record)
        if isinstance(path[-1], str)
        and not (path[0] in OPEN_SECTIONS and len(path) > 1)
        and not (path[0] == "config" and path[1:] not in [(), ("method",), ("backbone",)])
        and not (path[0] == "data" and len(path) == 4)  # a class without images in a split may be left out
        and path not in [("history", 0, "lr"), ("history", 0, "seconds"), ("cost", "trainable_params")]
    ]


def test_the_page_says_what_was_learned(tmp_path: Path) -> None:
    record = fit_record()
    text = words(page_of(tmp_path, record))
    right = sum(record["metrics"]["confusion"][index][index] for index in range(5))
    assert f"5 classes learned, {100 * right / 400:.1f} % right" in text
    for part in (
        "repnet",
        "mobilenet_v2 (width 0.35)",
        "On 400 test images it had never seen",
        "0.43 MB",
        "104,517",
        "best epoch 8",
        "not measured",
        "21.34 MB",
        "96.10 MB",
        "cut off after 1,024 bytes",
        "Class rose has 6.2 times",
        "Linux-6.1.0-x86_64",
        record["command"],
        "test/",
        "99.0 % sure",
        "Wilson’s 95 % interval",
    ):
        assert part in text, part
    for name in FLOWERS:
        assert name in text


def test_one_file_that_asks_for_nothing(tmp_path: Path) -> None:
    page = page_of(tmp_path, fit_record())
    assert "<script" not in page
    assert "default-src 'none'" in page
    links = re.findall(r"""(?:src|href|url|action|srcset)\s*[=(]\s*["']?([^"')\s>]+)""", page)
    assert links
    assert all(link.startswith(("data:", "#")) for link in links)
    assert str(tmp_path) not in page


@pytest.mark.parametrize("path", needed(fit_record()), ids=lambda path: ".".join(map(str, path)))
def test_every_missing_key_is_named_and_leaves_the_old_page(tmp_path: Path, path: tuple[Any, ...]) -> None:
    record = fit_record(epochs=2, mistakes=1)
    write_run(tmp_path, record)
    RunFolder(tmp_path).report.write_text("the page before")
    inner = record
    for key in path[:-1]:
        inner = inner[key]
    del inner[path[-1]]
    RunFolder(tmp_path).write_record(record)
    with pytest.raises(EdgewiseError) as caught:
        write_report(tmp_path)
    dotted = re.sub(r"\.(\d+)", r"[\1]", ".".join(map(str, path)))
    assert f"has no {dotted}, which its page needs" in str(caught.value)
    assert RunFolder(tmp_path).report.read_text() == "the page before"


def test_the_sweep_over_missing_keys_is_not_empty() -> None:
    assert len(needed(fit_record())) >= 50


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"split": "holdout"}, "metrics.split is 'holdout'; it must be one of train, val, test"),
        ({"test_accuracy": None}, "metrics.test_accuracy is null, although split says 'test'"),
        ({"n": 17}, "metrics.confusion counts 400 images, and n is 17"),
        ({"confusion": [[1]]}, "metrics.confusion must be 5 rows of 5 counts"),
        ({"confusion": [[-1] * 5] * 5}, "metrics.confusion must be 5 rows of 5 counts"),
        ({"val_accuracy": 93.0}, "metrics.val_accuracy is 93.0; it must be between 0 and 1"),
    ],
)
def test_contradictions_are_refused(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    record = fit_record()
    record["metrics"] |= change
    with pytest.raises(EdgewiseError, match=re.escape(said)):
        page_of(tmp_path, record)


def test_one_class_is_refused(tmp_path: Path) -> None:
    record = fit_record()
    record["data"]["classes"] = ["rose"]
    with pytest.raises(EdgewiseError, match=r"data\.classes has 1 entries; it must have at least two"):
        page_of(tmp_path, record)


def test_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    known = ["compare", "compress", "demo", "fit", "reprogram"]
    said = rf"of kind 'dream', and there is no report for that. Known: {', '.join(known)}\."
    with pytest.raises(EdgewiseError, match=said):
        page_of(tmp_path, {"kind": "dream"})
    assert sorted(PAGES) == known


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(EdgewiseError, match="There is no record of the run at"):
        write_report(tmp_path)


def test_hostile_texts_stay_texts(tmp_path: Path) -> None:
    hostile = "<script>alert('x')</script>"
    record = fit_record([hostile, '"><img src=x onerror=alert(1)>', "{{ 7*7 }}", "a\u202eb\x00", "日本語 & co"])
    record["command"] = f"edgewise fit '{hostile}'"
    record["notes"] = [hostile, "/home/ann/photos/rose.jpg looks odd"]
    record["config"]["weights"] = "/home/ann/weights.safetensors"
    record["environment"][hostile] = hostile
    record["data"]["skipped"] = [{"file": f"/home/ann/{hostile}/1.jpg", "reason": "'/home/ann/1.jpg' is empty"}]
    for row in record["mistakes"]:
        row["file"] = f"/home/ann/photos/{hostile.replace('/', '')}.jpg"
    page = page_of(tmp_path, record)
    assert "<script" not in page
    assert "<img src=x" not in page
    assert "{{ 7*7 }}" in page
    assert "\x00" not in page
    assert "\u202e" not in page
    assert "/home/ann" not in page
    assert "&lt;script&gt;alert(" in page


def test_without_validation_test_epochs_or_mistakes(tmp_path: Path) -> None:
    record = fit_record(["ant", "bee"], 1.0, epochs=0, mistakes=0, split="val")
    record["metrics"] |= {"best_epoch": None, "val_accuracy": 1.0}
    record["metrics"]["confusion"] = [[80, 0], [0, 80]]
    record["metrics"]["per_class"] = {"ant": 1.0, "bee": None}
    record["data"]["skipped"] = record["notes"] = []
    record["cost"] = {key: None for key in record["cost"]}
    text = words(page_of(tmp_path, record))
    assert "The run has no epochs, so there is nothing to draw." in text
    assert "There is none: every answer was right." in text
    assert "None: every answer was right." in text
    assert "There was no test set." in text
    assert "no images" in text
    assert "skipped" not in text
    assert text.count("not measured") == 8


def test_a_run_without_validation_draws_training_alone(tmp_path: Path) -> None:
    record = fit_record()
    for row in record["history"]:
        row["val_loss"] = row["val_accuracy"] = None
    record["metrics"]["val_accuracy"] = None
    page = page_of(tmp_path, record)
    assert ">training</text>" in page
    assert ">validation</text>" not in page


def test_scores_on_training_images_are_called_that(tmp_path: Path) -> None:
    record = fit_record()
    record["metrics"] |= {"split": "train", "test_accuracy": None, "val_accuracy": None}
    text = words(page_of(tmp_path, record))
    assert "On 400 training images (the very ones it learned from)" in text
    assert "There was neither a test nor a validation set." in text


def test_no_better_than_guessing_is_said(tmp_path: Path) -> None:
    record = fit_record(["ant", "bee"])
    record["metrics"]["confusion"] = [[42, 38], [39, 41]]
    assert "This is not clearly better than guessing." in words(page_of(tmp_path, record))
    assert "not clearly better" not in words(page_of(tmp_path / "good", fit_record()))


@pytest.mark.parametrize("size", [2, 12, 13, 21, 200, 1000])
def test_every_number_of_classes_fits_the_limit(tmp_path: Path, size: int) -> None:
    names = [f"class {index} with quite a long name that goes on and on" for index in range(size)]
    record = fit_record(names, 0.5, each=4, mistakes=3)
    page = page_of(tmp_path, record)
    assert len(page.encode()) < LIMIT
    assert ("Confusion matrix" in page) == (size <= 300)
    assert ("more classes are in record.json" in page) == (size > 300)


def test_the_fullest_page_fits_the_limit(tmp_path: Path) -> None:
    """200 classes, all confused with all, a thousand mistakes with noisy photos, as many skipped files."""
    record = fit_record([f"class number {index}" for index in range(200)], 0.5, mistakes=0)
    record["metrics"]["confusion"] = [[1 + (row * 7 + column * 13) % 90 for column in range(200)] for row in range(200)]
    record["metrics"]["n"] = sum(map(sum, record["metrics"]["confusion"]))
    row = {"file": "a.png", "thumbnail": "assets/noise.png", "truth": "a", "predicted": "b", "confidence": 0.5}
    record["mistakes"] = [copy.deepcopy(row) for _ in range(1000)]
    record["data"]["skipped"] = [{"file": f"{i}.jpg", "reason": "empty " * 9} for i in range(1000)]
    write_run(tmp_path, {**record, "mistakes": []})
    (tmp_path / "assets").mkdir(exist_ok=True)
    noise(tmp_path / "assets/noise.png", 1200)
    RunFolder(tmp_path).write_record(record)
    page = write_report(tmp_path)
    assert page.stat().st_size < LIMIT
    text = page.read_text()
    assert text.count("data:image/jpeg") == 24
    assert "800 more are in record.json." in words(text)


def noise(path: Path, pixels: int) -> None:
    draw = random.Random(0)
    Image.frombytes("RGB", (pixels, pixels), draw.randbytes(3 * pixels * pixels)).save(path)


def test_the_record_is_read_and_not_changed(tmp_path: Path) -> None:
    write_run(tmp_path, fit_record())
    before = (tmp_path / "record.json").read_bytes()
    first = write_report(tmp_path).read_bytes()
    assert write_report(tmp_path).read_bytes() == first
    assert (tmp_path / "record.json").read_bytes() == before
    assert json.loads(before)["kind"] == "fit"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["assets", "record.json", "report.html"]
