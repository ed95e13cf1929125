"""What a planned, budgeted run stands on: short epochs, the best program so far, bytes, and what a ledger notes."""

import math
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgewise.core.errors import EdgewiseError
from edgewise.core.surgery import digest
from edgewise.reprogram import (
    BlackBox,
    BudgetExceededError,
    FrequencyMap,
    Gradient,
    Ledger,
    Pad,
    Pipeline,
    Reprogrammed,
    Space,
    SphereSearch,
    WhiteBox,
    answers_of,
    of_white_box,
    read_as,
)  # fmt: skip
from edgewise.reprogram.mappings.label_map import LabelMap
from edgewise.reprogram.mappings.linear import LinearReader
from edgewise.reprogram.mappings.matrix import MatrixMap
from edgewise.reprogram.space import extremes, numbers
from edgewise.reprogram.task import Labelled, ReprogramTask

SPACE = Space((3, 8, 8), 0.0, 1.0)


def source() -> WhiteBox:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 6))
    return WhiteBox(network, SPACE, 6)


def photos(count: int, seed: int = 0) -> tuple[Tensor, list[str]]:
    pixels = np.random.default_rng(seed).integers(0, 256, (count, 3, 5, 5)).astype(np.uint8)
    return torch.from_numpy(pixels), [("cat", "dog", "owl")[number % 3] for number in range(count)]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with closing(Ledger(tmp_path / "queries.sqlite", price=0.5)) as ledger:
        yield ledger


def test_bytes_stay_bytes_and_mean_the_same() -> None:
    images, labels = photos(12)
    assert extremes(images) == (float(images.min()) / 255, float(images.max()) / 255)
    assert torch.equal(numbers(images), images / 255)
    settings: dict[str, Any] = {"epochs": 2, "batch_size": 4}
    as_bytes = Reprogrammed(source(), **settings).fit(images, labels, val=photos(6, 1))
    as_floats = Reprogrammed(source(), **settings).fit(images / 255, labels, val=(photos(6, 1)[0] / 255, photos(6)[1]))
    assert digest(as_bytes.work_.tensors()) == digest(as_floats.work_.tensors())
    assert np.array_equal(as_bytes.predict_proba(images), as_floats.predict_proba(images / 255))


def task(steps: int | None) -> ReprogramTask:
    """10 samples, 3 in a step."""
    white, (images, labels) = source(), photos(10)
    program, mapping = Pad().build(Space((3, 5, 5), 0.0, 1.0), SPACE), FrequencyMap()
    targets = torch.tensor([["cat", "dog", "owl"].index(label) for label in labels])
    work = Pipeline(program, white, mapping.fit(torch.zeros(0, 6), targets[:0], 3), "probs")
    return ReprogramTask(work, mapping, Gradient(), Labelled(images, targets), None, 3, 7, {}, steps)


def test_short_epochs_go_on_where_the_last_one_stopped() -> None:
    whole, short = task(None), task(2)
    assert (whole.steps, short.steps, task(9).steps) == (4, 2, 4)
    turns = [[rows.tolist() for rows in whole.batches(epoch, 0)] for epoch in range(2)]
    assert [sorted(row for rows in turn for row in rows) for turn in turns] == [list(range(10))] * 2
    assert turns[0] != turns[1]
    again = [rows.tolist() for epoch in range(4) for rows in short.batches(epoch, 0)]
    assert again == turns[0] + turns[1], "every sample once before any comes again"
    assert [rows.tolist() for rows in short.batches(1, 1)] == turns[0][3:], "resumed in the middle"
    assert short.describe(1, 1) == f"samples {turns[0][3]}"


def test_a_budget_leaves_the_best_program_so_far(ledger: Ledger) -> None:
    """The epochs differ in their validation loss; what is left is the best one's program, though others followed."""
    (images, labels), val = photos(12), photos(9, 1)
    parts: dict[str, Any] = {"transform": Pad(grid=2), "trainer": SphereSearch(lr=3.0, directions=2), "batch_size": 6}
    free = Reprogrammed(of_white_box(source(), "probs", ledger), **parts, epochs=12).fit(images, labels, val=val)
    assert free.stopped_ is None
    best = free.best_epoch_
    assert 0 < best < 11, "otherwise this test tells nothing"
    cost = 4 + 12 + 12 * 3 * 11 + 9 * 11 + 20  # ends in the last epoch
    with closing(Ledger(budget=cost)) as budget:
        stopped = Reprogrammed(of_white_box(source(), "probs", budget), **parts, epochs=12)
        stopped.fit(images, labels, val=val)
    assert stopped.stopped_ is not None
    assert f"the budget is {cost}" in stopped.stopped_
    assert (stopped.best_epoch_, len(stopped.history_)) == (best, 11)
    assert digest(stopped.work_.tensors()) == digest(free.work_.tensors())
    assert digest(stopped.first_) == digest(free.first_) != digest(free.work_.tensors())


def test_other_samples_are_refused_before_they_are_paid_for(ledger: Ledger, tmp_path: Path) -> None:
    black, (images, labels), folder = of_white_box(source(), "probs", ledger), photos(12), tmp_path / "checkpoint"
    model = Reprogrammed(black, Pad(grid=2), trainer=SphereSearch(directions=2), epochs=1, batch_size=6)
    model.fit(images, labels, folder=folder)
    before = ledger.spent
    with pytest.raises(EdgewiseError, match="its samples changed since it was interrupted"):
        model.fit(photos(12, 5)[0], labels, folder=folder, resume=True)
    assert ledger.spent == before
    with pytest.raises(EdgewiseError, match="its steps changed"):
        model.set_params(steps=1).fit(images, labels, folder=folder, resume=True)


@pytest.mark.parametrize("answers", ["probs", "top-k", "label"])
def test_a_model_that_is_here_can_be_asked_as_if_it_were_not(answers: Any, ledger: Ledger) -> None:
    images = photos(5)[0]
    canvas = torch.rand(5, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    white, black = source(), of_white_box(source(), answers, ledger, top=2)
    with torch.no_grad():
        true = white((canvas * 255).round() / 255).softmax(1)
    found = black(canvas)
    assert torch.equal(found.argmax(1), true.argmax(1))
    if answers == "probs":
        torch.testing.assert_close(found, true)
    if answers == "top-k":
        torch.testing.assert_close(found.topk(2).values, true.topk(2).values)
    assert (ledger.spent, len(images)) == (5, 5)
    assert not canvas.requires_grad
    told = answers_of(true.numpy(), answers, 2)
    assert told.shape == {"probs": (5, 6), "top-k": (5, 2, 2), "label": (5,)}[answers]


def test_a_ledger_allows_nothing_for_nothing_and_notes_what_crossed(tmp_path: Path) -> None:
    path = tmp_path / "queries.sqlite"
    with closing(Ledger(path, budget=3)) as ledger:
        ledger.paid(5, {})  # more than the budget, by somebody who had another
        ledger.allow(0)
        with pytest.raises(BudgetExceededError, match="1 queries would follow the 5"):
            ledger.allow(1)
        ledger.crossed(700, 30)
        ledger.crossed(70, 3)
        assert (ledger.before, ledger.traffic) == (0, (770, 33))
    with closing(Ledger(path)) as again:
        assert (again.before, again.spent, again.traffic) == (5, 5, (770, 33))


def test_whether_the_fixed_samples_were_asked_before(ledger: Ledger) -> None:
    black = of_white_box(source(), "probs", ledger)
    assert not black.probed
    assert isinstance(black, BlackBox)
    fingerprint = black.fingerprint
    assert of_white_box(source(), "probs", ledger).probed
    assert not of_white_box(source(), "probs", ledger, name="another").probed
    assert of_white_box(source(), "probs", ledger).fingerprint == fingerprint
    assert ledger.spent == 4


def test_what_stands_for_a_class() -> None:
    assert read_as(LabelMap(torch.tensor([[3, 1], [0, 2]]), "probs", "mean")) == [
        [(3, None), (1, None)],
        [(0, None), (2, None)],
    ]
    matrix = torch.tensor([[0.1, 0.0], [0.6, 0.5], [0.3, 0.5]])
    heavy = read_as(MatrixMap(matrix, "probs"), most=2)
    assert heavy is not None
    assert [[label for label, _ in own] for own in heavy] == [[1, 2], [1, 2]]
    assert math.isclose(heavy[0][0][1] or 0, 0.6, rel_tol=1e-6)
    layer = LinearReader(3, 2)
    layer.weight.data = torch.tensor([[-1.0, 2.0, 0.5], [-1.0, -2.0, 0.0]])
    assert read_as(layer) == [[(1, 2.0), (2, 0.5)], []]
