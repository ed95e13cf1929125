"""What is measured of a task and a source is what it says it is, and what it promises holds on the samples."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from edgewise.core.errors import UsageError
from edgewise.reprogram import (
    BlackBox,
    FirstLabels,
    Ledger,
    LinearMap,
    Replicate,
    Reprogrammed,
    Space,
    SphereSearch,
    WhiteBox,
)
from edgewise.reprogram.alignment import WORST, align
from edgewise.reprogram.transport import sliced_wasserstein, wasserstein


def points(seed: int, count: int, size: int = 3) -> Tensor:
    return torch.randn(count, size, generator=torch.Generator().manual_seed(seed), dtype=torch.double)


@given(st.integers(0, 1000), st.integers(1, 6))
def test_the_distance_is_that_of_the_best_of_all_pairings(seed: int, count: int) -> None:
    one, other = points(seed, count), points(seed + 1, count) + 1
    best = min(float((one - other[list(order)]).norm(dim=1).mean()) for order in itertools.permutations(range(count)))
    assert wasserstein(one, other) == pytest.approx(best, abs=1e-9)
    assert sliced_wasserstein(one, other) <= best + 1e-9


def test_a_shift_is_as_far_as_it_is() -> None:
    cloud, shift = points(0, 200), torch.tensor([3.0, 0, 4.0], dtype=torch.double)
    assert wasserstein(cloud, cloud + shift) == pytest.approx(5.0)
    assert wasserstein(cloud, cloud[torch.randperm(200)]) == pytest.approx(0.0, abs=1e-9)


class Identity(nn.Module):
    """The sample's numbers are the logits."""

    def forward(self, samples: Tensor) -> Tensor:
        return samples * 1.0


def fitted(labels: int = 1, classes: int = 3) -> tuple[Reprogrammed, np.ndarray, np.ndarray]:
    """A source whose logits are what it reads, and a task of ``classes`` classes before it."""
    source = WhiteBox(Identity(), Space((6,)), 6)
    targets = np.arange(60) % classes
    samples = (points(1, 60, 6) + 3 * torch.eye(6, dtype=torch.double)[targets]).float().numpy()
    model = Reprogrammed(source, Replicate(copies=1), FirstLabels(labels=labels), epochs=0)
    return as_it_is(model.fit(samples, targets)), samples, targets


def as_it_is(model: Reprogrammed) -> Reprogrammed:
    """Its signal becomes silence, so that the source reads the sample itself."""
    with torch.no_grad():
        for _, parameter in model.fitted().parameters():
            parameter.zero_()
    return model


@given(st.floats(0, 8), st.integers(0, 100))
def test_the_bound_by_class_holds_on_the_samples(far: float, seed: int) -> None:
    model, samples, targets = fitted()
    own = (points(seed, 60, 6) + far * torch.eye(6, dtype=torch.double)[targets]).float()
    found = align(model, samples, targets, own, torch.from_numpy(targets))
    assert found.target_risk is not None
    assert found.by_class is not None
    assert found.target_risk <= found.by_class + 1e-6


def test_classes_that_changed_places_are_seen_by_class_alone() -> None:
    """W1 and the source's risk are 0, the task's risk is the worst: the theorem's literal form fails there."""
    model, _, _ = fitted(classes=2)
    sure = 30 * torch.eye(6)[torch.arange(60) % 2]
    found = align(model, sure.numpy(), np.arange(60) % 2, sure, torch.arange(60) % 2)
    assert found.bound == pytest.approx(0, abs=1e-6)
    assert found.target_risk == pytest.approx(0, abs=1e-6)
    swapped = align(model, sure.numpy(), (np.arange(60) + 1) % 2, sure, torch.arange(60) % 2)
    assert swapped.w1 == pytest.approx(0, abs=1e-6)
    assert not swapped.vacuous
    assert swapped.target_risk == pytest.approx(WORST)
    assert swapped.by_class is not None
    assert swapped.by_class >= WORST
    assert "says nothing" in str(swapped)


def test_what_it_says() -> None:
    model, samples, targets = fitted()
    found = align(model, samples, targets, torch.from_numpy(samples) + 5, torch.from_numpy(targets), most=20)
    assert (found.samples, found.w1) == (20, pytest.approx(5 * math.sqrt(6), rel=0.1))
    assert found.vacuous
    assert 0 < found.w1_same < found.w1
    assert found.sliced_w1 < found.w1
    assert found.gradients is not None
    assert 0 < found.gradients <= 1
    assert "which says nothing" in str(found)
    assert str(found).endswith("A diagnostic, not a guarantee.")


def test_gradients_that_agree_and_that_contradict_each_other() -> None:
    model, samples, _ = fitted(classes=2)
    alike = np.repeat(samples[:1], 20, 0)
    shown = torch.from_numpy(samples), torch.arange(60) % 2
    assert align(model, alike, np.zeros(20, int), *shown).gradients == pytest.approx(1.0)
    assert align(model, np.zeros((20, 6), np.float32), np.arange(20) % 2, *shown).gradients == pytest.approx(
        0, abs=1e-6
    )


def test_more_labels_a_class_leave_the_form_by_class_out() -> None:
    model, samples, targets = fitted(labels=2)
    found = align(model, samples, targets, torch.from_numpy(samples), torch.from_numpy(targets))
    assert (found.by_class, found.target_risk) == (None, None)


def test_a_source_that_only_answers() -> None:
    def ask(samples: np.ndarray) -> np.ndarray:
        return torch.from_numpy(samples).softmax(1).numpy()

    _, samples, targets = fitted()
    ledger = Ledger(budget=400)
    source = BlackBox(ask, Space((6,)), 6, "probs", ledger)
    model = Reprogrammed(source, Replicate(copies=1), FirstLabels(), trainer=None, epochs=0)
    with pytest.raises(UsageError, match="takes sphere|take sphere"):
        model.fit(samples, targets)
    model = Reprogrammed(source, Replicate(copies=1), FirstLabels(), SphereSearch(), epochs=0)
    as_it_is(model.fit(samples, targets))
    found = align(model, samples, targets, torch.from_numpy(samples), torch.from_numpy(targets))
    assert found.gradients is None
    assert found.w1 == pytest.approx(0, abs=1e-6)
    assert ledger.spent == 60 + 4, "a sample that both sides have is asked about once, and four are the fingerprint"


def test_what_cannot_be_measured_is_refused() -> None:
    def ask(samples: np.ndarray) -> np.ndarray:
        return samples.argmax(1)

    model, samples, targets = fitted()
    own, truth = torch.from_numpy(samples), torch.from_numpy(targets)
    with pytest.raises(UsageError, match="both need 2 at least"):
        align(model, samples[:1], targets[:1], own, truth)
    source = BlackBox(ask, Space((6,)), 6, "label", Ledger())
    only = Reprogrammed(source, Replicate(copies=1), LinearMap(), SphereSearch(), epochs=0).fit(samples, targets)
    with pytest.raises(UsageError, match="answers with label"):
        align(only, samples, targets, own, truth)
