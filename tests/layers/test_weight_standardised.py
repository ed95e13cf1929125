import torch
from hypothesis import given, settings
from hypothesis import strategies as st

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
