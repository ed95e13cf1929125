"""Ternary weights against numbers computed otherwise: numpy, and by hand."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch import nn

from edgewise.backbones import load
from edgewise.backbones.blocks import SameConv2d
from edgewise.compress.ternary import KINDS, TernaryConv2d, TernaryLinear, put_ternary, ternarised, ternary

SHAPES = st.one_of(
    st.tuples(st.integers(1, 4), st.integers(1, 6)),
    st.tuples(st.integers(1, 4), st.integers(1, 6), st.sampled_from([1, 3]), st.sampled_from([1, 3, 5])),
)
WEIGHTS = SHAPES.flatmap(
    lambda shape: arrays.arrays(np.float32, shape, elements=st.floats(-3, 3, width=32, allow_subnormal=False))
)


def by_numpy(weight):
    """Eq. 2.1 and 2.2 in float64, a weight at a time."""
    threshold = np.float32(0.05) * np.abs(weight).max()
    codes = np.zeros(weight.shape, np.int8)
    left = []
    for place, number in np.ndenumerate(weight):
        if abs(number) > threshold:
            codes[place] = 1 if number > 0 else -1
            left.append(abs(float(number)))
    return codes, float(np.mean(left)) if left else 0.0


@given(WEIGHTS)
def test_equals_the_numpy_twin(weight):
    codes, alpha = by_numpy(weight)
    found = ternary(torch.from_numpy(weight))
    assert found.codes.dtype == torch.int8
    assert np.array_equal(found.codes.numpy(), codes)
    assert found.alpha == pytest.approx(alpha, rel=1e-5, abs=1e-30)
    assert torch.equal(found.weight(), ternarised(torch.from_numpy(weight)))


def test_alpha_is_0_where_nothing_is_left():
    found = ternary(torch.zeros(2, 3, 3, 3))
    assert (found.alpha, int(found.codes.abs().sum())) == (0.0, 0)
    weight = torch.zeros(2, 3, requires_grad=True)
    ternarised(weight).sum().backward()
    assert torch.equal(weight.grad, torch.ones(2, 3))  # finite: a dead layer's gradient poisons nothing


def test_the_gradient_goes_straight_through_and_stops_at_1():
    weight = torch.tensor([[0.01, 0.5, -0.999], [1.0, -1.0, 2.0]], requires_grad=True)
    slopes = torch.tensor([[3.0, -2.0, 5.0], [7.0, 11.0, 13.0]])
    (ternarised(weight) * slopes).sum().backward()
    assert torch.equal(weight.grad, torch.tensor([[3.0, -2.0, 5.0], [0.0, 0.0, 0.0]]))


def test_keeps_nothing_but_the_weight():
    kept = []
    weight = torch.randn(4, 8, 3, 3, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.data_ptr()) or t, lambda t: t):
        ternarised(weight)
    assert kept == [weight.data_ptr()]


@pytest.mark.parametrize(
    "layer",
    [nn.Conv2d(4, 6, 3, 2, 1, bias=False), SameConv2d(4, 6, 3, 2), nn.Linear(8, 5)],
    ids=lambda layer: type(layer).__name__,
)
def test_a_layer_computes_with_its_ternary_weight(layer):
    plain = copy.deepcopy(layer)
    names = [name for name, _ in layer.named_parameters()]
    put_ternary(layer, 4)
    assert type(layer) is KINDS[type(plain)]
    assert isinstance(layer, (TernaryConv2d, TernaryLinear))
    assert [name for name, _ in layer.named_parameters()] == names
    plain.weight.data = layer.ternary().weight()
    x = torch.randn(2, 8) if isinstance(plain, nn.Linear) else torch.randn(2, 4, 7, 7)
    assert torch.equal(layer(x), plain(x))


def test_a_layer_trains_as_by_hand():
    torch.manual_seed(0)
    layer, x = nn.Conv2d(4, 3, 3), torch.randn(2, 4, 6, 6)
    fixed = ternary(layer.weight.detach()).weight().requires_grad_()
    F.conv2d(x, fixed, layer.bias).square().sum().backward()
    put_ternary(layer, 2)
    layer(x).square().sum().backward()
    torch.testing.assert_close(layer.weight.grad, fixed.grad)


def test_a_network_of_ternary_layers_still_loads_saves_and_copies():
    module = load("resnet20", weights="none").module
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    put_ternary(module.layer1[0].conv1, 16)
    copied = copy.deepcopy(module)
    assert copied.layer1[0].conv1.slab == 16
    assert all(torch.equal(before[name], tensor) for name, tensor in copied.state_dict().items())
    assert before.keys() == copied.state_dict().keys()
