"""The policy gradient against the exact gradient of an expected loss, which few choices let one add up."""

import itertools
import math

import pytest
import torch
from torch import Tensor, nn

from edgewise.core.errors import UsageError
from edgewise.reprogram import (
    BlackBox,
    ContextRemap,
    FirstLabels,
    Gradient,
    Ledger,
    LinearMap,
    Pad,
    PolicyGradient,
    Reprogrammed,
    Space,
    SphereSearch,
)  # fmt: skip
from edgewise.reprogram.trainers.base import Losses
from edgewise.reprogram.trainers.policy import surrogate

SAMPLES, CHOICES = 3, 4
LOSS = torch.tensor([[0.3, 2.0, 1.0, 7.0], [5.0, 0.1, 0.2, 3.0], [1.0, 1.5, 9.0, 0.5]], dtype=torch.double)
"""What sample i loses when its choice is c: an average of 2.6, so that a missing baseline shows."""


def start() -> nn.Parameter:
    return nn.Parameter(torch.randn(SAMPLES, CHOICES, generator=torch.Generator().manual_seed(0), dtype=torch.double))


def exact(weight: nn.Parameter) -> Tensor:
    (grad,) = torch.autograd.grad((weight.softmax(1) * LOSS).sum(1).mean(), weight)
    return grad


def estimates(weight: nn.Parameter) -> tuple[Tensor, Tensor]:
    """Every possible batch's gradient (64, 3, 4) and its probability (64,)."""
    found, chances = [], []
    for drawn in itertools.product(range(CHOICES), repeat=SAMPLES):
        logs = weight.log_softmax(1)[torch.arange(SAMPLES), torch.tensor(drawn)]
        each = LOSS[torch.arange(SAMPLES), torch.tensor(drawn)]
        found.append(torch.autograd.grad(surrogate(Losses(each, logs)), weight)[0])
        chances.append(logs.detach().sum().exp())
    return torch.stack(found), torch.stack(chances)


def test_the_mean_over_all_batches_is_the_exact_gradient() -> None:
    """Not nearly: every batch is there.  A baseline with the sample itself in it would be short by a third."""
    weight = start()
    found, chances = estimates(weight)
    assert float(chances.sum()) == pytest.approx(1)
    torch.testing.assert_close(torch.einsum("b,bnc->nc", chances, found), exact(weight))


def test_the_baseline_makes_it_steadier() -> None:
    weight = start()
    found, chances = estimates(weight)
    plain = []
    for drawn in itertools.product(range(CHOICES), repeat=SAMPLES):
        logs = weight.log_softmax(1)[torch.arange(SAMPLES), torch.tensor(drawn)]
        each = LOSS[torch.arange(SAMPLES), torch.tensor(drawn)]
        plain.append(torch.autograd.grad((each * logs).mean(), weight)[0])
    spreads = [
        float(torch.einsum("b,bnc->", chances, (one - exact(weight)).square())) for one in (found, torch.stack(plain))
    ]
    assert spreads[0] < 0.7 * spreads[1]


def test_a_reader_gets_its_own_gradient_too() -> None:
    """``each`` may depend on trained numbers directly: they get the plain gradient, and none through the baseline."""
    scale, weight = nn.Parameter(torch.tensor(2.0, dtype=torch.double)), start()
    each = scale * LOSS[:, 0]
    logs = weight.log_softmax(1)[:, 0]
    (found,) = torch.autograd.grad(surrogate(Losses(each, logs)), scale, retain_graph=True)
    torch.testing.assert_close(found, LOSS[:, 0].mean())
    alone = torch.autograd.grad(surrogate(Losses(each[:1], logs[:1])), weight)[0]
    torch.testing.assert_close(alone, torch.autograd.grad(2 * LOSS[0, 0] * weight.log_softmax(1)[0, 0], weight)[0])


def labels_of(symbols: Tensor) -> Tensor:
    """What the hidden model answers: are there more of its symbols 1 to 3 than of 4 to 6?"""
    return ((symbols > 3).sum(1) > ((symbols > 0) & (symbols <= 3)).sum(1)).long()


def task(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Rows of eight letters a to d, as long as they please; the class says whether c and d prevail."""
    random = torch.Generator().manual_seed(seed)
    letters = torch.randint(1, 5, (count, 8), generator=random)
    letters *= torch.arange(8) < torch.randint(3, 9, (count, 1), generator=random)
    return letters, ((letters > 2).sum(1) > ((letters > 0) & (letters <= 2)).sum(1)).long()


def test_labels_alone_teach_another_alphabet() -> None:
    """A model that only gives labels, behind a ledger: one query a sample and step, and it reads letters in the end."""
    ledger = Ledger()
    source = BlackBox(
        lambda wire: labels_of(torch.from_numpy(wire)).numpy(), Space((8,), symbols=7), 2, "label", ledger
    )
    letters, classes = task(256, 0)
    program = ContextRemap(width=1)
    model = Reprogrammed(source, program, FirstLabels(), PolicyGradient(0.1), epochs=12).fit(letters, classes.numpy())
    unseen, truth = task(200, 1)
    before = Reprogrammed(source, program, FirstLabels(), PolicyGradient(), epochs=0).fit(letters, classes.numpy())
    assert before.score(unseen, truth.numpy()) < 0.75
    assert ledger.spent <= 12 * 256 + 2 * 200 + 8
    assert model.score(unseen, truth.numpy()) > 0.9


def test_a_trainer_and_a_program_must_both_draw_or_neither() -> None:
    letters, classes = task(8, 0)
    hidden = BlackBox(
        lambda wire: labels_of(torch.from_numpy(wire)).numpy(), Space((8,), symbols=7), 2, "label", Ledger()
    )
    images = BlackBox(lambda wire: wire[:, 0, 0, :2], Space((3, 4, 4), 0.0, 1.0), 2, "probs", Ledger())
    for trainer in (SphereSearch(), Gradient()):
        with pytest.raises(UsageError, match="context-remap draws symbols at random .* take the trainer policy"):
            Reprogrammed(hidden, ContextRemap(), FirstLabels(), trainer).fit(letters, classes.numpy())
    with pytest.raises(UsageError, match="policy learns from random draws, and pad makes none here"):
        Reprogrammed(images, Pad(), LinearMap(), PolicyGradient()).fit(torch.rand(4, 3, 2, 2), [0, 1, 0, 1])


def test_it_does_not_move_where_the_loss_is_not_finite() -> None:
    weight = start()
    steps = PolicyGradient().build([("weight", weight)])
    before = weight.detach().clone()
    each = torch.tensor([1.0, math.inf, 2.0], dtype=torch.double)
    assert not math.isfinite(steps.step(lambda: Losses(each, weight.log_softmax(1)[:, 0]), 0.0, 1))
    assert torch.equal(weight.detach(), before)
