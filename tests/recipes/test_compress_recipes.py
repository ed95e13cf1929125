"""The recipes of compression: what they say, choose and claim; and those in ImageNet's layout, run."""

import ast
import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
ON_CIFAR, ON_IMAGENET = ("sweep", "table1", "table3", "table6"), ("table2", "table4", "table5")


@pytest.fixture
def load():
    """A module of the recipes by name, under which no other recipe's folder has one."""
    with pytest.MonkeyPatch.context() as patch:
        for folder in (RECIPES, RECIPES / "reprogram", RECIPES / "compress"):
            patch.syspath_prepend(folder)
        yield importlib.import_module


def row(arm, network="resnet20", **numbers):
    return {"task": network, "arm": arm, **{f"{name}_mean": value for name, value in numbers.items()}}


def test_every_table_has_a_recipe_that_says_what_it_is():
    for name in ON_CIFAR + ON_IMAGENET:
        text = ast.get_docstring(ast.parse((RECIPES / "compress" / f"{name}.py").read_text()))
        options = "--shared DIR --state DIR" if name in ON_CIFAR else "--data IMAGENET --weights FILE --state DIR"
        assert f"python recipes/compress/{name}.py {options}" in text
        assert "\nExpected (" in text
        assert "\nTime: " in text


def test_the_sweep_takes_the_most_accurate_of_those_that_empty_enough(load):
    choose = load("sweep").choose
    table = [
        row("light", val=91.0, group_sparsity=12.0),
        row("enough", val=89.5, group_sparsity=24.5),
        row("too much", val=88.0, group_sparsity=60.0),
    ]
    assert choose(table)["arm"] == "enough"
    assert choose(table[:1])["arm"] == "light"
    assert choose([table[0], row("more", val=80.0, group_sparsity=20.0)])["arm"] == "more"


def test_what_the_sweep_chose_is_what_the_tables_take(load, monkeypatch):
    trials = load("trials")
    monkeypatch.setattr(trials, "newest", lambda name: None)
    usual = trials.chosen()
    assert set(usual) == {"lam", "clip"}
    results = {"compress_sweep": {"chosen": {"lam": 0.5, "clip": 1.1}, "rows": []}}
    monkeypatch.setattr(trials, "newest", results.__getitem__)
    assert trials.chosen() == {"lam": 0.5, "clip": 1.1}


@pytest.mark.parametrize(
    ("ours", "held"),
    [
        ({"test": 88.1, "eq_2_8": 21.4, "file": 17.6}, [True, True, True, True, True, False]),
        ({"test": 87.9, "eq_2_8": 20.9, "file": 19.1}, [False, False, True, False, False, True]),
    ],
)
def test_table1_claims_the_must_and_the_aim(load, ours, held):
    claims = load("table1").claims([row("float", test=89.0), row("wpc", group_sparsity=25.0, **ours)])
    assert [one["holds"] for one in claims] == held
    assert claims[0]["claim"] == "must: resnet20 within 1 point of float"


def test_table3_claims_wpc_over_naive_in_both(load):
    claims = load("table3").claims
    naive, ours = row("naive", test=85.0, group_sparsity=18.0), row("wpc", test=86.0, group_sparsity=17.0)
    assert [one["holds"] for one in claims([naive, ours])] == [True, False]
    assert claims([ours]) == []


def test_table6_claims_the_ends_and_every_step(load):
    table6 = load("table6")
    numbers = [(90.0, 25.0), (89.0, 36.0), (89.5, 43.0), (88.0, 50.0), (87.0, 63.0)]
    table = [
        row(table6.label(pe), test=test, group_sparsity=empty)
        for pe, (test, empty) in zip(table6.SIZES, numbers, strict=True)
    ]
    assert [one["holds"] for one in table6.claims(table)] == [True, True, True, False]


def test_arms_of_several_tables_are_the_same_runs(load):
    trials, table6 = load("trials"), load("table6")
    mine = trials.arm("resnet20", "wpc", 3, trials.FULL, arm="wpc", lam=0.1, clip=1.0)
    theirs = trials.arm("resnet20", table6.label(16), 3, trials.FULL, arm="wpc", lam=0.1, clip=1.0)
    assert [run.key for run in mine] == [run.key for run in theirs]
    assert len({run.key for run in mine}) == 3


def test_photos_of_the_parts_do_not_meet(load, tmp_path):
    trials, whole = load("trials"), tmp_path / "cifar10_whole"
    for part, count in (("train", 30), ("test", 250)):
        for name in ("cat", "dog"):
            (whole / part / name).mkdir(parents=True)
            for number in range(count):
                (whole / part / name / f"{number:05d}.jpg").touch()
    lines = [line.split(",") for line in trials._table(whole, 200).splitlines()[1:]]
    paths = [path for path, *_ in lines]
    assert len(set(paths)) == len(paths)
    counts = {part: sum(split == part for _, _, split in lines) for part in ("train", "val", "test")}
    assert counts == {"train": 2 * 20, "val": 2 * 200, "test": 2 * 50}
    assert all((part == "train") == ("/train/" in path) for path, _, part in lines)


def test_alexnet_has_the_dissertations_convolutions_and_what_fits_them(load, tmp_path):
    imagenet = load("imagenet")
    from edgewise.backbones import load as load_backbone
    from edgewise.compress import Compressed, Compression

    whole = imagenet.AlexNetBn(10)
    weights = {name: tuple(p.shape) for name, p in whole.named_parameters() if p.ndim == 4}
    assert [shape[0] for shape in weights.values()] == [96, 256, 384, 384, 256]
    model = Compressed(load_backbone(imagenet.AlexNetBn(10, 64), image_size=64), Compression(pe=32))
    assert [place.layer.weight.shape[1] for place in model.places.values()] == [96, 256, 384, 384]
    assert any("2 linear layers before the head" in note for note in model.notes)


@pytest.mark.parametrize(
    "table", ["table2", pytest.param("table4", marks=pytest.mark.slow), pytest.param("table5", marks=pytest.mark.slow)]
)
def test_a_table_runs_on_a_miniature_in_imagenets_layout(table, tmp_path):
    command = [sys.executable, str(RECIPES / "compress" / f"{table}.py"), "--quick", "--state", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=170, check=False)
    assert done.returncode == 0, done.stderr
    (written,) = (tmp_path / "results").iterdir()
    found = json.loads(written.read_text())
    rows = {one["arm"]: one for one in found["rows"]}
    assert {"float", "wpc"} <= rows.keys()
    assert 0 <= rows["wpc"]["top1_mean"] <= 100
    assert rows["wpc"]["eq_2_8_mean"] >= 16
    assert len(found["claims"]) == 2
    folders = sorted(path.name for path in (tmp_path / "miniature" / "train").iterdir())
    assert folders == ["n01440764", "n01443537", "n02102040"]


def test_the_page_shows_the_newest_results(load):
    draw = load("draw_compress")
    page, found = draw.PAGE.read_text(), draw.sections()
    assert set(found) == {"sweep", "table1", "table3", "table6", "table7", "kernel", "pe_array"}
    for name, content in found.items():
        said = page.partition(f"<!-- {name}: begin -->\n")[2].partition(f"\n<!-- {name}: end -->")[0]
        assert said == content, f"{name}: run python recipes/draw_compress.py"


def test_a_table_of_runs_has_a_line_an_arm(load):
    numbers = {"test_mean": 88.04, "test_std": 0.2, "eq_2_8_mean": 21.3, "eq_2_8_std": 0.1}
    rows = [{"task": "resnet20", "arm": "wpc", "seeds": 3, **numbers}]
    budget, environment = {"images": 10_000, "epochs": 5}, {"torch": "2", "cpu": "one"}
    text = load("draw_compress").trained({"rows": rows, "budget": budget, "environment": environment})
    assert "| resnet20 | wpc | 88.0 ± 0.2 | 21.3x |" in text
    assert "*10,000 photos, 5 epochs; 3 seeds; torch 2, one.*" in text
    assert load("draw_compress").trained(None) == "*Not run yet.*"
