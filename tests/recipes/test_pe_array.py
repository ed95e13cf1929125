"""The recipe of the array's model: what it prints and writes, and that it says of a network only what it was asked."""

import importlib
import json
import sys
from pathlib import Path

import pytest

RECIPES = Path(__file__).resolve().parents[2] / "recipes"


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """The script, with an empty folder in place of ``recipes/results``."""
    monkeypatch.syspath_prepend(RECIPES)
    monkeypatch.setattr(importlib.import_module("tables"), "RESULTS", tmp_path)
    return importlib.import_module("compress.pe_array")


def test_the_recipe_writes_what_it_prints(recipe, monkeypatch, tmp_path, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["pe_array.py"])
    recipe.main()
    shown = capsys.readouterr().out
    (path,) = tmp_path.glob("compress_pe_array_*.json")
    result = json.loads(path.read_text())
    assert result["model"] is True
    assert [one["holds"] for one in result["claims"]] == [True, True]
    both = [row for row in result["predictions"] if row["free"] == "index and fixed"]
    assert [row["predicted"] for row in both] == [1.603, 1.649, 1.831]
    assert [row["lookup_share_of_job"] for row in result["single_costs"]] == [0.079, 0.076, 0.113]
    assert [row["fixed_share_of_dense"] for row in result["single_costs"]] == [0.219, 0.186, 0.268]
    assert "1.603" in shown
    assert shown.count("a model of Table 7, not a measurement") == 3


def test_a_claim_that_does_not_hold_is_written_so(recipe, monkeypatch) -> None:
    monkeypatch.setattr(recipe, "ELEMENTS", (1, 2, 4))
    monkeypatch.setattr(recipe, "most_even", lambda layer, elements: 9.0)
    assert [one["holds"] for one in recipe.claims()] == [True, False]
