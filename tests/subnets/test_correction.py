"""Gradient correction: what it leaves, in float64 and float32, and what the printed equation would leave."""

import pytest
import torch

from edgewise.subnets.correction import corrected, cosine


def cases(count, dtype, size=40):
    torch.manual_seed(0)
    for _ in range(count):
        mask = torch.rand(size) < 0.4
        before = torch.randn(size, dtype=dtype) * (torch.rand(size) < 0.6)
        yield (torch.randn(size, dtype=dtype) - 0.5 * before) * mask, before, mask


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_nothing_is_left_of_a_conflict_over_the_present_mask(dtype):
    conflicts = 0
    for gradient, before, mask in cases(1000, dtype):
        found = corrected(gradient, before, mask)
        product = float((gradient.double() * before.double() * mask).sum())
        if product < 0:
            conflicts += 1
            assert float((found.double() * before.double() * mask).sum()) >= -1e-6
            assert cosine(found, before, mask) >= -1e-6
            assert found[~mask].abs().sum() == 0
            assert found.dtype == dtype
        else:
            assert found is gradient
    assert conflicts > 500


def test_the_printed_equation_leaves_the_conflict_once_it_is_masked_again():
    left = total = 0
    for gradient, before, mask in cases(1000, torch.float64):
        product = (gradient * before).sum()
        if product < 0:
            printed = (gradient - product / before.square().sum() * before) * mask
            total += 1
            left += cosine(printed, before, mask) < -1e-6
    assert left == total > 500


def test_by_hand():
    gradient, before = torch.tensor([-2.0, 1.0, 0.0]), torch.tensor([1.0, 1.0, 7.0])
    mask = torch.tensor([True, True, False])  # h = (1, 1, 0): g - (-1 / 2) h = (-1.5, 1.5, 0)
    assert corrected(gradient, before, mask).tolist() == [-1.5, 1.5, 0.0]


def test_a_previous_gradient_of_zero_changes_nothing():
    gradient, mask = torch.tensor([1.0, -2.0]), torch.tensor([True, True])
    assert corrected(gradient, torch.zeros(2), mask) is gradient
    # nor does one that lies outside the mask, whatever its sign
    assert corrected(torch.tensor([1.0, 0.0]), torch.tensor([0.0, -5.0]), torch.tensor([True, False])).tolist() == [
        1,
        0,
    ]
    assert cosine(gradient, torch.zeros(2), mask) == 0


def test_of_a_gradient_that_is_all_conflict_nothing_remains():
    torch.manual_seed(0)
    before = torch.randn(1000)
    found = corrected(-2 * before, before, torch.ones(1000, dtype=torch.bool))
    assert found.count_nonzero() == 0
