"""The recipes of patterns and of channels: what they say and claim, and the road of channels on photos of noise."""

import ast
import csv
import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

RECIPES = Path(__file__).resolve().parents[2] / "recipes"


@pytest.fixture
def load():
    """A module of the recipes by name, forgotten afterwards: other folders have files of the same names."""
    before = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        for folder in (RECIPES, RECIPES / "reprogram", RECIPES / "compress", RECIPES / "subnets"):
            patch.syspath_prepend(folder)
        yield importlib.import_module
    for name in set(sys.modules) - before:
        if str(RECIPES) in str(vars(sys.modules[name]).get("__file__")):
            del sys.modules[name]


def row(arm, std=0.3, macs=100.0, **numbers):
    own = {f"test {name}{end}": value for name, n in numbers.items() for end, value in (("_mean", n), ("_std", std))}
    costs = {"macs_mean": macs, "macs_without_zeros_mean": macs}
    return {"task": "resnet20", "arm": arm, "seeds": 3, **own, **costs}


def test_every_recipe_says_what_it_claims_and_takes():
    for name in ("table12", "table15", "channels"):
        text = ast.get_docstring(ast.parse((RECIPES / "subnets" / f"{name}.py").read_text()))
        assert f"python recipes/subnets/{name}.py --shared DIR --state DIR" in text
        assert "Claimed here: " in text.replace("\n", " ")
        assert "\nTime: " in text


def test_table12_holds_every_pattern_against_the_same_trained_alone(load):
    claims = load("table12").claims
    together = {"50%": 80.0, "75%": 79.0, "87.5%": 78.0, "93.75%": 77.0}
    alone = [
        row(f"SR-STE {one}", **{name: 80.1}) for one, name in zip(("2:4", "1:4", "1:8", "1:16"), together, strict=True)
    ]
    better, cost = claims([row("AST+GC", **together), *alone])
    assert [place["holds"] for place in better["places"]] == [True, False, False, False]
    assert cost["places"] == [{"cost": 0.25, "holds": True}]
    assert claims([row("AST+GC", **together), *alone[:3]]) == []
    assert claims([row("AST+GC", macs=130.0, **together), *alone])[1]["holds"] is False


def test_table12_times_a_photo_with_zeros_and_without(load):
    timed = load("table12").timed
    dense, sparse = timed(None, 1), timed(load("edgewise.subnets.nm").NM(1, 16), 1)
    assert (dense["pattern"], sum(dense["layers"].values())) == ("dense", 0)
    assert (sparse["pattern"], sum(sparse["layers"].values())) == ("1:16", 19)
    assert all(one[key] > 0 for one in (dense, sparse) for key in ("ms", "plain_ms"))


def test_table15_has_all_combinations_and_both_claims(load):
    from edgewise.jobs.subnets import SubNetSettings

    table15 = load("table15")
    assert [SubNetSettings(**own).start for own in table15.ARMS.values()] == [1.0, 1.0, 1.0, 0.5, 0.2]
    table = [
        row("50 and 90 %", **{"50%": 80.0}),
        row("50 and 95 %", **{"50%": 78.9}),
        row("80 and 90 %, from 50 %", **{"80%": 79.0, "90%": 78.0}),
        row("80 and 90 %, from 80 %", **{"80%": 78.0, "90%": 78.1}),
    ]
    far, start = table15.claims(table)
    assert far["places"] == [{"sub_net": "50%", "below": 1.1, "holds": False}]
    assert [place["holds"] for place in start["places"]] == [True, True]


def test_channels_from_dense_training_to_slices(load, tmp_path, monkeypatch):
    """The whole road on photos of noise: dense, ranked, trained in turns, sliced, scored and timed."""
    channels, noise = load("channels"), np.random.default_rng(0)
    with (tmp_path / "photos.csv").open("w") as file:
        lines = csv.writer(file)
        lines.writerow(("path", "label", "split"))
        for part, count in (("train", 24), ("val", 8), ("test", 8)):
            for number in range(count):
                label, path = ("dark", "light")[number % 2], tmp_path / f"{part}{number}.png"
                pixels = noise.integers(0, 120, (32, 32, 3)) + 100 * (number % 2)
                Image.fromarray(pixels.astype(np.uint8)).save(path)
                lines.writerow((path.name, label, part))
    monkeypatch.setattr(channels, "table", lambda *_: tmp_path / "photos.csv")
    own = {"images": 24, "epochs": 2}
    assert "test 0%" in channels.dense(tmp_path, tmp_path, 0, **own)
    monkeypatch.setattr(channels, "BATCH", 8)
    for training in ("alternating", "joint"):
        found = channels.narrowed(tmp_path, tmp_path, 0, **own, training=training, shares=[0.75, 0.5])
        assert {"test 25%", "test 50%", "ms 25%", "ms 50%"} <= found.keys()
        assert 0.4 < found["left 50%"] <= 0.5 < 0.65 < found["left 25%"] <= 0.75
        assert found["macs_without_zeros"] < found["macs"]
        assert found["widths 50%"]["layer1.0.conv1"] <= found["widths 25%"]["layer1.0.conv1"] <= 16


def test_claims_of_channels(load):
    claims = load("channels").claims
    runs = [
        {"arm": "in turns", "seed": seed, "ms 0%": 3.0, "ms 25%": 2.0, "ms 50%": last}
        for seed, last in ((0, 1.0), (1, 2.5))
    ]
    table = [row("in turns", macs=25.0, **{"0%": 80.0}), row("jointly", **{"0%": 80.1})]
    better, cost, time = claims(table, runs)
    assert better["holds"]
    assert cost["places"] == [{"ratio": 0.25, "holds": True}]
    assert [place["holds"] for place in time["places"]] == [True, False]
