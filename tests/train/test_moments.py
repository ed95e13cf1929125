"""Moments in 8 bits: right in the mean, near for each number, laid out as their parameter."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from edgewise.train.adam import Adam
from edgewise.train.moments import BLOCK, PIECE, WORTH_CODING, Moment8

BITS = pytest.mark.parametrize("signed", [True, False])


def held(values, signed):
    moment = Moment8(len(values), signed)
    moment.encode(0, values)
    return moment.decoded(0, len(values))


@BITS
@settings(max_examples=40, deadline=None)
@given(count=st.integers(1, 3 * BLOCK), seed=st.integers(0, 10**6), decades=st.floats(0, 3))
def test_every_number_comes_back_near(signed, count, seed, decades):
    source = torch.Generator().manual_seed(seed)
    values = 10 ** (-decades * torch.rand(count, generator=source))
    values *= torch.randn(count, generator=source).sign() if signed else 1
    back = held(values, signed)
    assert torch.equal(back.sign(), values.sign())
    # neighbouring codes of a number a thousandth of the largest: 4 / 127 and 8 / 255, over its root
    assert bool(((back - values).abs() <= 0.25 * values.abs()).all())
    blocks = values.split(BLOCK)
    assert all(torch.isclose(b.abs().max(), v.abs().max()) for b, v in zip(back.split(BLOCK), blocks, strict=True))


@BITS
def test_rounding_is_right_in_the_mean(signed):
    torch.manual_seed(0)
    values = torch.rand(BLOCK) ** 3
    mean = torch.stack([held(values, signed) for _ in range(4000)]).mean(0)
    assert torch.allclose(mean, values, rtol=0.01, atol=1e-4)


def test_a_second_moment_without_gradients_fades_as_it_should():
    """Rounded to the nearest code it would stay: a step takes a thousandth, codes differ by three hundredths."""
    torch.manual_seed(0)
    values = torch.rand(64 * BLOCK) + 0.5
    moment = Moment8(len(values), signed=False)
    moment.encode(0, values)
    for _ in range(300):
        moment.encode(0, moment.decoded(0, len(values)) * 0.999)
    assert moment.decoded(0, len(values)).mean() / values.mean() == pytest.approx(0.999**300, rel=0.01)


@BITS
def test_zeros_stay_zeros_and_pieces_are_apart(signed):
    values = torch.rand(2 * BLOCK + 7)
    values[BLOCK : BLOCK + 9] = 0
    moment = Moment8(len(values), signed)
    moment.encode(BLOCK, values[BLOCK:])
    assert bool((moment.decoded(0, BLOCK) == 0).all())
    back = moment.decoded(BLOCK, len(values))
    assert bool((back[:9] == 0).all())
    assert torch.allclose(back, values[BLOCK:], rtol=0.3, atol=1e-3)
    assert bool((held(torch.zeros(300), signed) == 0).all())


def test_a_parameter_moves_alike_however_it_lies_in_memory():
    """Larger than a piece, channels last, and with a gradient that lies otherwise."""
    weight = torch.randn(300, 32, 3, 3)
    gradient = torch.randn(300, 32, 3, 3)
    moved = []
    for layout in (torch.contiguous_format, torch.channels_last):
        p = nn.Parameter(weight.clone(memory_format=layout))
        adam = Adam({"main": [("p", p)]}, 8)
        p.grad = gradient.clone()
        adam.step({"main": 0.1})
        moved.append(p.detach().contiguous())
    exact = nn.Parameter(weight.clone())
    exact.grad = gradient.clone()
    Adam({"main": [("p", exact)]}).step({"main": 0.1})
    assert weight.numel() > PIECE
    assert torch.equal(*moved)
    assert torch.equal(moved[0], exact), "the first step rounds nothing yet"


def regression(bits, steps=300):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        layer, target = nn.Linear(80, 64), nn.Linear(80, 64)
        adam = Adam({"main": list(layer.named_parameters())}, bits)
        for step in range(steps):
            x = torch.randn(32, 80, generator=torch.Generator().manual_seed(step))
            loss = (layer(x) - target(x).detach()).square().mean()
            loss.backward()
            adam.step({"main": 0.01 * (1 - step / steps)})
    return layer, adam, loss.item()


def test_training_ends_where_it_ends_with_floats():
    (_, floats, expected), (_, adam, found) = regression(32), regression(8)
    assert not floats.coded
    assert set(adam.coded) == {"weight"}, "a small tensor stays in floats"
    assert 80 * 64 >= WORTH_CODING > 64
    _, _, start = regression(32, steps=1)
    assert expected < 0.01 * start
    assert found < 0.02 * start


def test_the_state_is_a_quarter_and_brings_back_the_same_steps():
    layer, adam, _ = regression(8, steps=10)
    whole = sum(t.numel() * t.element_size() for t in adam.tensors().values())
    assert whole < 0.27 * 8 * sum(p.numel() for p in layer.parameters()) + 8 * 64
    fresh_layer, fresh = nn.Linear(80, 64), None
    fresh_layer.load_state_dict(layer.state_dict())
    fresh = Adam({"main": list(fresh_layer.named_parameters())}, 8)
    fresh.steps = adam.steps
    for name, tensor in fresh.tensors().items():
        tensor.copy_(adam.tensors()[name])
    for net, optimizer in ((layer, adam), (fresh_layer, fresh)):
        torch.manual_seed(5)
        net(torch.ones(2, 80)).sum().backward()
        optimizer.step({"main": 0.1})
    assert torch.equal(layer.weight, fresh_layer.weight)
    assert torch.equal(adam.coded["weight"][1].codes, fresh.coded["weight"][1].codes)
