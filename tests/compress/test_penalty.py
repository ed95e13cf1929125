"""The clipped group lasso against autograd in float64, differences, and its formula."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from edgewise.compress.groups import group_norms
from edgewise.compress.penalty import penalty, threshold


def twin(weight, slab, clip):
    """Eq. 2.6 and 2.7 group by group, delta taken out of the graph."""
    groups = [weight[n, c : c + slab] for n in range(len(weight)) for c in range(0, weight.shape[1], slab)]
    norms = [(group**2).sum().sqrt() for group in groups]
    sizes = [norm.item() for norm in norms]
    delta = clip * math.fsum(sizes) / len(sizes) if math.isfinite(clip) else math.inf
    return sum(
        norm if size < delta else torch.tensor(delta, dtype=weight.dtype)
        for norm, size in zip(norms, sizes, strict=True)
    )


@given(
    st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(1, 3), st.sampled_from([1, 3])),
    st.sampled_from([0.3, 0.7, 1.0, 1.6, math.inf]),
    st.integers(0, 99),
)
def test_value_and_gradient_equal_the_twin(shape, clip, seed):
    filters, slabs, slab, kernel = shape
    weight = torch.randn(
        filters, slabs * slab, kernel, kernel, dtype=torch.double, generator=torch.Generator().manual_seed(seed)
    )
    ours, theirs = weight.clone().requires_grad_(), weight.clone().requires_grad_()
    expected, found = twin(theirs, slab, clip), penalty(ours, slab, clip)
    torch.testing.assert_close(found, expected.double())
    (expected + 0 * theirs.sum()).backward()
    (found + 0 * ours.sum()).backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_a_group_is_pulled_by_its_direction_below_delta_and_not_at_all_above():
    torch.manual_seed(0)
    weight = torch.randn(6, 8, 3, 3, dtype=torch.double) * torch.linspace(0.1, 2, 6, dtype=torch.double).view(
        6, 1, 1, 1
    )
    weight.requires_grad_()
    penalty(weight, 4, 0.7).backward()
    norms = group_norms(weight.detach(), 4)
    delta = threshold(norms, 0.7)
    below = norms < delta
    assert 0 < int(below.sum()) < norms.numel()
    slopes = weight.grad.reshape(6, 2, -1)
    assert not slopes[~below].any()  # exactly 0: delta is a constant
    units = weight.detach().reshape(6, 2, -1) / norms[..., None]
    torch.testing.assert_close(slopes[below], units[below])


def test_at_the_threshold_itself_nothing_is_pulled():
    weight = torch.ones(3, 2, 1, 1, dtype=torch.double, requires_grad=True)  # all norms are their mean
    penalty(weight, 2, 1.0).backward()
    assert not weight.grad.any()


def test_gradient_check_away_from_the_kinks_with_delta_held():
    torch.manual_seed(1)
    weight = torch.randn(3, 4, 3, 3, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(lambda w: penalty(w, 2), weight)  # the plain group lasso has no threshold
    delta = threshold(group_norms(weight.detach(), 2), 1.0)
    norms = group_norms(weight.detach(), 2)
    assert (norms - delta).abs().min() > 1e-3
    slopes = torch.autograd.grad(penalty(weight, 2, 1.0), weight)[0]
    step = 1e-6
    for place in [(0, 0, 0, 0), (1, 3, 2, 1), (2, 2, 1, 1)]:
        moved = [weight.detach().clone() for _ in range(2)]
        moved[0][place] += step
        moved[1][place] -= step
        up, down = (group_norms(one, 2).clamp(max=float(delta)).sum() for one in moved)
        assert float(slopes[place]) == pytest.approx(float(up - down) / (2 * step), abs=1e-7)


@pytest.mark.parametrize("clip", [0.7, math.inf])
def test_groups_of_zeros_have_a_gradient_of_zeros(clip):
    weight = torch.randn(4, 8, 3, 3)
    weight[1, 4:] = 0
    weight[3] = 0
    weight[0] /= 10  # below delta
    weight.requires_grad_()
    penalty(weight, 4, clip).backward()
    assert torch.isfinite(weight.grad).all()
    assert not weight.grad[1, 4:].any()
    assert not weight.grad[3].any()
    assert weight.grad[0].any()


def test_a_layer_of_zeros_has_none_either():
    weight = torch.zeros(2, 4, 3, 3, requires_grad=True)
    penalty(weight, 4, 0.7).backward()
    assert not weight.grad.any()


def test_the_norm_is_a_norm_and_not_its_square():
    weight = torch.full((1, 4, 1, 1), 3.0)
    assert float(penalty(weight, 4)) == 6.0
    assert float(penalty(2 * weight, 4)) == 12.0
