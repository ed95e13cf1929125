import copy
from typing import Any

import pytest
from report_samples import fit_record

from edgewise.core.errors import EdgewiseError
from edgewise.report import model_card

ARTIFACT: dict[str, Any] = {
    "schema": "edgewise-artifact-1",
    "kind": "adapter",
    "backbone": {
        "name": "mobilenet_v2",
        "settings": {"width": 0.35},
        "sha256": "ab12" * 16,
        "path": "/home/ann/weights/w035.safetensors",
        "licence": "Apache-2.0",
    },
    "method": {"name": "repnet", "fields": {"connect": "dual", "train_bias": False}},
    "classes": ["daisy", "rose"],
    "preprocess": {"size": 128, "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "resize": 146, "crop": 128},
    "lean": {"frozen_bits": 32},
    "metrics": {"accuracy": 0.9, "split": "test", "n": 100, "val_accuracy": 0.92, "best_epoch": 3},
}


def test_the_card_says_what_it_is_and_how_to_use_it() -> None:
    card = model_card(ARTIFACT, fit_record(["daisy", "rose"]))
    for part in (
        "# repnet on mobilenet_v2, 2 classes",
        "edgewise predict RUN photo.jpg",
        'ew.open("RUN").predict("photo.jpg")',
        "**90.0 %** of 100 test images (95 % interval 82.6 % to 94.5 %, Wilson). The test images chose nothing.",
        "0. daisy\n1. rose",
        "| daisy | 150 | 30 | 80 |",
        "| all | 300 | 60 | 160 |",
        "| sha256 of the weights | " + "ab12" * 16,
        "| licence of the weights | Apache-2.0 |",
        "| weights | w035.safetensors |",
        "| connect | dual |",
        "| resize | 146 |",
        "| frozen_bits | 32 |",
        "cannot say “none of these”",
    ):
        assert part in card, part
    assert "/home/ann" not in card
    assert "photo-000" not in card  # counts, never a name of a photo
    assert card.endswith("\n")


def test_without_a_record_there_is_no_table_of_data() -> None:
    card = model_card(ARTIFACT, None)
    assert "## Data" not in card
    assert "**90.0 %** of 100 test images" in card


@pytest.mark.parametrize(
    ("split", "said"),
    [("val", "the validation images also chose the best epoch"), ("train", "these images are those it learned from")],
)
def test_a_number_that_is_too_good_says_so(split: str, said: str) -> None:
    artifact = copy.deepcopy(ARTIFACT)
    artifact["metrics"]["split"] = split
    assert said in model_card(artifact, None)


def test_what_is_not_known_is_said() -> None:
    artifact = copy.deepcopy(ARTIFACT)
    artifact["backbone"] |= {"sha256": None, "path": None, "licence": None}
    card = model_card(artifact, None)
    assert "| licence of the weights | not known |" in card
    assert "| sha256 of the weights | not known |" in card
    assert "| weights | none given |" in card


def test_hostile_names_stay_text() -> None:
    artifact = copy.deepcopy(ARTIFACT)
    artifact["classes"] = ["<script>alert(1)</script>", "a|b\n# Heading [x](http://y)", "- _x_ *y* a_b", "2. z", "# h"]
    card = model_card(artifact, None)
    assert "<script" not in card
    assert "0. &lt;script&gt;alert(1)&lt;/script&gt;" in card
    assert "1. a\\|b # Heading \\[x\\](http://y)" in card
    assert "2. \\- \\_x\\_ \\*y\\* a_b\n3. 2\\. z\n4. \\# h" in card


@pytest.mark.parametrize("key", ["kind", "backbone", "method", "classes", "preprocess", "lean", "metrics"])
def test_missing_keys(key: str) -> None:
    artifact = {name: value for name, value in ARTIFACT.items() if name != key}
    with pytest.raises(EdgewiseError, match=rf"artifact\.json has no {key},"):
        model_card(artifact, None)


def test_an_accuracy_that_was_not_measured_is_refused() -> None:
    artifact = copy.deepcopy(ARTIFACT)
    artifact["metrics"]["n"] = 0
    with pytest.raises(EdgewiseError, match=r"metrics\.accuracy is 0\.9 on 0 images; it must have been measured"):
        model_card(artifact, None)
