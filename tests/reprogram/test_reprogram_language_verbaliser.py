"""Classes as vectors: where they start, what is compared, and what trains."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from edgewise.core.errors import UsageError
from edgewise.reprogram.mappings.verbaliser import Verbaliser, VerbaliserReader


def features() -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(0)
    targets = torch.randint(3, (60,), generator=random)
    centres = 2 * torch.randn(3, 10, generator=random)
    return (centres[targets] + torch.randn(60, 10, generator=random)) * (1 + targets[:, None]), targets


def fitted(mapping: Verbaliser, scores: Tensor, targets: Tensor, classes: int = 3) -> VerbaliserReader:
    reader = mapping.fit(scores, targets, classes)
    assert isinstance(reader, VerbaliserReader)
    return reader


def test_before_training_the_nearest_mean_decides() -> None:
    scores, targets = features()
    reader = fitted(Verbaliser(temperature=0.5), scores, targets)
    said = F.normalize(scores, dim=1)
    means = torch.stack([said[targets == one].mean(0) for one in range(3)])
    expected = torch.cosine_similarity(said[:, None], means, dim=2) / 0.5
    torch.testing.assert_close(reader(scores), expected)
    torch.testing.assert_close(reader(7 * scores), expected), "features of any length"
    assert float((reader(scores).argmax(1) == targets).float().mean()) > 0.9
    torch.testing.assert_close(reader.vectors.square().mean(1), torch.ones(3)), "a rate means the same for any data"


def test_a_class_that_was_not_met_starts_at_the_mean_of_all() -> None:
    scores, targets = features()
    reader = fitted(Verbaliser(), scores, targets, 4)
    mean = F.normalize(F.normalize(scores, dim=1).sum(0), dim=0)
    torch.testing.assert_close(F.normalize(reader.vectors[3], dim=0), mean)
    assert bool(fitted(Verbaliser(), scores[:0], targets[:0])(scores).isfinite().all()), "as when it is loaded"


def test_the_temperature_trains_unless_it_is_fixed() -> None:
    scores, targets = features()
    free, fixed = (fitted(Verbaliser(temperature=0.2, fixed=one), scores, targets) for one in (False, True))
    assert {name for name, _ in free.named_parameters()} == {"vectors", "scale"}
    assert {name for name, _ in fixed.named_parameters()} == {"vectors"}
    assert free.state_dict().keys() == fixed.state_dict().keys(), "both are saved"
    assert float(free.scale.detach().exp()) == pytest.approx(5)
    F.cross_entropy(free(scores), targets).backward()
    assert free.scale.grad is not None
    with torch.no_grad():
        free.scale.fill_(math.log(8))
    torch.testing.assert_close(free(scores), fixed(scores) * 8 / 5)


def test_gradients() -> None:
    scores, targets = features()
    reader = fitted(Verbaliser(), scores[:5], targets[:5]).double()
    given = scores[:5].double().requires_grad_()
    assert torch.autograd.gradcheck(reader, (given,))


def test_a_temperature_of_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="temperature is 0; it must be from 0.001 to 100"):
        Verbaliser(temperature=0)
