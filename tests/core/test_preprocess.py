"""Preprocessing as every artifact carries it."""

import json
from typing import Any

import pytest

from edgewise.core.errors import EdgewiseError
from edgewise.core.preprocess import Preprocess

GOOD: dict[str, Any] = {"size": 96, "mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]}


@pytest.mark.parametrize(("size", "resize"), [(224, 256), (128, 146), (96, 110), (65, 74), (64, 64), (32, 32)])
def test_shorter_side_before_the_crop(size: int, resize: int) -> None:
    assert Preprocess(size).resize == resize


def test_json_round_trip() -> None:
    before = Preprocess(160, (0.5, 0.4, 0.3), (0.25, 0.25, 0.5))
    text = json.dumps(before.to_json())
    assert Preprocess.from_json(json.loads(text)) == before
    assert json.loads(text) == {
        "size": 160,
        "mean": [0.5, 0.4, 0.3],
        "std": [0.25, 0.25, 0.5],
        "resize": 183,
        "crop": 160,
    }


@pytest.mark.parametrize("missing", ["size", "mean", "std"])
def test_incomplete(missing: str) -> None:
    value = {key: GOOD[key] for key in GOOD if key != missing}
    with pytest.raises(EdgewiseError, match=r"is incomplete: it needs size, mean and std\.$"):
        Preprocess.from_json(value)


@pytest.mark.parametrize("value", [None, [], "224", {**GOOD, "size": "big"}, {**GOOD, "mean": 0.5}])
def test_not_preprocessing_at_all(value: Any) -> None:
    with pytest.raises(EdgewiseError, match="is incomplete"):
        Preprocess.from_json(value)


@pytest.mark.parametrize(
    "change",
    [
        {"size": 7},
        {"size": 5000},
        {"mean": [0.5]},
        {"std": [0.5, 0.5, 0.0]},
        {"std": [0.5, 0.5, float("nan")]},
        {"mean": [0.5, float("inf"), 0.5]},
    ],
)
def test_out_of_range(change: dict[str, Any]) -> None:
    with pytest.raises(EdgewiseError, match=r"is out of range: size 8\.\.4096, three means, three stds > 0\.$"):
        Preprocess.from_json({**GOOD, **change})
