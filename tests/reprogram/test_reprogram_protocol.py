"""Every transform with every mapping before every kind of source: trained, asked, saved and opened again.

The sources are one small network for each thing a source can read, open or closed (probabilities, the likeliest, a
label).  What does not go together is refused with a reason, and how much does is counted.
"""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgewise.core.surgery import digest
from edgewise.reprogram import (
    MAPPINGS,
    TRAINERS,
    TRANSFORMS,
    BlackBox,
    Gradient,
    InputTransform,
    Ledger,
    Reprogrammed,
    Source,
    Space,
    Spsa,
    Trainer,
    WhiteBox,
    mapping_class,
    trainer_class,
    transform_class,
)  # fmt: skip
from edgewise.reprogram.base import Answer
from edgewise.reprogram.sources.closed import of_white_box

CLASSES, TASK = 12, ["cat", "dog", "owl"]
TABLE = torch.rand(10, 4, generator=torch.Generator().manual_seed(0)) + 0.1
IMAGES, SIGNALS = Space((3, 12, 12), 0.0, 1.0), Space((40,), -1.0, 1.0)
VECTORS, SYMBOLS = Space((16, 4), table=TABLE), Space((8,), symbols=10)
PHOTOS, SERIES, WORDS = Space((1, 5, 5), 0.0, 1.0), Space((9,)), Space((6,), symbols=7)
CASES: tuple[tuple[str, dict[str, Any], Space, Space], ...] = (  # transform, settings, samples, what the source reads
    ("pad", {}, PHOTOS, IMAGES),
    ("prompt", {}, PHOTOS, IMAGES),
    ("resize", {}, PHOTOS, IMAGES),
    ("replicate", {"copies": 2}, SERIES, SIGNALS),
    ("token-patch", {"patch": 4}, WORDS, IMAGES),
    ("overlay", {"block": 2}, SERIES, IMAGES),
    ("prompt-tokens", {"mask": 9}, WORDS, VECTORS),
    ("vocabulary", {"nonzeros": 2}, WORDS, VECTORS),
    ("context-remap", {"width": 3}, WORDS, VECTORS),
    ("context-remap", {"width": 3}, WORDS, SYMBOLS),
)
OPEN: Answer = "logits"
ANSWERS: tuple[Answer, ...] = (OPEN, "probs", "top-k", "label")


class Network(nn.Module):
    """Classes from anything: symbols become one-hot rows, then a hidden layer with dropout and a norm."""

    def __init__(self, takes: Space) -> None:
        super().__init__()
        self.symbols = takes.symbols
        self.layers = nn.Sequential(
            nn.Linear(takes.numbers * max(1, takes.symbols), 16), nn.BatchNorm1d(16), nn.Dropout(), nn.Tanh(),
            nn.Linear(16, CLASSES),
        )  # fmt: skip

    def forward(self, samples: Tensor) -> Tensor:
        """(N, …) to (N, classes)."""
        numbers = nn.functional.one_hot(samples, self.symbols).float() if self.symbols else samples
        return self.layers(numbers.flatten(1))


def network(takes: Space) -> nn.Module:
    torch.manual_seed(0)
    return Network(takes)


def source(takes: Space, answers: Answer) -> Source:
    white = WhiteBox(network(takes), takes, CLASSES)
    return white if answers == OPEN else of_white_box(white, answers, Ledger(), top=3)


def labelled(space: Space) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    random, labels = np.random.default_rng(0), np.array(TASK * 4)
    if space.symbols:
        return random.integers(space.symbols, size=(len(labels), *space.shape)), labels
    return random.random((len(labels), *space.shape)).astype(np.float32), labels


def trainer(transform: InputTransform, takes: Space, answers: Answer) -> Trainer:
    if transform.name == "context-remap" and takes.symbols:
        return trainer_class("policy")()
    return Gradient() if answers == OPEN else Spsa(repeats=1)


def test_everything_is_here() -> None:
    assert {case[0] for case in CASES} == set(TRANSFORMS)
    assert (len(TRANSFORMS), len(MAPPINGS), len(TRAINERS)) == (9, 9, 4)
    kinds = Counter((bool(case[3].symbols), case[3].table is not None) for case in CASES)
    assert kinds == {(False, False): 6, (False, True): 3, (True, False): 1}


@pytest.mark.parametrize("answers", ANSWERS)
@pytest.mark.parametrize("mapping", sorted(MAPPINGS))
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]}-{'symbols' if case[3].symbols else ''}")
def test_together(case: Any, mapping: str, answers: Answer, tmp_path: Path) -> None:
    name, settings, space, takes = case
    transform = transform_class(name)(**settings)
    own, (x, y) = source(takes, answers), labelled(space)
    before = digest(network(takes).state_dict())
    parts = (transform, mapping_class(mapping)(), trainer(transform, takes, answers))
    model = Reprogrammed(own, *parts, epochs=2, batch_size=6, samples=space).fit(x, y)
    found = model.predict_proba(x)
    assert found.shape == (len(x), len(TASK))
    assert np.isfinite(found).all()
    assert np.allclose(found.sum(1), 1, atol=1e-5)
    assert set(model.predict(x)) <= set(TASK)
    assert model.classes_.tolist() == TASK
    model.save(tmp_path / "program")
    other = source(takes, answers)
    assert other.fingerprint == own.fingerprint
    again = Reprogrammed.load(tmp_path / "program", other)
    assert np.allclose(again.predict_proba(x), found, atol=1e-6), "but for the rounding of other batches"
    for one in (own, other):
        if isinstance(one, WhiteBox):
            one.check_untouched()
            assert not any(module.training for module in one.module.modules())
            assert not any(parameter.requires_grad for parameter in one.module.parameters())
            assert digest(one.module.state_dict()) == before
        else:
            assert isinstance(one, BlackBox)
            assert one.ledger.spent > 0
