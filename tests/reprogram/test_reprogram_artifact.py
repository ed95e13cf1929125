"""A program that is saved says the same afterwards, and stands before no other source."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from edgewise.core.errors import EdgewiseError, UsageError
from edgewise.reprogram import (
    MAPPINGS,
    BlackBox,
    Ledger,
    Pad,
    Prompt,
    Reprogrammed,
    Space,
    SphereSearch,
    WhiteBox,
)  # fmt: skip

SPACE = Space((3, 8, 8), 0.0, 1.0)


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 6))


def samples() -> tuple[np.ndarray[Any, Any], list[str]]:
    random = np.random.default_rng(0)
    return random.random((24, 1, 5, 5)).astype(np.float32), ["cat", "dog", "owl"] * 8


@pytest.mark.parametrize("mapping", sorted(MAPPINGS))
@pytest.mark.parametrize("transform", [Pad(), Pad(grid=2), Prompt(shape="all")], ids=repr)
def test_it_says_the_same(mapping: str, transform: Any, tmp_path: Path) -> None:
    images, labels = samples()
    source = WhiteBox(network(), SPACE, 6)
    model = Reprogrammed(source, transform, MAPPINGS[mapping](), epochs=2, batch_size=8).fit(images, labels)
    model.save(tmp_path)
    again = Reprogrammed.load(tmp_path, WhiteBox(network(), SPACE, 6))
    assert np.array_equal(again.predict_proba(images), model.predict_proba(images))
    assert again.predict(images).tolist() == model.predict(images).tolist()
    assert again.parts() == model.parts()


def test_another_source_is_refused(tmp_path: Path) -> None:
    images, labels = samples()
    Reprogrammed(WhiteBox(network(), SPACE, 6), epochs=0).fit(images, labels).save(tmp_path)
    with pytest.raises(EdgewiseError, match="before another model it means nothing"):
        Reprogrammed.load(tmp_path, WhiteBox(network(seed=1), SPACE, 6))
    with pytest.raises(UsageError, match="call fit first"):
        Reprogrammed(WhiteBox(network(), SPACE, 6)).save(tmp_path)


def test_what_it_cost_is_written_down(tmp_path: Path) -> None:
    images, labels = samples()
    module = network().eval()

    @torch.no_grad()
    def ask(wire: Any) -> Any:
        return module(torch.from_numpy(wire) / 255).softmax(1).numpy()

    ledger = Ledger(tmp_path / "ledger.sqlite", price=0.5)
    source = BlackBox(ask, SPACE, 6, "probs", ledger)
    model = Reprogrammed(source, Pad(grid=2), trainer=SphereSearch(directions=2), epochs=1).fit(images, labels)
    model.save(tmp_path / "program")
    manifest = json.loads((tmp_path / "program" / "artifact.json").read_text())
    assert manifest["spent"] == {"queries": ledger.spent, "cost": ledger.spent / 2}
    before = ledger.spent
    again = Reprogrammed.load(tmp_path / "program", BlackBox(ask, SPACE, 6, "probs", ledger))
    assert again.predict(images[:5]).tolist() == model.predict(images[:5]).tolist()
    assert ledger.spent <= before + 5


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda f: (f / "program.safetensors").write_bytes(b"short"), "was cut off or changed"),
        (lambda f: (f / "program.safetensors").unlink(), "tensors are missing"),
        (lambda f: (f / "artifact.json").write_text("{"), "artifact"),
        (lambda f: _edit(f, "transform", {"name": "pad", "fields": {"sise": 3}}), "does not know"),
        (lambda f: _edit(f, "transform", {"name": "pda", "fields": {}}), "Did you mean 'pad'"),
        (lambda f: _edit(f, "samples", {"shape": [1, 50, 50], "low": 0, "high": 1, "symbols": 0}), "does not fit"),
        (lambda f: _edit(f, "transform", {"name": "pad", "fields": {"grid": 3}}), "not those of its program"),
        (lambda f: _edit(f, "kind", "adapter"), "incomplete"),
        (lambda f: _edit(f, "kind", "else"), "'else', and 'program' is needed"),
    ],
)
def test_damage_is_named(damage: Any, complaint: str, tmp_path: Path) -> None:
    images, labels = samples()
    source = WhiteBox(network(), SPACE, 6)
    Reprogrammed(source, Pad(), epochs=0).fit(images, labels).save(tmp_path)
    damage(tmp_path)
    with pytest.raises(EdgewiseError, match=complaint):
        Reprogrammed.load(tmp_path, source)


def _edit(folder: Path, key: str, value: Any) -> None:
    manifest = json.loads((folder / "artifact.json").read_text())
    (folder / "artifact.json").write_text(json.dumps({**manifest, key: value}))
