"""The recipes of sub-nets: what they say and claim; the photos they take; and one in ImageNet's layout, run."""

import ast
import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
ON_CIFAR = ("table9", "table10", "table14", "effort", "fig13", "fig14", "collapse")


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


def row(arm, seeds=3, std=0.3, **numbers):
    own = {
        f"{key.replace('_', ' ')}{end}": value
        for key, n in numbers.items()
        for end, value in (("%_mean", n), ("%_std", std))
    }
    return {"task": "resnet20", "arm": arm, "seeds": seeds, **own}


def test_every_recipe_says_what_it_is_expects_and_takes():
    for name in (*ON_CIFAR, "table11"):
        text = ast.get_docstring(ast.parse((RECIPES / "subnets" / f"{name}.py").read_text()))
        options = "--data IMAGENET --state DIR" if name == "table11" else "--shared DIR --state DIR"
        assert f"python recipes/subnets/{name}.py {options}" in text
        assert "\nExpected (" in text
        assert "\nTime: " in text


def test_at_least_is_within_one_standard_error(load):
    at_least = load("sparse").at_least
    # the error of the difference is sqrt(0.3^2 / 3 + 0.3^2 / 3) = 0.245
    table = [row("nd", test_90=80.0, test_95=79.0), row("cs", test_90=80.2, test_95=79.3)]
    found = at_least(table, "nd", "cs", "text")
    assert [(one["sub_net"], one["difference"], one["standard_error"], one["holds"]) for one in found["places"]] == [
        ("90%", -0.2, 0.24, True), ("95%", -0.3, 0.24, False),
    ]  # fmt: skip
    assert found["holds"] is False
    assert at_least(table, "nd", "joint", "text")["holds"] is None
    assert at_least([row("a", 1, None, test_90=80.0), row("b", 1, None, test_90=80.0)], "a", "b", "text")["holds"]


def test_table10_counts_cost_and_gives_joint_training_a_third_of_the_epochs(load):
    table10, sparse = load("table10"), load("sparse")
    cost = {"macs_mean": 100.0, "train_seconds_mean": 10.0}
    table = [{**row("AST+GC", test_90=80.0), **cost, "macs_mean": 110.0}, {**row("dense"), **cost}]
    (place,) = table10.claims(table)[1]["places"]
    assert place == {"ratio": 1.1, "of_seconds": 1.0, "holds": True}
    runs = {name: sparse.arm(name, 1, sparse.FULL, effort, **own)[0] for name, effort, own in table10.arms(False)}
    assert len(runs) == 12
    assert runs["joint"].settings["epochs"] * 3 == runs["AST+GC"].settings["epochs"] == 30


def test_all_settings_of_all_arms_are_known(load):
    from edgewise.jobs.subnets import SubNetSettings

    count = 0
    for _, _, own in load("table10").arms(False):
        assert SubNetSettings(**own).sub_nets
        count += 1
    assert count == 12
    assert all(SubNetSettings(densities=one).sub_nets for one in load("table14").SETS.values())
    assert all(SubNetSettings(**own).sub_nets for own in load("collapse").ARMS.values())


def test_fig13_adds_up_pairs_over_seeds_and_keeps_the_smallest_cosine(load):
    fig13 = load("fig13")
    pair = {"pairs": 10, "negative_before": 4, "negative_after": 0}
    one = {"epoch": 1, "products": {"a b": pair, "b c": {**pair, "negative_before": 2}}, "worst_cosine": -1e-8}
    runs = [{"negative_products": [one]}, {"negative_products": [{**one, "worst_cosine": -2e-8}]}]
    found = fig13.curves(runs)
    assert found == [{"epoch": 1, "before": 0.3, "after": 0.0, "worst_cosine": -2e-8}]
    assert fig13.claims({"AST+GC": found})[0]["holds"]
    assert not fig13.claims({"AST+GC": [{**found[0], "worst_cosine": -1e-3}]})[0]["holds"]


def test_fig14_compares_every_layer_with_its_gap(load):
    fig14 = load("fig14")
    layers = {"conv": {"non_overlap": 0.3, "gap": 0.1}, "head": {"non_overlap": 0.1, "gap": 0.1}}
    runs = [{"non_overlap": [{"pair": ["90%", "98%"], "layers": layers}]}] * 2
    found = fig14.layers(runs, ["90%", "98%"])
    assert found["conv"]["non_overlap"] == pytest.approx(0.3)
    assert [one["holds"] for one in fig14.claims({"90% and 98%": found})[0]["places"]] == [True, False]


def test_photos_of_the_parts_do_not_meet(load, tmp_path):
    sparse, whole = load("sparse"), tmp_path / "cifar10_whole"
    for part, count in (("train", 80), ("test", 60)):
        for name in ("cat", "dog"):
            (whole / part / name).mkdir(parents=True)
            for number in range(count):
                (whole / part / name / f"{number:05d}.jpg").touch()
    lines = [line.split(",") for line in sparse.listed(whole, 250).splitlines()[1:]]
    assert len({path for path, *_ in lines}) == len(lines)
    counts = {part: sum(split == part for _, _, split in lines) for part in ("train", "val", "test")}
    assert counts == {"train": 2 * 25, "val": 2 * 50, "test": 2 * 50}
    with pytest.raises(ValueError, match="leave none to validate on"):
        sparse.listed(whole, 400)


def test_table11_runs_on_a_miniature_in_imagenets_layout(tmp_path):
    command = [sys.executable, str(RECIPES / "subnets" / "table11.py"), "--quick", "--state", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=170, check=False)
    assert done.returncode == 0, done.stderr
    (written,) = (tmp_path / "results").iterdir()
    found = json.loads(written.read_text())
    rows = {one["arm"]: one for one in found["rows"]}
    assert list(rows) == ["AST+GC, 50 %", "AST, 50 %"]
    assert all(0 <= one[f"test {name}_mean"] <= 100 for one in rows.values() for name in ("80%", "90%"))
    assert found["claims"][0]["held_in"].endswith("of 2")
