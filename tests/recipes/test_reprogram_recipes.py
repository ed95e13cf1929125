"""The recipes of reprogramming: each run once, choices made on validation parts, data cut the same every time."""

import ast
import importlib
import json
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
SYSTEMS = (
    "automata", "bar", "characters", "cross_modal", "elsayed", "generator", "language", "series", "speakers",
)  # fmt: skip
COUNTED = """
from pathlib import Path


def work(shared, state, seed, part="val", worth=0.0):
    with open(state / "calls", "a") as calls:
        calls.write(f"{part} {worth} {seed}\\n")
    return {"accuracy": worth + seed / 100, "loss": 1.0}
"""


@pytest.fixture
def load(tmp_path):
    """A module of the recipes by name, and ``counted``, whose work notes that it was called."""
    (tmp_path / "counted.py").write_text(COUNTED)
    with pytest.MonkeyPatch.context() as patch:
        for folder in (RECIPES, RECIPES / "reprogram", tmp_path):
            patch.syspath_prepend(folder)
        yield importlib.import_module


@pytest.fixture
def arguments(tmp_path):
    return Namespace(shared=tmp_path, state=tmp_path, seeds=2)


def calls(arguments):
    return (arguments.state / "calls").read_text().split("\n")[:-1]


def test_every_system_has_a_recipe_that_says_what_it_is():
    scripts = {path.stem: ast.parse(path.read_text()) for path in (RECIPES / "reprogram").glob("*.py")}
    started = {name for name, tree in scripts.items() if ast.unparse(tree).count("if __name__ == '__main__':")}
    assert started == set(SYSTEMS)
    for name in SYSTEMS:
        text = ast.get_docstring(scripts[name])
        assert f"python recipes/reprogram/{name}.py --shared DIR --state DIR" in text
        assert "\nExpected (" in text
        assert "\nTime: " in text


def test_a_run_is_made_once(load, arguments):
    runs, counted = load("runs"), load("counted")
    asked = runs.over_seeds(counted.work, "a task", "an arm", 2, worth=0.5)
    first = runs.collected(asked, arguments, processes=1)
    assert [(one["task"], one["arm"], one["seed"], one["accuracy"]) for one in first] == [
        ("a task", "an arm", 0, 0.5), ("a task", "an arm", 1, 0.51),
    ]  # fmt: skip
    again = runs.collected(asked + runs.over_seeds(counted.work, "a task", "other", 1, worth=0.1), arguments, 1)
    assert again[:2] == first
    assert calls(arguments) == ["val 0.5 0", "val 0.5 1", "val 0.1 0"]
    (row, other) = runs.rows(again, "accuracy", "loss")
    assert (row["seeds"], row["accuracy_mean"], row["accuracy_std"]) == (2, 0.505, pytest.approx(0.0071))
    assert other["accuracy_std"] is None


def test_the_test_part_is_scored_once_with_what_validation_chose(load, arguments):
    choice, counted = load("choice"), load("counted")
    arms = [
        choice.Arm("a task", "chosen", counted.work, choice.grid(worth=[0.2, 0.6, 0.4])),
        choice.Arm("a task", "fixed", counted.work, choice.grid(worth=[0.3])),
        choice.Arm("a task", "equal", counted.work, choice.grid(worth=[0.7, 0.7])),
    ]
    found = choice.tested(arms, arguments)
    assert choice.choices(found) == [
        {"task": "a task", "arm": "chosen", "worth": 0.6},
        {"task": "a task", "arm": "fixed", "worth": 0.3},
        {"task": "a task", "arm": "equal", "worth": 0.7},
    ]
    tested = sorted(call for call in calls(arguments) if call.startswith("test"))
    assert tested == [f"test {worth} {seed}" for worth in (0.3, 0.6, 0.7) for seed in (0, 1)]


def test_parts_do_not_meet(load):
    sets = load("sets")
    labels = np.repeat([0, 1, 2], [50, 10, 4])
    one, other = (sets.split(labels, (0.2, 0.1), seed) for seed in (0, 0))
    assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    assert sorted(np.concatenate(one)) == list(range(64))
    assert [np.bincount(labels[part]).tolist() for part in one] == [[35, 7, 2], [10, 2, 1], [5, 1, 1]]
    assert not np.array_equal(one[0], sets.split(labels, (0.2, 0.1), 1)[0])
    few = sets.some(sets.Part(np.arange(64), labels), 12, 0)
    assert np.bincount(few.y).tolist() == [4, 4, 4]


def test_squares_are_as_many_as_the_label_says(load):
    drawn = load("elsayed").squares(30, 0)
    assert drawn.x.shape == (30, 1, 36, 36)
    assert [int(image.sum()) // (255 * 16) for image in drawn.x] == [label + 1 for label in drawn.y]


def test_the_share_of_the_gain(load):
    bar = load("bar")
    table = [
        {"task": "pneumonia", "arm": arm, "auc_mean": auc}
        for arm, auc in (("zero-shot", 0.8), ("white box", 0.9), ("black box", 0.87))
    ]
    assert bar.shares(table) == [{"task": "pneumonia", "share": 0.7}]
    assert bar.shares(table[:2]) == []


def test_what_is_written_can_be_read(load, arguments):
    runs, counted = load("runs"), load("counted")
    runs.collected(runs.over_seeds(counted.work, "t/1", "a b", 1), arguments, processes=1)
    (path,) = (arguments.state / "runs").iterdir()
    assert path.name.startswith("t_1-a_b-0-")
    assert json.loads(path.read_text())["loss"] == 1.0


def test_the_page_has_a_place_for_every_system_and_shows_what_was_run(load):
    draw = load("draw_reprogramming")
    assert sorted(draw.MEASURES) == list(SYSTEMS)
    row = {"task": "ants", "arm": "program", "seeds": 3, "accuracy_mean": 0.877, "accuracy_std": 0.012}
    row |= {"queries_mean": 49_900.0, "queries_std": None}
    missed = [{"set": "ants", "ahead": -1.0, "holds": False}, {"set": "bees", "ahead": 2.0, "holds": True}]
    claim = {"claim": "program > probe", "holds": False, "held_in": "1 of 2", "places": missed}
    environment = {"torch": "2", "cpu": "one"}
    found = {"rows": [row], "claims": [claim], "settings": {"seeds": 3}, "environment": environment}
    text = draw.section("bar", found)
    assert "| program | 87.7 ± 1.2 |" in text
    assert "| program | 49,900 |" in text
    assert "**does not hold** (1 of 2; by -1.0 to +2.0; not on ants)" in text
    assert draw.section("bar", None) == "*Not run yet.*"
    page = draw.PAGE.read_text()
    for recipe in SYSTEMS:
        said = page.partition(f"<!-- {recipe}: begin -->\n")[2].partition(f"\n<!-- {recipe}: end -->")[0]
        assert said == draw.section(recipe, draw.newest(f"reprogram_{recipe}")), recipe
