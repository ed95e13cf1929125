"""The recipe of Table 7: what it claims of rows."""

import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STAGES = ("stage 1", "stage 2", "stage 3")


@pytest.fixture
def claims():
    with pytest.MonkeyPatch.context() as patch:
        for folder in ("recipes", "recipes/compress", "benchmarks"):
            patch.syspath_prepend(ROOT / folder)
        yield importlib.import_module("table7").claims


def rows(of_ideal, speedup, ms):
    modes = ("int8", "int16", "float")
    return [
        {
            "subject": stage,
            "of_ideal": dict.fromkeys(modes, of_ideal),
            "speedup": dict.fromkeys(modes, speedup),
            "ms": {"torch float": 1.0, **{f"ours {mode}": ms for mode in modes}},
        }
        for stage in STAGES
    ]


@pytest.mark.parametrize(
    ("of_ideal", "speedup", "ms", "held"), [(0.9, 1.8, 0.2, (3, 3, 3)), (0.7, 1.6, 2.0, (0, 1, 0))]
)
def test_what_it_claims(claims, of_ideal, speedup, ms, held):
    found = claims(rows(of_ideal, speedup, ms))
    assert [row["claim"].partition(":")[0] for row in found] == ["int8"] * 3 + ["int16"] * 3 + ["float"] * 3
    for row, count in zip(found, held * 3, strict=True):
        assert row["held_in"] == f"{count} of 3"
        assert row["holds"] == (count == 3)


def test_the_layers_are_the_dissertations(claims):
    kernel = importlib.import_module("ternary_kernel")
    groups = {subject.name: subject.groups() for subject in kernel.table_7()}
    pixels = {"stage 1": 32**2, "stage 2": 16**2, "stage 3": 8**2}
    counts = {"stage 1": (16, 9), "stage 2": (64, 33), "stage 3": (256, 119)}
    assert groups == {name: tuple(count * pixels[name] for count in counts[name]) for name in STAGES}
    for subject in kernel.table_7():
        every, stored = kernel.Subject("all", kernel.all_stored(subject.network), 1).groups()
        assert every == stored == groups[subject.name][0]
