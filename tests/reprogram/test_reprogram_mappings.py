"""Output mappings: each by hand, all against one contract, and the errors that released code made."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from edgewise.core.errors import UsageError
from edgewise.reprogram.base import counted, in_domain
from edgewise.reprogram.mappings import MAPPINGS, mapping_class
from edgewise.reprogram.mappings.assignment import assigned
from edgewise.reprogram.mappings.frequency import BayesianMap, FrequencyMap, OptimalMap
from edgewise.reprogram.mappings.label_map import LabelMap, greedy
from edgewise.reprogram.mappings.similarity import SimilarityMap

TRAINED = {"linear", "verbaliser"}  # they read any number of classes from any number of scores
EXPECTED = {"first", "random", "frequency", "iterative", "optimal", "similarity", "bayesian"} | TRAINED
SOURCE, CLASSES, SAMPLES = 12, 3, 40


def answers(domain: str, seed: int = 0) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    scores = torch.randn(SAMPLES, SOURCE, generator=random)
    targets = torch.randint(CLASSES, (SAMPLES,), generator=random)
    return (scores.softmax(1) if domain == "probs" else scores), targets


def test_all_are_here() -> None:
    assert set(MAPPINGS) == EXPECTED
    assert all(mapping_class(name) is MAPPINGS[name] for name in EXPECTED)
    with pytest.raises(UsageError, match=r"frequency"):
        mapping_class("frequncy")


@pytest.mark.parametrize("domain", ["probs", "logits"])
@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_contract(name: str, domain: str) -> None:
    """Logits of every class, finite, differentiable by the scores, the same each time; scores stay as they are."""
    mapping = mapping_class(name)(domain=domain)  # type: ignore[call-arg]
    scores, targets = answers(domain)
    before = scores.clone()
    empty = scores[:0], targets[:0]
    readers = [mapping.fit(*((scores, targets) if mapping.needs_scores else empty), CLASSES) for _ in range(2)]
    for reader in readers:
        assert isinstance(reader, nn.Module)
        given = scores.clone().requires_grad_()
        found = reader(given)
        assert found.shape == (SAMPLES, CLASSES)
        assert bool(found.isfinite().all())
        (found * torch.arange(CLASSES)).sum().backward()
        assert given.grad is not None
    assert torch.equal(readers[0](scores), readers[1](scores))
    assert torch.equal(scores, before)
    assert mapping.every >= 0


@pytest.mark.parametrize("name", sorted(EXPECTED - TRAINED))
def test_too_few_labels_are_refused_with_both_numbers(name: str) -> None:
    with pytest.raises(UsageError, match=r"13 classes .* 13 labels, and the source has 12"):
        mapping_class(name)().fit(torch.rand(4, SOURCE), torch.arange(4), 13)


@pytest.mark.parametrize("name", sorted(EXPECTED - TRAINED - {"bayesian"}))
def test_no_label_serves_two_classes(name: str) -> None:
    scores, targets = answers("probs")
    reader = mapping_class(name)(labels=4).fit(scores, targets, CLASSES)  # type: ignore[call-arg]
    assert isinstance(reader, LabelMap)
    assert reader.labels.shape == (CLASSES, 4)
    assert len(reader.labels.flatten().unique()) == 4 * CLASSES


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_a_class_without_samples_is_read_all_the_same(name: str) -> None:
    scores, targets = answers("probs")
    reader = mapping_class(name)().fit(scores[targets != 1], targets[targets != 1], CLASSES)
    assert bool(reader(scores).isfinite().all())


def test_a_class_s_own_labels_are_combined_and_no_other_s() -> None:
    """BAR's released code read a (classes, m) table as (m, classes), and so mixed all classes."""
    scores = torch.tensor([[0.1, 0.2, 0.3, 0.4, 0.0, 0.0]])
    labels = torch.tensor([[0, 1, 2], [3, 4, 5]])
    for aggregate, expected in (("mean", [0.2, 0.4 / 3]), ("max", [0.3, 0.4])):
        found = LabelMap(labels, "probs", aggregate)(scores)  # type: ignore[arg-type]
        torch.testing.assert_close(found, torch.tensor([expected]).log())
    torch.testing.assert_close(LabelMap(labels, "logits", "mean")(scores), torch.tensor([[0.2, 0.4 / 3]]))


def test_counts_by_hand() -> None:
    scores = torch.eye(4)[[0, 0, 2, 3, 3, 3]]
    counts = counted(scores, torch.tensor([0, 1, 1, 0, 0, 1]), 2)
    assert counts.tolist() == [[1, 1], [0, 0], [0, 1], [2, 1]]
    assert greedy(counts, 1).tolist() == [[3], [0]]  # 3 is most often class 0; of the equal rest the lowest label
    assert greedy(counts, 2).tolist() == [[3, 0], [2, 1]]  # class 1 is filled up with the lowest label left


@given(st.lists(st.lists(st.integers(0, 5), min_size=3, max_size=3), min_size=6, max_size=9), st.integers(1, 2))
def test_greedy_against_a_search(rows: list[list[int]], each: int) -> None:
    """The twin sorts all pairs by weight, label and class, and goes through them once."""
    weights = torch.tensor(rows)
    taken: dict[int, list[int]] = {0: [], 1: [], 2: []}
    used: set[int] = set()
    pairs = sorted((-w, label, target) for label, row in enumerate(rows) for target, w in enumerate(row) if w > 0)
    for _, label, target in pairs:
        if label not in used and len(taken[target]) < each:
            taken[target].append(label)
            used.add(label)
    rest = iter(label for label in range(len(rows)) if label not in used)
    assert greedy(weights, each).tolist() == [
        own + [next(rest) for _ in range(each - len(own))] for own in taken.values()
    ]


@given(st.lists(st.lists(st.integers(0, 9), min_size=3, max_size=3), min_size=4, max_size=5))
def test_the_best_assignment_is_the_best(rows: list[list[int]]) -> None:
    weights = torch.tensor(rows)
    found = assigned(weights)
    value = sum(rows[label][place] for place, label in enumerate(found.tolist()))
    assert len(set(found.tolist())) == 3
    assert value == max(
        sum(rows[s][t] for t, s in enumerate(own)) for own in itertools.permutations(range(len(rows)), 3)
    )


def test_greedy_may_be_beaten() -> None:
    """The largest count alone leads it astray; the optimal mapping looks at the sum."""
    scores = torch.eye(2)[[0] * 3 + [0] * 2 + [1] * 2]
    targets = torch.tensor([0] * 3 + [1] * 2 + [0] * 2)
    by_hand = {FrequencyMap: [[0], [1]], OptimalMap: [[1], [0]]}
    for mapping, labels in by_hand.items():
        reader = mapping().fit(scores, targets, 2)
        assert isinstance(reader, LabelMap)
        assert reader.labels.tolist() == labels


def test_bayesian_by_hand() -> None:
    scores = torch.eye(3)[[0, 0, 0, 1]]
    reader = BayesianMap(smoothing=1).fit(scores, torch.tensor([0, 0, 1, 1]), 2)
    omega = torch.tensor([[2 / 4, 1 / 4], [0, 1 / 2], [0, 0]])
    torch.testing.assert_close(reader(torch.eye(3)).exp()[:2], (omega / omega.sum(0))[:2].clamp_min(1e-12))
    exact = BayesianMap(smoothing=0).fit(scores, torch.tensor([0, 0, 1, 1]), 2)
    assert bool(exact(torch.rand(2, 3)).isfinite().all()), "a label that was never given: 0 / 0"


def test_bayesian_with_few_classes_still_looks_at_something() -> None:
    """BLM+'s share of the classes is 0 for six of them and fewer, and every column 0 / 0."""
    scores, targets = answers("probs")
    for top in (1, 2, 1000):
        found = BayesianMap(top=top).fit(scores, targets, CLASSES)(scores)
        assert bool(found.isfinite().all())
        assert float(found.std()) > 0


def test_similar_classes_find_each_other() -> None:
    hidden = torch.tensor([7, 2, 9])
    targets = torch.arange(3).repeat(10)
    scores = torch.full((30, SOURCE), 0.01).scatter_(1, hidden[targets][:, None], 0.6)
    reader = SimilarityMap().fit(scores, targets, 3)
    assert isinstance(reader, LabelMap)
    assert reader.labels.flatten().tolist() == hidden.tolist()


def test_domains() -> None:
    logits = torch.randn(5, 4)
    probs = logits.softmax(1)
    torch.testing.assert_close(in_domain(logits, "logits", "probs"), probs)
    torch.testing.assert_close(in_domain(probs, "probs", "logits").softmax(1), probs)
    label = torch.eye(4)[[1, 3]]
    assert bool(in_domain(label, "label", "logits").isfinite().all())
