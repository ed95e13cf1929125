"""The whole: a real network reprogrammed for handwritten digits, with gradients and without, stopped and resumed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from edgewise.backbones import load
from edgewise.core.errors import EdgewiseError, InterruptedRun, UsageError
from edgewise.core.surgery import digest
from edgewise.reprogram.mappings.fixed import FirstLabels
from edgewise.reprogram.mappings.frequency import FrequencyMap, IterativeMap
from edgewise.reprogram.mappings.linear import LinearMap
from edgewise.reprogram.reprogrammed import Reprogrammed
from edgewise.reprogram.sources import BlackBox, Ledger, WhiteBox, of_backbone
from edgewise.reprogram.trainers.gradient import Gradient
from edgewise.reprogram.trainers.zeroth_order import SphereSearch
from edgewise.reprogram.transforms.pad import Pad

sklearn_datasets = pytest.importorskip("sklearn.datasets")


@pytest.fixture(scope="module")
def digits() -> tuple[NDArray[Any], NDArray[Any]]:
    """240 handwritten digits 0 to 2, as grey images (N, 1, 8, 8) from 0 to 1, with names as labels."""
    table = sklearn_datasets.load_digits(n_class=3)
    rows = np.random.default_rng(0).permutation(len(table.target))[:240]
    return table.images[rows, None] / 16, np.array(["zero", "one", "two"])[table.target[rows]]


@pytest.fixture(scope="module")
def pocket() -> WhiteBox:
    return of_backbone(load("pocket"))


def test_a_photo_network_reads_digits(pocket: WhiteBox, digits: tuple[NDArray[Any], NDArray[Any]]) -> None:
    """Better than what its answers are worth without a program, and the source is not touched."""
    images, labels = digits
    before = digest(pocket.module.state_dict())
    settings: dict[str, Any] = {"transform": Pad(size=24), "mapping": FrequencyMap(3), "batch_size": 20}
    zero_shot = Reprogrammed(pocket, **settings, epochs=0).fit(images[:140], labels[:140])
    trained = Reprogrammed(pocket, **settings, trainer=Gradient(0.2), epochs=4).fit(images[:140], labels[:140])
    assert trained.classes_.tolist() == ["one", "two", "zero"]
    assert trained.score(images[140:], labels[140:]) > zero_shot.score(images[140:], labels[140:]) + 0.1
    probabilities = trained.predict_proba(images[140:])
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)
    assert trained.predict(images[140:]).tolist() == trained.classes_[probabilities.argmax(1)].tolist()
    assert digest(pocket.module.state_dict()) == before
    assert all(p.grad is None for p in pocket.module.parameters())
    assert len(trained.history_) == 4


def as_black_box(source: WhiteBox, ledger: Ledger) -> BlackBox:
    @torch.no_grad()
    def ask(samples: NDArray[Any]) -> NDArray[Any]:
        return source(torch.from_numpy(samples) / 255).softmax(1).numpy()

    return BlackBox(ask, source.takes, source.classes, "probs", ledger)


def test_the_same_network_behind_an_api(pocket: WhiteBox, digits: tuple[NDArray[Any], NDArray[Any]]) -> None:
    """Queries are counted to the unit: the mapping's pass, and (q + 1) for every sample of every step."""
    images, labels = digits
    ledger = Ledger()
    settings: dict[str, Any] = {
        "transform": Pad(size=24, grid=3),
        "mapping": FrequencyMap(3),
        "trainer": SphereSearch(directions=4),
        "epochs": 1,
        "batch_size": 10,
    }
    found = Reprogrammed(as_black_box(pocket, ledger), **settings).fit(images[:40], labels[:40])
    # the fingerprint's four; in the first step the program is what it was in the mapping's pass, so 10 are known
    assert ledger.spent == 4 + 40 + 4 * 10 * 5 - 10
    assert found.stopped_ is None
    assert found.predict_proba(images[:3]).shape == (3, 3)


def test_a_budget_ends_the_training_and_the_program_stays(
    pocket: WhiteBox, digits: tuple[NDArray[Any], NDArray[Any]]
) -> None:
    images, labels = digits
    ledger = Ledger(budget=150)
    trainer = SphereSearch(directions=4)
    settings: dict[str, Any] = {"transform": Pad(size=24, grid=3), "trainer": trainer, "epochs": 5, "batch_size": 10}
    found = Reprogrammed(as_black_box(pocket, ledger), **settings).fit(images[:40], labels[:40])
    assert found.stopped_ is not None
    assert "budget is 150" in found.stopped_
    assert ledger.spent <= 150
    moved = next(value for name, value in found.work_.parameters() if name == "program.weight")
    assert float(moved.detach().abs().max()) > 0


def test_trained_twice_is_the_same_and_so_is_resumed(
    pocket: WhiteBox, digits: tuple[NDArray[Any], NDArray[Any]], tmp_path: Path
) -> None:
    images, labels = digits[0][:60], digits[1][:60]
    made: dict[str, Any] = {"transform": Pad(size=20), "mapping": IterativeMap(2), "epochs": 3, "batch_size": 15}

    class StopsOnce:
        """A listener that is where Ctrl-C comes: after the sixth step."""

        def stage(self, text: str) -> None: ...
        def epoch(self, row: Any, epochs: int) -> None: ...
        def note(self, text: str) -> None: ...

        def progress(self, done: int, total: int) -> None:
            if done == 6:
                raise InterruptedRun("stopped")

    whole = Reprogrammed(pocket, **made).fit(images, labels, folder=tmp_path / "whole")
    with pytest.raises(InterruptedRun):
        Reprogrammed(pocket, **made).fit(images, labels, folder=tmp_path / "halves", listener=StopsOnce())
    resumed = Reprogrammed(pocket, **made).fit(images, labels, folder=tmp_path / "halves", resume=True)
    assert digest(whole.work_.tensors()) == digest(resumed.work_.tensors())
    other = {**made, "transform": Pad(size=21)}
    with pytest.raises(EdgewiseError, match="its transform changed"):
        Reprogrammed(pocket, **other).fit(images, labels, folder=tmp_path / "halves", resume=True)


def test_scikit_learn_clones_and_cross_validates(pocket: WhiteBox, digits: tuple[NDArray[Any], NDArray[Any]]) -> None:
    base, selection = pytest.importorskip("sklearn.base"), pytest.importorskip("sklearn.model_selection")
    images, labels = digits[0][:30], digits[1][:30]
    estimator = Reprogrammed(pocket, Pad(size=16), LinearMap(), epochs=1, batch_size=10)
    assert base.clone(estimator, safe=False).get_params() == estimator.get_params()
    found = selection.cross_val_score(estimator, images, labels, cv=2)
    assert len(found) == 2
    assert bool(((found >= 0) & (found <= 1)).all())
    assert estimator.set_params(epochs=2).epochs == 2
    with pytest.raises(UsageError, match="no parameter epoch"):
        estimator.set_params(epoch=2)
    assert 0 <= estimator.fit(images[:20], labels[:20]).score(images[20:], labels[20:]) <= 1


def test_mistakes_are_named_before_anything_is_asked(
    pocket: WhiteBox, digits: tuple[NDArray[Any], NDArray[Any]]
) -> None:
    images, labels = digits
    ledger = Ledger()
    hidden = as_black_box(pocket, ledger)
    for build, complaint in (
        (lambda: Reprogrammed(hidden, trainer=Gradient()).fit(images, labels), "only answers: take sphere or spsa"),
        (lambda: Reprogrammed(hidden, trainer=SphereSearch()).fit(images[:5], labels), "5 samples have 240 classes"),
        (lambda: Reprogrammed(pocket).fit(images[:0], labels[:0]), "no samples"),
        (lambda: Reprogrammed(pocket, epochs=-1).fit(images, labels), "epochs is -1"),
        (lambda: Reprogrammed(pocket).predict(images), "call fit first"),
        (lambda: Reprogrammed(pocket).fit(np.zeros((3, 1, 40, 40)), [0, 1, 1]), "40 x 40 pixels does not fit"),
        (lambda: Reprogrammed(pocket, mapping=FirstLabels(4)).fit(images, labels), "source has 10"),
        (
            lambda: Reprogrammed(pocket, epochs=1).fit(images, labels, val=(images[:1], ["nine"])),
            "Classes that training does not have: nine",
        ),
    ):
        with pytest.raises(UsageError, match=complaint):
            build()
    assert ledger.spent == 0
