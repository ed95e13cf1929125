"""The recipes of the papers' tables: what they would run, what they claim, and what is written of it."""

import importlib
import json
import xml.etree.ElementTree as ElementTree
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import pytest

from edgewise.adapt import method_class
from edgewise.core.settings import with_texts

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
SCRIPTS = tuple(
    f"{folder}.{path.stem}" for folder in ("repnet", "mobiletl") for path in sorted((RECIPES / folder).glob("*.py"))
)
TABLES = tuple(name for name in SCRIPTS if name != "mobiletl.theorem1")
DRAWN = 8
SPARSE = {
    "of_masked": 0.2,
    "of_network": 0.1,
    "macs_dense": 9e6,
    "macs_without_zeros": 8e6,
    "macs_plain_runtime": 8.9e6,
}


@pytest.fixture(scope="module")
def load():
    """A recipe, or what recipes share, by name: they are scripts, not a package."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(RECIPES)
        yield importlib.import_module


@pytest.fixture
def results(load, tmp_path, monkeypatch):
    """An empty folder in place of ``recipes/results``."""
    monkeypatch.setattr(load("grid"), "RESULTS", tmp_path)
    return tmp_path


def planned(recipe, quick):
    """Arms and further steps, of recipes that have them."""
    own = vars(recipe)
    return own["arms"](quick) if "arms" in own else [], own["costs"](quick) if "costs" in own else []


def cost(number):
    """What a step takes, made up: later ones take more."""
    return {
        "trainable_params": 1_000_000 + number, "total_params": 3_000_000, "published_mb": 110.0 + number,
        "kept_mb": 100.0 + number, "flops": 10**10 + 10**7 * number, "stored_mb": 120.0 + number,
        "measured_peak_mb": 140.0 + number, "step_ms": 1100.0 + number,
        "stock_measured_peak_mb": 640.0 + number, "stock_step_ms": 2100.0 + number,
    }  # fmt: skip


def made_up(load, recipe, quick=False):
    """Rows and costs of a recipe as if it had run: later arms are more accurate."""
    tables, (arms, costs) = load("tables"), planned(recipe, quick)
    rows = []
    for number, arm in enumerate(arms):
        runs = [
            {
                "test": 0.5 + 0.002 * number + 0.001 * seed, "lr_used": 1e-3, "side_lr_used": 1e-3, "seconds": 1.0,
                "artifact_bytes": 10, "history": [{"epoch": 1, "train_accuracy": 0.5}],
                "sparsity": SPARSE if "mask" in arm.job.method else None,
            }
            for seed in range(3)
        ]  # fmt: skip
        rows.append({**tables.summary(arm, runs), **cost(number)})
    measures = [{**tables.described(one), **cost(number)} for number, one in enumerate(costs)]
    return rows, measures


def test_every_table_and_figure_has_a_script_and_a_place_on_the_page(load):
    assert len(SCRIPTS) == 14
    page = (RECIPES.parent / "docs" / "comparison.md").read_text()
    drawing = load("draw_comparison")
    assert {name.replace(".", "_") for name in SCRIPTS} | {"tune_methods"} == set(drawing.RECIPES)
    for name in drawing.RECIPES:
        page = drawing.replaced(page, name, "*new*")
    assert page.count("*new*") == len(drawing.RECIPES)
    with pytest.raises(ValueError, match="no marks"):
        drawing.replaced(page, "repnet_table9", "")


@pytest.mark.parametrize("name", TABLES)
def test_what_quick_runs_is_a_part_of_everything(load, name):
    recipe = load(name)
    (quick_arms, quick_costs), (arms, costs) = planned(recipe, True), planned(recipe, False)
    assert arms or costs
    assert quick_arms or quick_costs
    assert [arm for arm in quick_arms if arm not in arms] == []
    assert [one for one in quick_costs if one not in costs] == []
    assert len(quick_arms) + len(quick_costs) < len(arms) + len(costs)
    places = [(arm.network, arm.job.data, arm.name) for arm in arms]
    assert len(set(places)) == len(places), "a line of a table stands twice"
    for arm in arms:
        with_texts(method_class(arm.job.method)(), arm.job.settings)


@pytest.mark.parametrize("name", TABLES)
def test_claims_are_evaluated_wherever_there_are_rows(load, name):
    recipe = load(name)
    claims = recipe.claims(*made_up(load, recipe))
    assert claims
    assert [claim["claim"] for claim in claims if claim["holds"] is None] == []
    assert len({claim["claim"] for claim in claims}) == len(claims)
    json.dumps(claims)
    assert all(claim["holds"] in (True, False, None) for claim in recipe.claims(*made_up(load, recipe, quick=True)))


@pytest.mark.parametrize("name", TABLES)
def test_the_page_shows_every_result_in_its_width(load, tmp_path, name):
    drawing, recipe = load("draw_comparison"), load(name)
    rows, costs = made_up(load, recipe)
    result = {
        "rows": rows,
        "costs": costs,
        "claims": recipe.claims(rows, costs),
        "settings": {"seeds": 3},
        "environment": {"torch": "2", "cpu": "a processor"},
    }
    key = name.replace(".", "_")
    text = drawing.section(key, result, tmp_path / "comparison")
    assert [line for line in text.splitlines() if len(line) > drawing.COLUMNS] == []
    assert all(f"| {arm} |" in text for arm in {row["arm"] for row in (*rows, *costs)})
    picture = tmp_path / "comparison" / f"{key}.svg"
    assert picture.exists() == (key in drawing.PICTURES) == (f"({picture.parent.name}/{picture.name})" in text)
    if picture.exists():
        assert ElementTree.parse(picture).getroot().tag.endswith("svg")


def test_a_recipe_that_was_not_run_says_so(load, tmp_path):
    assert load("draw_comparison").section("repnet_table1_connect", None, tmp_path) == "*Not run yet.*"
    assert len(load("draw_comparison").PICTURES) == DRAWN


def rows_of(**accuracies):
    return [
        {"set": "a", "network": "n", "arm": arm, "test": test, "test_mean": sum(test) / len(test), "mb": megabytes}
        for arm, (test, megabytes) in accuracies.items()
    ]


def test_comparisons_pair_the_seeds(load):
    claims = load("claims")
    rows = rows_of(left=([90.0, 91.0, 92.0], 5), right=([89.0, 90.5, 90.0], 10))
    (place,) = claims.compare(rows, "left", "right")["places"]
    assert place == {"set": "a", "network": "n", "difference": 1.17, "error": 0.44, "holds": True}
    assert claims.compare(rows, "left", "right", by=1.2)["holds"] is False
    assert claims.compare(rows, "right", "left", by=-1.1, needed="all")["holds"] is False
    assert claims.compare(rows, "right", "left", by=-1.2, needed="all")["holds"] is True
    assert claims.compare(rows, "left", "nobody")["holds"] is None
    assert claims.compare(rows, "left", "right", sets=("b",))["held_in"] == "0 of 0"


def test_within_one_standard_error_counts_where_it_is_allowed(load):
    compare = load("claims").compare
    rows = rows_of(left=([90.0, 94.0], 5), right=([91.0, 95.5], 5))  # -1.25 ± 0.25
    assert not compare(rows, "left", "right", by=-0.6, needed="all", or_error=True)["holds"]
    rows = rows_of(left=([90.0, 94.0], 5), right=([89.0, 97.0], 5))  # -1 ± 2
    assert compare(rows, "left", "right", by=-0.6, needed="all", or_error=True)["holds"]
    assert not compare(rows, "left", "right", by=-0.6, needed="all")["holds"]


def test_a_mean_and_a_number_of_places(load):
    compare = load("claims").compare
    rows = [
        {"set": data, "network": "n", "arm": arm, "test": [90.0 + gain * (arm == "left")]}
        for data, gain in (("a", 3.0), ("b", -1.0), ("c", -1.0))
        for arm in ("left", "right")
    ]
    assert compare(rows, "left", "right")["holds"] is True
    assert compare(rows, "left", "right", by=0.4)["holds"] is False
    assert compare(rows, "left", "right", needed=1)["holds"] is True
    assert compare(rows, "left", "right", needed=2)["holds"] is False
    assert compare(rows, "left", "right", needed="all")["held_in"] == "1 of 3"


def test_taking_less_by_a_share(load):
    takes_less = load("claims").takes_less
    rows = rows_of(left=([90.0], 8.5), right=([90.0], 10.0))
    assert takes_less(rows, "left", "right", "mb", share=0.15)["holds"] is True
    assert takes_less(rows, "left", "right", "mb", share=0.16)["holds"] is False
    assert takes_less(rows, "right", "left", "mb")["holds"] is False
    assert takes_less(rows, "left", "left", "mb")["holds"] is False, "as much is not less"
    assert takes_less(rows, "left", "right", "step_ms")["holds"] is None


def test_the_front_is_what_no_other_arm_beats(load):
    on_front = load("claims").on_front
    rows = rows_of(small=([80.0], 1), good=([90.0], 2), beaten=([85.0], 3), best=([95.0], 4))
    found = on_front(rows, ("good", "best"), "mb")
    assert found["holds"] is True
    assert found["places"][0]["front"] == ["small", "good", "best"]
    assert on_front(rows, ("good", "beaten"), "mb")["holds"] is False
    assert on_front(rows, ("good", "nobody"), "mb")["holds"] is None


def test_ranks_that_are_equal_share_one(load):
    rank = load("repnet.fig5_better_backbones").rank_correlation
    assert rank([1, 2, 3], [10, 20, 30]) == pytest.approx(1)
    assert rank([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
    assert rank([1, 2, 3, 4], [1, 1, 2, 3]) == pytest.approx(0.9487, abs=1e-4)
    assert rank([1, 2, 3], [5, 5, 5]) == 0


def test_jobs_that_finished_before_keep_their_keys(load):
    job = load("grid").Job("signdigits", 0.35, "repnet", 0)
    assert job.key == "signdigits-0.35-repnet-7d6c99070f12"
    others = (replace(job, seed=1), replace(job, frozen_bits=8), replace(job, settings={"connect": "up"}))
    assert len({job.key, *(other.key for other in others)}) == 4
    other = load("grid").Job("signdigits", None, "repnet", 0, weights="mcunet_5fps_imagenet")
    assert (other.family, other.key.split("-")[1]) == ("mcunet", "mcunet_5fps_imagenet")
    with pytest.raises(ValueError, match="name one of the two"):
        replace(job, weights="mcunet_5fps_imagenet")


def test_the_newest_result_is_the_last_of_the_last_day(load, results):
    for number, name in enumerate(("2026-01-02", "2026-01-02_2", "2026-01-02_10", "2026-01-01_11")):
        (results / f"t_{name}.json").write_text(json.dumps(number))
    assert load("grid").newest("t") == 2
    assert load("grid").newest("u") is None


def test_rates_are_those_that_were_chosen_else_the_defaults(load, results):
    arms = load("arms")
    assert arms.tuned("mobiletl") == {"lr": None, "side_lr": None, "epochs": 6, "settings": {}}
    chosen = {"lr": 3e-3, "side_lr": 1e-3, "epochs": 12, "settings": {"mask_lr": "3e-4"}}
    (results / "tune_methods_2026-01-01.json").write_text(
        json.dumps({"chosen": {"mask": chosen, "mobiletl+lite": chosen}})
    )
    assert arms.tuned("bias")["lr"] is None
    assert arms.tuned("lite") == chosen, "patches alone take the rates of the combination"
    job = arms.arm("cifar10", arms.NARROW, "mask", settings={"where": "all"}).job
    assert (job.lr, job.side_lr, job.epochs) == (3e-3, 1e-3, 12)
    assert job.settings == {"mask_lr": "3e-4", "where": "all"}
    lengths = {data: arms.arm(data, arms.NARROW, "mask").job.epochs for data in ("hymenoptera", "cifar10_500")}
    assert lengths == {"hymenoptera": 20, "cifar10_500": 6}
    last = arms.arm("cifar10", arms.NARROW, "last")
    assert (last.name, last.job.epochs) == ("last, 15 epochs", 15)


def test_tuning_takes_the_best_rates_then_the_better_length(load):
    tune, asked = load("tune_methods"), []

    def measure(candidates, epochs, seeds):
        asked.append(([name for name, _ in candidates], epochs, seeds))
        return [
            # the last candidate is best; longer is better for the mask, and level for the others
            {"name": name, **one, "epochs": epochs, "seeds": seeds}
            | {"mean_val": 0.1 * (number + (epochs == 12 and name == "mask"))}
            for number, (name, one) in enumerate(candidates)
        ]

    result = tune.choose(("mask", "bias"), measure, 2)
    assert asked == [(["mask"] * 4, 6, 1), (["mask", "bias"], 6, 2), (["mask", "bias"], 12, 2)]
    _, candidates = tune.CANDIDATES["mask"]
    assert result["chosen"]["mask"] == {**candidates[-1], "epochs": 12}
    bias = method_class("bias")()
    assert result["chosen"]["bias"] == {"lr": bias.lr, "side_lr": bias.side_lr, "settings": {}, "epochs": 6}
    text = load("draw_comparison").tuning_table(result)
    assert text.count("chosen") == 2


def test_every_candidate_is_a_job_of_a_method(load):
    tune = load("tune_methods")
    assert set(tune.CANDIDATES) >= set(tune.QUICK)
    for name, (method, candidates) in tune.CANDIDATES.items():
        assert 1 <= len(candidates) <= 4
        for candidate in candidates:
            with_texts(method_class(method)(), candidate["settings"])
            jobs = tune.jobs(name, candidate, 6, 2, tune.SETS)
            assert len({job.key for job in jobs}) == 4
            assert {job.val_fraction for job in jobs} == {0.2}


def test_steps_are_measured_in_turns_and_remembered(load, tmp_path, monkeypatch, capsys):
    steps, calls = load("steps"), []
    predicted = dict.fromkeys(steps.PREDICTED, 1)

    def ask(module, task, request, environment):
        calls.append(task)
        return {"rows": [predicted for _ in request["steps"]]}

    def in_process(task, request):
        assert task == "measure"
        calls.append(request.method)
        return {**dict.fromkeys(steps.MEASURED, 2), "step_ms": float(len(calls))}

    monkeypatch.setattr(steps, "ask", ask)
    monkeypatch.setattr(steps, "in_process", in_process)
    requests = [steps.StepRequest("pocket", None, method) for method in ("last", "full", "last")]
    rows = steps.measured(requests, tmp_path, 3)
    assert calls == ["predict", *["last", "full"] * 3]
    assert [row["step_ms"] for row in rows] == [4.0, 5.0, 4.0]
    assert rows[0]["flops"] == 2
    assert steps.measured(requests, tmp_path, 3) == rows
    assert len(calls) == 7, "what was measured is not measured again"


def test_stock_pytorch_takes_its_turn_beside_every_arm(load, tmp_path, monkeypatch):
    steps, arms = load("steps"), load("arms")
    monkeypatch.setattr(
        steps,
        "measured",
        lambda requests, state, rounds: [
            {"measured_peak_mb": one.method, "kept_mb": one.lean, "step_ms": one.frozen_bits} for one in requests
        ],
    )
    jobs = [arms.arm("cifar10", arms.NARROW, method, frozen_bits=8).job for method in ("last", "repnet")]
    (first, second) = steps.steps_of(jobs, Path("nowhere"), tmp_path, 1)
    assert first == {
        "measured_peak_mb": "last", "kept_mb": "small", "step_ms": 8,
        "stock_measured_peak_mb": "last", "stock_kept_mb": "off", "stock_step_ms": 32,
    }  # fmt: skip
    assert second["stock_measured_peak_mb"] == "repnet"


def test_sets_are_cut_and_keep_no_validation_part(load, shared, tmp_path):
    load("grid").prepare(shared.parent, tmp_path, ["mnist", "pneumonia"])
    mnist, pneumonia = (tmp_path / "images" / name for name in ("mnist", "pneumonia"))
    assert {len(list(folder.iterdir())) for folder in (mnist / "train").iterdir()} == {100}
    assert {len(list(folder.iterdir())) for folder in (mnist / "test").iterdir()} == {150}
    assert sorted(folder.name for folder in pneumonia.iterdir()) == ["test", "train"]
    assert sum(1 for _ in (pneumonia / "train").rglob("*.png")) == 2428


@pytest.mark.slow
def test_three_arms_really_run_and_are_not_run_again(load, shared, tmp_path, capsys):
    """Patches alone, which no verb names; masks, whose sparsity is read from what was saved; weights in 8 bits."""
    arms, tables = load("arms"), load("tables")
    table = [
        arms.arm("hymenoptera", "ResNet-20", method, epochs=1, settings=settings)
        for method, settings in (("lite", {"blocks": "2"}), ("repnet+mask", {"mask_lr": "1e-2"}))
    ]
    table.append(arms.arm("hymenoptera", "ResNet-20", "last", epochs=1, frozen_bits=8))
    told = Namespace(shared=shared.parent, state=tmp_path, seeds=1, quick=True)
    rows = tables.trained(table, told, 1)
    assert [row["arm"] for row in rows] == ["lite", "repnet+mask", "last, 15 epochs"]
    assert all(30 < row["test_mean"] <= 100 and len(row["train_curve"]) == 1 for row in rows)
    assert all(row["measured_peak_mb"] is None or row["measured_peak_mb"] > 0.5 for row in rows)
    assert rows[0]["sparsity"] is None
    assert rows[2]["frozen_bits"] == 8
    assert 0 <= rows[1]["sparsity"]["of_masked"] <= 1
    assert rows[1]["sparsity"]["macs_without_zeros"] <= rows[1]["sparsity"]["macs_dense"]
    capsys.readouterr()
    assert tables.trained(table, told, 1) == rows
    assert "3 jobs, 0 to run" in capsys.readouterr().out
    path = tables.write(str(RECIPES / "repnet" / "table4_mask.py"), told, {"rows": rows, "claims": []})
    assert path.parent == tmp_path / "results", "what is quick is no result"
    assert path.name.startswith("repnet_table4_mask_")
