"""The page of a compression says how small and how good, layer by layer, and names what its record lacks."""

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
from compress_samples import compress_record, resnet
from report_samples import write_run
from test_fit_page import LIMIT, leaves, words

from edgewise.core.errors import EdgewiseError
from edgewise.core.runs import RunFolder
from edgewise.report import write_report
from edgewise.report.compress_page import spread, telling
from edgewise.report.compress_record import read_compression
from edgewise.report.section import Section


def page_of(folder: Path, record: dict[str, Any]) -> str:
    return write_report(write_run(folder, record)).read_text(encoding="utf-8")


def test_the_page_says_how_small_and_how_good(tmp_path: Path) -> None:
    record = compress_record()
    inner = record["compress"]
    page = page_of(tmp_path, record)
    text = words(page)
    groups, stored = (sum(row[key] for row in inner["layers"]) for key in ("groups", "stored"))
    for part in (
        f"{inner['rates']['file']:.1f} times smaller, {100 * record['metrics']['test_accuracy']:.1f} % right",
        "resnet20 was trained with ternary weights, and a group penalty that leaves the strong groups alone",
        "A weight is −1, 0 or +1 times one number a layer",
        f"of {groups:,} groups of weights, {stored:,} are left",
        "61.2 kB",
        "1.08 MB",
        f"{inner['rates']['eq_2_8']:.2f}×",
        f"{inner['rates']['with_ends']:.2f}×",
        "2 bits for a weight of a stored group against 32",
        "The codes of layer1.0.conv2",
        "16 kernels side by side are a group",
        "64 × 64 × 3 × 3",
        f"{100 * inner['group_sparsity']:.1f} %",
        f"{inner['layers'][3]['alpha']:.4f}",
        f"{inner['layers'][3]['delta']:.3f}",
        "Penalty of the groups",
        "in earlier ones the penalty has not done its work",
        "The norms’ standard deviation is",
        "--arm float",
        record["command"],
    ):
        assert part in text, part
    assert "<script" not in page
    assert len(page.encode()) < LIMIT
    assert page.count("<svg") == 1 + 1 + 2 + 2 + 4 + 18 + 2 + 2  # brand, gauge, sizes, weights, learning, layers, norms


def test_the_largest_network_of_the_paper_stays_small(tmp_path: Path) -> None:
    page = page_of(tmp_path, compress_record(resnet(9), epochs=200))
    assert len(page.encode()) < LIMIT / 4
    assert "All 54 layers in numbers" in page


def test_an_arm_in_full_precision(tmp_path: Path) -> None:
    record = compress_record(arm="prune")
    record["compress"]["rates"]["file"] = 1.01
    text = words(page_of(tmp_path, record))
    assert re.search(r"\d+ of 1,856 groups left, [\d.]+ % right", text)
    assert "32 bits for a weight" in text
    assert "−1, 0 or +1" not in text
    assert "The codes of" not in text
    assert "Alpha" not in text
    assert "Threshold" not in text


def test_an_arm_without_a_penalty(tmp_path: Path) -> None:
    text = words(page_of(tmp_path, compress_record(arm="tern")))
    assert "ternary weights, and no penalty" in text
    assert "Penalty of the groups" not in text
    assert "threshold" not in text.lower()


def test_the_float_network_has_nothing_to_show_of_groups(tmp_path: Path) -> None:
    text = words(page_of(tmp_path, compress_record([], arm="float")))
    assert "In full precision, 84.0 % right" in text
    for absent in (
        "How much smaller",
        "Layer by layer",
        "How the layers emptied",
        "Which groups matter",
        "a float network trained equally long",
    ):
        assert absent not in text


def test_a_run_without_epochs_and_one_with_one(tmp_path: Path) -> None:
    assert "The run has no epochs" in words(page_of(tmp_path / "none", compress_record(epochs=0)))
    assert "How the layers emptied" in words(page_of(tmp_path / "one", compress_record(epochs=1)))


def test_a_dead_layer_is_named(tmp_path: Path) -> None:
    record = compress_record()
    row = record["compress"]["layers"][2]
    row |= {"stored": 0, "group_sparsity": 1.0, "overall_sparsity": 1.0, "alpha": 0.0}
    record["compress"]["dead"] = [row["name"]]
    text = words(page_of(tmp_path, record))
    assert "Nothing is left of layer1.1.conv1: every group there is absent" in text
    assert "layer1.1.conv1 empty" in text


def test_the_kept_epoch_is_pointed_out_where_it_is_not_the_last(tmp_path: Path) -> None:
    record = compress_record()
    record["metrics"]["best_epoch"] = 7
    text = words(page_of(tmp_path, record))
    assert "The network is that of epoch 7, the best on the validation images" in text
    assert "best epoch 7" in text


def test_telling_layers() -> None:
    record = compress_record()
    layers = read_compression(Section(record, "", "record.json")).layers
    first, second = telling(layers)
    usual = sorted(layer.groups for layer in layers)[len(layers) // 2 - 1]
    many = [layer.group_sparsity for layer in layers if layer.groups >= usual]
    assert {first.group_sparsity, second.group_sparsity} == {min(many), max(many)}
    assert layers.index(first) < layers.index(second)
    assert telling(layers[:1]) == [layers[0]]
    assert telling(()) == []
    assert spread([1.0, 3.0]) == 0.5
    assert spread([0.0, 0.0]) == 0


def needed(record: dict[str, Any]) -> list[tuple[Any, ...]]:
    """The paths of all keys without which there must be no page."""
    free = {("compress", "first_last"), ("history", 0, "lr"), ("history", 0, "seconds")}
    return [
        path
        for path in leaves(record)
        if isinstance(path[-1], str)
        and path not in free
        and not (path[0] in ("environment", "seeds") and len(path) > 1)
        and not (path[0] == "config" and path[1:] not in [(), ("backbone",)])
        and not (path[0] == "data" and len(path) == 4)
    ]


def test_every_key_that_is_missing_is_named(tmp_path: Path) -> None:
    record = compress_record(resnet(1)[:2], epochs=2, mistakes=1)
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
    ("place", "change", "said"),
    [
        ((), {"arm": "wps"}, "compress.arm is 'wps'; it must be one of wpc, naive, tern, prune, float"),
        (("layers", 0), {"shape": [16, 16, 3]}, "compress.layers[0].shape must be the (N, C) or (N, C, K, K)"),
        (("layers", 0), {"groups": 7}, "compress.layers[0].groups is 7, which does not divide"),
        (("layers", 0), {"stored": 17}, "compress.layers[0].stored is 17, and there are 16 groups"),
        (("layers", 0), {"group_sparsity": None}, "compress.layers[0].group_sparsity is null"),
        (("norms",), {"layer1.0.conv1": [1.0]}, "compress.norms.layer1.0.conv1 has 1 norms"),
        (("norms",), {"layer1.0.conv1": [-1.0] * 16}, "must hold numbers, zero or more"),
        (("tiles",), {"name": "conv1"}, "compress.tiles.name is 'conv1'; it must be a layer"),
        (("tiles",), {"codes": "AAAA"}, "compress.tiles.codes cannot be read (2304 codes take 576 bytes, not 3)"),
        (("tiles",), {"codes": "!"}, "compress.tiles.codes cannot be read"),
    ],
)
def test_what_contradicts_itself_is_refused(
    place: tuple[Any, ...], change: dict[str, Any], said: str, tmp_path: Path
) -> None:
    record = compress_record()
    inner = record["compress"]
    for key in place:
        inner = inner[key]
    inner |= change
    with pytest.raises(EdgewiseError) as refused:
        page_of(tmp_path, record)
    assert said in str(refused.value)


@pytest.mark.parametrize("pair", [[0.5], [0.5, 1.5], [0.5, None], ["a", 0.5]])
def test_a_history_that_cannot_be_is_refused(pair: list[Any], tmp_path: Path) -> None:
    record = compress_record()
    record["history"][3]["layers"]["layer2.0.conv1"] = pair
    with pytest.raises(EdgewiseError, match=re.escape("history[3].layers.layer2.0.conv1")):
        page_of(tmp_path, record)


def test_nothing_of_a_record_becomes_markup(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    record = json.loads(json.dumps(compress_record()).replace("layer1.0.conv2", evil))
    record["compress"]["dead"] = [evil]
    page = page_of(tmp_path, record)
    assert evil not in page
    assert "&lt;script&gt;" in page
