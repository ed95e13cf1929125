"""Groups: their norms, and how many are empty; the counts that the facts sheet states for the paper's networks."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from edgewise.backbones import load
from edgewise.compress import Compressed, Compression
from edgewise.compress.groups import Zeros, group_norms, together, zeros_of
from edgewise.compress.ternary import ternary


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4), st.sampled_from([1, 3]), st.integers(0, 99))
def test_norms_and_counts_equal_a_loop_over_filters_and_slabs(filters, slabs, slab, kernel, seed):
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(filters, slabs * slab, kernel, kernel)) * rng.integers(
        0, 2, (filters, slabs * slab, 1, 1)
    )
    norms, stored = np.zeros((filters, slabs)), 0
    for n in range(filters):
        for g in range(slabs):
            part = weight[n, g * slab : (g + 1) * slab]
            norms[n, g] = np.sqrt((part**2).sum())
            stored += bool(part.any())
    found = zeros_of(torch.from_numpy(weight), slab)
    assert found == Zeros(filters * slabs, stored, weight.size, np.count_nonzero(weight))
    np.testing.assert_allclose(group_norms(torch.from_numpy(weight), slab).numpy(), norms)


def test_sparsity_of_several_layers_counts_groups_not_layers():
    small, large = Zeros(10, 5, 100, 20), Zeros(90, 90, 900, 480)
    whole = together([small, large])
    assert (whole.group_sparsity, whole.overall_sparsity) == (pytest.approx(0.05), 0.5)
    assert (small.group_sparsity, small.dead, Zeros(3, 0, 9, 0).dead) == (0.5, False, True)


@pytest.mark.parametrize(
    ("depth", "weights", "groups"),
    [(20, 267_264, 1856), (32, 460_800, 3200), (44, 654_336, 4544), (56, 847_872, 5888)],
)
def test_the_papers_networks_have_the_papers_groups(depth, weights, groups):
    model = Compressed(load(f"resnet{depth}", weights="none"), Compression(pe=16))
    whole = together(layer.zeros for layer in model.look().values())
    assert (whole.weights, whole.groups) == (weights, groups)
    assert len(model.places) == depth - 2


def test_channels_last_changes_nothing():
    weight = torch.randn(8, 16, 3, 3)
    weight[2, 4:8] = 0
    turned = weight.to(memory_format=torch.channels_last)
    assert torch.equal(group_norms(weight, 4), group_norms(turned, 4))
    assert zeros_of(weight, 4) == zeros_of(turned, 4) == Zeros(32, 31, 1152, 1152 - 36)
    assert torch.equal(ternary(weight).codes, ternary(turned).codes)
