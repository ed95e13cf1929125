import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise.cost.dry import Watch
from edgewise.cost.kept import KeptBytes
from edgewise.layers.weight_standardised import EPS, StandardisedConv2d, standardised


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 6), st.integers(2, 8), st.floats(-5, 5), st.floats(0.1, 10))
def test_every_filter_has_zero_mean_and_unit_deviation_whatever_its_shift_and_scale(filters, inputs, shift, scale):
    weight = torch.randn(filters, inputs, 3, 3, dtype=torch.double, generator=torch.Generator().manual_seed(0))
    flat = standardised(weight * scale + shift).flatten(1)
    torch.testing.assert_close(flat.mean(1), torch.zeros(filters, dtype=torch.double), atol=1e-9, rtol=0)
    deviation = (weight * scale).flatten(1).std(1)
    torch.testing.assert_close(flat.std(1), deviation / (deviation + EPS))


def test_gradient_flows_through_the_standardisation():
    conv = StandardisedConv2d(2, 3, 3, padding=1, bias=False).double()
    x = torch.randn(1, 2, 5, 5, dtype=torch.double)

    def forward(weight):
        return torch.func.functional_call(conv, {"weight": weight}, x)

    assert torch.autograd.gradcheck(forward, conv.weight.detach().clone().requires_grad_())


def test_gradient_and_what_is_kept() -> None:
    weight = torch.randn(6, 4, 3, 3, dtype=torch.float64, requires_grad=True)
    torch.autograd.gradcheck(standardised, (weight,))
    with KeptBytes([weight]) as kept:
        result = standardised(weight)
    assert kept.total == 0
    assert result.requires_grad


def in_float64(weight: torch.Tensor, grad: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    leaf = weight.double().requires_grad_()
    result = (leaf - leaf.mean((1, 2, 3), keepdim=True)) / (leaf.std((1, 2, 3), keepdim=True) + EPS)
    (to_weight,) = torch.autograd.grad(result, leaf, grad.double())
    return result.detach(), to_weight


LAYOUTS = {
    "contiguous": lambda x: x.contiguous(),
    "channels last": lambda x: x.contiguous(memory_format=torch.channels_last),
    "part of a larger one": lambda x: torch.cat([x, x], 2).contiguous(memory_format=torch.channels_last).chunk(2, 2)[0],
    "one number for all": lambda x: x[:1, :1, :1, :1].expand_as(x),
}


@pytest.mark.parametrize("shape", [(6, 4, 3, 3), (7, 9, 1, 1), (5, 1, 3, 3), (1, 3, 5, 2)])
@pytest.mark.parametrize("of_gradient", LAYOUTS)
@pytest.mark.parametrize("layout", list(LAYOUTS)[:3])
def test_layouts_change_nothing(shape: tuple[int, ...], layout: str, of_gradient: str) -> None:
    weight = LAYOUTS[layout](torch.randn(shape, generator=torch.Generator().manual_seed(0)))
    grad = LAYOUTS[of_gradient](torch.randn(shape, generator=torch.Generator().manual_seed(1)))
    leaf = weight.detach().requires_grad_()
    result = standardised(leaf)
    (to_weight,) = torch.autograd.grad(result, leaf, grad)
    for ours, expected in zip((result, to_weight), in_float64(weight, grad), strict=True):
        torch.testing.assert_close(ours.double(), expected, rtol=1e-5, atol=1e-6)
    assert result.is_contiguous(memory_format=torch.channels_last)


def test_predicts_the_result_and_nothing_more() -> None:
    weight = torch.empty(6, 4, 3, 3, device="meta").contiguous(memory_format=torch.channels_last).requires_grad_()
    grad = torch.empty_like(weight)
    with Watch() as watch:
        watch.own("given", [weight, grad])
        result = standardised(weight)
        watch.own("kept", [result])
        torch.autograd.grad(result, weight, grad)
    made = [name for name, _ in watch.timeline.samples]
    assert made == ["aten.empty_like.default"] * 2
    assert result.is_meta
    assert result.is_contiguous(memory_format=torch.channels_last)
