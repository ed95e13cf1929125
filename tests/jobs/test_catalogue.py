"""The catalogue says what there is: every backbone, every method, every setting, in text."""

import dataclasses
import json

import pytest

from edgewise.adapt import METHODS
from edgewise.backbones import FAMILIES
from edgewise.cli.main import main
from edgewise.core.settings import with_texts
from edgewise.jobs.catalogue import methods, models


def test_every_backbone_is_listed() -> None:
    rows = models()
    assert [row["name"] for row in rows] == list(FAMILIES)
    assert len(rows) >= 8
    assert [row["name"] for row in rows if row["weights"]] == ["pocket"]
    for row in rows:
        assert row["description"]
        assert 32 <= row["size"] <= 224


def test_every_method_and_setting_is_listed() -> None:
    rows = {row["name"]: row for row in methods()}
    assert (
        set(rows)
        == set(METHODS)
        == {
            "full",
            "last",
            "bn",
            "bias",
            "blocks",
            "mobiletl",
            "repnet",
            "tinytl",
            "mask",
            "repnet+mask",
            "input",
            "lite",
            "mobiletl+lite",
        }
    )
    for name, method in METHODS.items():
        assert [s["name"] for s in rows[name]["settings"]] == [field.name for field in dataclasses.fields(method)]
        assert rows[name]["summary"].endswith(".")
        assert "`" not in rows[name]["summary"]
        assert all(s["help"] and s["values"] for s in rows[name]["settings"])


@pytest.mark.parametrize("name", METHODS)
def test_a_default_can_be_typed_back(name: str) -> None:
    row = next(row for row in methods() if row["name"] == name)
    default = METHODS[name]()
    assert with_texts(default, {s["name"]: s["default"] for s in row["settings"]}) == default


def test_settings_show_their_values() -> None:
    shown = {s["name"]: s for s in next(row for row in methods() if row["name"] == "repnet")["settings"]}
    assert shown["connect"]["values"] == "dual, dual-all, none, down, up"
    assert (shown["train_bias"]["default"], shown["train_bias"]["values"]) == ("false", "true, false")
    assert (shown["expand"]["default"], shown["expand"]["values"]) == ("1", "0.125 to 8")
    assert (shown["side_lr"]["default"], shown["side_lr"]["values"]) == ("0.01", "0 or more")


@pytest.mark.parametrize(("verb", "count"), [("models", len(FAMILIES)), ("methods", len(METHODS))])
def test_the_commands_show_and_answer_them(verb: str, count: int, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main([verb])
    shown = capsys.readouterr().out.splitlines()
    assert done.value.code == 0
    assert max(map(len, shown)) <= 80
    assert shown[-1].startswith("  edgewise fit DATA")
    with pytest.raises(SystemExit):
        main([verb, "--json"])
    assert len(json.loads(capsys.readouterr().out)[verb]) == count
