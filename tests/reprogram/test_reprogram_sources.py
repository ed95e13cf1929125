"""Sources: frozen ones stay as they are, and what is asked of the others is counted, remembered and paid for once."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from commands import environment
from edgewise.backbones import load
from edgewise.core.errors import EdgewiseError, UsageError
from edgewise.reprogram.sources import BlackBox, BudgetExceededError, Ledger, WhiteBox, of_backbone, of_estimator
from edgewise.reprogram.sources.black_box import on_wire, scores_of
from edgewise.reprogram.space import Space

SPACE = Space((3, 4, 4), 0.0, 1.0)


class Model:
    """Three classes from the mean colour; counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.slant = 1.0

    def __call__(self, samples: NDArray[Any]) -> NDArray[Any]:
        self.asked.append(len(samples))
        assert samples.dtype == np.uint8
        powers = np.exp(self.slant * samples.reshape(len(samples), 3, -1).mean(2) / 255)
        return np.asarray(powers / powers.sum(1, keepdims=True))


def black_box(ledger: Ledger, model: Callable[..., Any] | None = None) -> BlackBox:
    return BlackBox(model or Model(), SPACE, 3, "probs", ledger, most=8, name="mean colour")


def images(count: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, *SPACE.shape, generator=torch.Generator().manual_seed(seed))


def test_a_white_box_is_frozen_and_proves_it() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)
    )
    source = WhiteBox(network.train(), SPACE, 5)
    given = images(2).requires_grad_()
    source(given).sum().backward()
    assert given.grad is not None
    assert float(given.grad.abs().sum()) > 0
    assert all(p.grad is None for p in network.parameters())
    source.check_untouched()
    network[1].train()
    with pytest.raises(EdgewiseError, match="training mode"):
        source.check_untouched()
    network.eval()
    source.check_untouched()
    with torch.no_grad():
        network[4].bias += 1e-7
    with pytest.raises(EdgewiseError, match="have changed"):
        source.check_untouched()


def test_a_backbone_with_its_classifier_is_a_source() -> None:
    source = of_backbone(load("pocket"))
    assert (source.classes, source.takes) == (10, Space((3, 32, 32), 0.0, 1.0))
    photos = torch.rand(2, 3, 32, 32)
    backbone = load("pocket")
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (backbone.input.mean, backbone.input.std))
    torch.testing.assert_close(source(photos), backbone.module.eval()((photos - mean) / std))
    with pytest.raises(UsageError, match="no classifier of its own"):
        of_backbone(load("resnet20", weights="none"))
    with pytest.raises(UsageError, match=r"\(1, 10\), and \(1, 11\)"):
        WhiteBox(source.module, source.takes, 11)


def test_every_sample_is_paid_for_once() -> None:
    model, ledger = Model(), Ledger(price=0.5)
    source = black_box(ledger, model)
    first = source(images(20))
    assert (ledger.spent, ledger.hits, ledger.cost, model.asked) == (20, 0, 10.0, [8, 8, 4])
    again = source(torch.cat([images(20), images(5, seed=1), images(5, seed=1)]))
    assert torch.equal(again[:20], first)
    assert torch.equal(again[20:25], again[25:])
    assert (ledger.spent, ledger.hits) == (25, 25)
    torch.testing.assert_close(first.sum(1), torch.ones(20))
    assert source(images(0)).shape == (0, 3)


def test_a_call_beyond_the_budget_is_not_made() -> None:
    model, ledger = Model(), Ledger(budget=10)
    source = black_box(ledger, model)
    source(images(6))
    with pytest.raises(BudgetExceededError, match=r"5 queries would follow the 6 .* budget is 10: 4 are left"):
        source(images(5, seed=1))
    assert (ledger.spent, model.asked) == (6, [6])
    source(images(4, seed=1))
    source(images(6)), "remembered answers are free"
    assert ledger.spent == 10
    for budget, price in ((-1, 0.0), (5, -0.1)):
        with pytest.raises(UsageError, match="neither can be negative"):
            Ledger(budget=budget, price=price)


CHILD = """
import sys, os, signal, numpy as np, torch
from pathlib import Path
from edgewise.reprogram.sources import BlackBox, Ledger
from edgewise.reprogram.space import Space
def ask(samples):
    ask.calls += 1
    if ask.calls == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return np.full((len(samples), 3), 1 / 3)
ask.calls = 0
source = BlackBox(ask, Space((3, 4, 4), 0.0, 1.0), 3, "probs", Ledger(Path(sys.argv[1])), most=8, name="mean colour")
source(torch.rand(40, 3, 4, 4, generator=torch.Generator().manual_seed(0)))
"""


def test_a_killed_run_pays_for_nothing_twice(tmp_path: Path) -> None:
    """kill -9 in the third of five calls: two were paid for, and are not asked again."""
    path = tmp_path / "ledger.sqlite"
    killed = subprocess.run([sys.executable, "-c", CHILD, str(path)], env={**os.environ, **environment()}, check=False)
    assert killed.returncode == -signal.SIGKILL
    model, ledger = Model(), Ledger(path, budget=40)
    assert ledger.spent == 16
    black_box(ledger, model)(images(40))
    assert (ledger.spent, ledger.hits, sum(model.asked)) == (40, 16, 24)


def test_another_source_s_answers_are_not_taken_for_this_one_s(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    black_box(ledger)(images(3))
    other = BlackBox(Model(), SPACE, 3, "probs", ledger, name="another")
    other(images(3))
    assert ledger.spent == 6


def test_a_file_that_is_no_ledger_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("no database " * 100)
    with pytest.raises(UsageError, match=r"notes\.txt is not a ledger"):
        Ledger(path)
    assert path.read_text().startswith("no database")


def test_a_changed_model_is_noticed() -> None:
    model, ledger = Model(), Ledger()
    source = black_box(ledger, model)
    source.check_unchanged()
    assert ledger.spent == 8
    model.slant = 1.5
    with pytest.raises(EdgewiseError, match="the model was changed"):
        source.check_unchanged()
    assert black_box(Ledger(), model).fingerprint != source.fingerprint


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (np.full((4, 2), 0.5), r"shape \(4, 2\); probs of 4 samples are \(4, 3\)"),
        (np.full((4, 3), np.nan), "not finite"),
        (np.full((4, 3), 0.5), "1.5 in sum"),
        (np.array([[1.5, -0.5, 0.0]] * 4), "the least is -0.5"),
        (np.array([["cat"] * 3] * 4), "not with numbers"),
    ],
)
def test_answers_that_cannot_be_are_refused_and_not_remembered(answer: NDArray[Any], complaint: str) -> None:
    ledger = Ledger()
    with pytest.raises(EdgewiseError, match=complaint):
        black_box(ledger, lambda samples: answer)(images(4))
    assert not ledger.known([b""])
    assert ledger.spent == 0


def test_labels_and_the_likeliest_classes() -> None:
    assert scores_of(np.array([2, 0]), 2, 3, "label").tolist() == [[0, 0, 1], [1, 0, 0]]
    found = scores_of(np.array([[[2, 0.7], [0, 0.1]]]), 1, 4, "top-k")
    np.testing.assert_allclose(found, [[0.1, 0.1, 0.7, 0.1]], rtol=1e-6)
    np.testing.assert_allclose(scores_of(np.array([[[1, 0.75], [0, 0.25]]]), 1, 2, "top-k"), [[0.25, 0.75]])
    for wrong in (np.array([3, 0]), np.array([-1, 0]), np.array([0.5, 0])):
        with pytest.raises(EdgewiseError, match="it has 0 to 2"):
            scores_of(wrong, 2, 3, "label")
    with pytest.raises(EdgewiseError, match="it can be 1 at most"):
        scores_of(np.array([[[2, 0.7], [0, 0.6]]]), 1, 4, "top-k")


def test_scikit_learn_s_estimators() -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    table, classes = np.random.default_rng(0).normal(size=(60, 5)), np.repeat(["yes", "no", "maybe"], 20)
    estimator = linear_model.LogisticRegression().fit(table + np.arange(60)[:, None] / 20, classes)
    samples = torch.from_numpy(table[:7]).float()
    ledger = Ledger()
    probs = of_estimator(estimator, 5, ledger)(samples)
    np.testing.assert_allclose(probs.numpy(), estimator.predict_proba(samples.numpy()), rtol=1e-5)
    labels = of_estimator(estimator, 5, ledger, "label")(samples)
    assert [estimator.classes_[k] for k in labels.argmax(1)] == list(estimator.predict(samples.numpy()))
    assert ledger.spent == 14, "the same sample, asked for other answers"


def test_what_crosses_the_wire() -> None:
    assert on_wire(images(2), SPACE).dtype == np.uint8
    assert on_wire(torch.rand(2, 5), Space((5,))).dtype == np.float32
    assert on_wire(torch.tensor([[1, 2]]), Space((2,), symbols=9)).dtype == np.int64
    with pytest.raises(UsageError, match=r"0\.5 to 1\.5; the model reads 0 to 1"):
        black_box(Ledger())(torch.tensor([0.5, 1.5]).repeat(24).view(1, 3, 4, 4))
    with pytest.raises(UsageError, match=r"of shape \(3, 4\)"):
        black_box(Ledger())(torch.zeros(1, 3, 4))
    with pytest.raises(UsageError, match="logits are a white box's"):
        BlackBox(Model(), SPACE, 3, "logits", Ledger())
