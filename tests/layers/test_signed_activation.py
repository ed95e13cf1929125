"""The signed backward pass against a hand-written one, its bits, and MobileTL's Theorem 1 in numbers."""

import math

import pytest
import torch
from torch import Tensor, nn

from edgewise.core.surgery import Folds
from edgewise.cost.kept import KeptBytes
from edgewise.layers.signed_activation import APPROXIMATED, GATES, SignedActivation, loss_distance_bound
from edgewise.lean import Lean, make_lean

ACTIVATIONS = [
    nn.ReLU6(inplace=True),
    nn.Hardtanh(-1.0, 2.0),
    nn.Hardswish(inplace=True),
    nn.SiLU(inplace=True),
    nn.Hardsigmoid(inplace=True),
    nn.Sigmoid(),
]
every_activation = pytest.mark.parametrize("activation", ACTIVATIONS, ids=repr)
SMALLEST = 1e-45
EDGES = [-math.inf, -7.0, -3.0, -1.5, -SMALLEST, -0.0, 0.0, SMALLEST, 1.5, 3.0, 6.0, 7.0, math.inf]
PASSES = [0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1]


def test_every_kind_is_here():
    assert {kind for kind in (*APPROXIMATED, *GATES) if any(isinstance(a, kind) for a in ACTIVATIONS)} == {
        *APPROXIMATED, *GATES
    }  # fmt: skip


@every_activation
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_forward_is_exact_and_backward_is_the_sign(activation, dtype):
    x = torch.tensor(EDGES, dtype=dtype, requires_grad=True)
    before = x.detach().clone()
    y = SignedActivation(activation)(x)
    torch.testing.assert_close(y, activation(x.detach().clone()), rtol=0, atol=0, equal_nan=True)
    assert torch.equal(x, before), "the input stays, although the activation would overwrite it"
    grad = torch.arange(1.0, len(EDGES) + 1, dtype=dtype)
    (found,) = torch.autograd.grad(y, x, grad)
    assert torch.equal(found, grad * torch.tensor(PASSES, dtype=dtype))


class Through(nn.Module):
    """A layer with a parameter before it, so that something trains."""

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.scale = nn.Conv2d(1, 1, 1)
        self.act = SignedActivation(activation)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.scale(x))


@every_activation
def test_lean_takes_the_same_decision_at_every_edge(activation):
    """The compiled mask compares with a bound, which must be the largest number below 0."""
    finite = [x for x in EDGES if math.isfinite(x)]
    model = Through(activation)
    with torch.no_grad():
        model.scale.weight.fill_(1)
        model.scale.bias.fill_(0)
    x = torch.tensor(finite).view(1, 1, 1, -1)
    images, found = torch.cat([x, -x]), []
    for lean in (False, True):
        if lean:
            assert make_lean(model) == ()
        model.zero_grad()
        y = model(images)
        (y * torch.arange(1.0, y.numel() + 1).view_as(y)).sum().backward()
        found.append((y.detach(), model.scale.weight.grad.clone(), model.scale.bias.grad.clone()))
    (y, weight, bias), (lean_y, lean_weight, lean_bias) = found
    assert torch.equal(y, lean_y)
    assert torch.equal(bias, lean_bias)
    assert torch.equal(weight, lean_weight)


@pytest.mark.parametrize("activation", [nn.ReLU6(), nn.Hardtanh(0.0, 20.0)], ids=repr)
def test_it_is_the_derivative_where_nothing_is_cut_off(activation):
    """Away from 0 and below 6 the sign is ReLU6's own slope."""
    x = torch.tensor([-4.0, -0.5, 0.5, 2.0, 5.5], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(SignedActivation(activation), x)


def test_of_hard_swish_the_steepest_slope_is_missed_by_half():
    x = torch.tensor(3.0 - 1e-9, dtype=torch.float64, requires_grad=True)
    slopes = [torch.autograd.grad(act(x), x)[0].item() for act in (nn.Hardswish(), SignedActivation(nn.Hardswish()))]
    assert slopes == pytest.approx([1.5, 1.0])


def test_what_is_kept_a_bit_an_element_in_lean_a_byte_in_plain():
    """A norm with given statistics and a frozen scale, then the activation: MobileTL's pair."""
    norm = nn.BatchNorm2d(6).eval()
    norm.weight.requires_grad_(False)
    model = nn.Sequential(norm, SignedActivation(nn.Hardswish())).eval()
    images = torch.randn(4, 6, 7, 9).contiguous(memory_format=torch.channels_last)

    def kept() -> int:
        with KeptBytes([images, *model.parameters(), *model.buffers()]) as counter:
            y = model(images)
        del y
        return counter.total

    exact = nn.Sequential(norm, nn.Hardswish()).eval()
    with KeptBytes([images, *exact.parameters(), *exact.buffers()]) as counter:
        y = exact(images)
    assert counter.total >= 4 * images.numel()
    del y
    assert kept() >= images.numel()
    assert make_lean(model, Lean(chunk=4)) == ()
    of_norm = 4 * norm.num_features  # the scale divided by the deviation
    assert kept() == images.numel() // 8 + of_norm
    assert images.numel() % 8 == 0


def test_folding_gives_the_activation_itself_back():
    activation = nn.ReLU6(inplace=True)
    layer = SignedActivation(activation)
    assert isinstance(layer, Folds)
    assert layer.folded() is activation
    assert activation.inplace
    assert not layer.state_dict()


def test_theorem_1_by_hand():
    # psi = 3/2 * 2 * 0.1 = 0.3, psi~ = 0.2, two layers: 0.3 + 0.09 + 0.2 + 0.04 = 0.63
    assert loss_distance_bound(0.5, 3.0, 7, 0.1, 2, 4) == pytest.approx(0.5 * 3 * 7 * 0.1 * 0.63)
    # as the paper writes it
    psi, signed, layers = 0.75, 0.5, 9
    paper = psi * (1 - psi**layers) / (1 - psi) + signed * (1 - signed**layers) / (1 - signed)
    assert loss_distance_bound(1.0, 1.0, 1, 0.125, layers, 16) == pytest.approx(0.125 * paper)
    # at psi = 1 the paper's fraction is 0 / 0, the sum is L
    assert loss_distance_bound(1.0, 1.0, 1, 2 / 3, 5, 1) == pytest.approx(
        2 / 3 * (5 + sum((2 / 3) ** k for k in range(1, 6)))
    )
    assert loss_distance_bound(1.0, 1.0, 0, 1.0, 5, 9) == 0
    with pytest.raises(OverflowError):
        loss_distance_bound(1.0, 1.0, 1, 1e9, 100, 10**6)


class Chain:
    """L layers a <- hard-swish(w * a) of N numbers and a squared distance: every factor of the proof can be seen."""

    def __init__(self, seed: int, layers: int, elements: int, signed: bool) -> None:
        random = torch.Generator().manual_seed(seed)
        self.start = torch.rand(elements, generator=random, dtype=torch.float64) / 2
        self.target = torch.rand(elements, generator=random, dtype=torch.float64) / 8
        weights = 0.3 + torch.rand(layers, elements, generator=random, dtype=torch.float64) / 4
        self.weights = weights.requires_grad_()
        self.act = SignedActivation(nn.Hardswish()) if signed else nn.Hardswish()
        self.gradient = 0.0  # G: the smallest that bounds everything met
        self.norms: list[Tensor] = []  # of the layers' gradients, at every step

    def loss(self, weights: Tensor) -> Tensor:
        a, factors = self.start, []
        for w in weights:
            factors.append(max(w.abs().max().item(), a.abs().max().item()) / math.sqrt(len(w)))
            a = self.act(w * a)
        rest = a - self.target
        self.gradient = max(self.gradient, rest.norm().item(), *factors)
        return rest.square().sum() / 2

    def step(self, rate: float) -> None:
        (grad,) = torch.autograd.grad(self.loss(self.weights), self.weights)
        self.norms.append(grad.norm(dim=1))
        with torch.no_grad():
            self.weights -= rate * grad


@pytest.mark.parametrize("layers", [1, 3, 6])
@pytest.mark.parametrize("elements", [1, 4, 16])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_theorem_1_holds_for_real_training(layers, elements, seed):
    rate, steps = 0.05, 40
    exact, signed = (Chain(seed, layers, elements, kind) for kind in (False, True))
    for _ in range(steps):
        for chain in (exact, signed):
            chain.step(rate)
    gradient = max(exact.gradient, signed.gradient)
    # as the docstring reads the proof: layer l's gradient is at most G psi^(L - l + 1)
    for chain, slope in ((exact, 1.5), (signed, 1.0)):
        psi = slope * math.sqrt(elements) * gradient
        limits = gradient * torch.tensor([psi ** (layers - layer) for layer in range(layers)], dtype=torch.float64)
        assert all(bool((norms <= limits).all()) for norms in chain.norms)
    ends = [chain.weights.detach() for chain in (exact, signed)]
    lipschitz = max(
        torch.autograd.grad(exact.loss(w), w)[0].norm().item()
        for t in torch.linspace(0, 1, 101, dtype=torch.float64)
        for w in [(ends[0] + t * (ends[1] - ends[0])).requires_grad_()]
    )
    distance = abs(exact.loss(ends[0]) - exact.loss(ends[1])).item()
    bound = loss_distance_bound(rate, 1.01 * lipschitz, steps, gradient, layers, elements)
    assert 0 < distance <= bound
    assert (ends[0] - ends[1]).norm().item() <= bound / lipschitz
