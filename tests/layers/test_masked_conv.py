"""Masks by hand, against a twin written out in plain torch, and what they keep."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edgewise.core.surgery import Folds
from edgewise.cost.kept import KeptBytes
from edgewise.cost.published import published
from edgewise.layers.masked_conv import START, STEPS, MaskedConv2d, masked, put_mask

GRANULARITIES = ("kernel", "weight")


def layer(granularity, **settings):
    conv = nn.Conv2d(4, 6, 3, padding=1, **settings).double()
    conv.requires_grad_(False)
    put_mask(conv, MaskedConv2d, granularity)
    conv.mask_scores.requires_grad_(True)
    return conv


def scored(conv, seed=0):
    """Scores on both sides of the threshold, and one of them at it."""
    with torch.no_grad():
        conv.mask_scores.uniform_(-0.02, 0.03, generator=torch.Generator().manual_seed(seed))
        conv.mask_scores[0, 0, 0, 0] = STEPS[conv.granularity].threshold
    return conv


@pytest.mark.parametrize(
    ("granularity", "scores", "kept"),
    [
        # thresholds: 0 for kernels, 0.005 for weights; a score at its threshold keeps
        ("kernel", [0.01, 0.0, -1e-9, 5e-3], [1, 1, 0, 1]),
        ("weight", [0.01, 0.0, 4.999e-3, 5e-3], [1, 0, 0, 1]),
    ],
)
def test_the_step_at_its_boundary(granularity, scores, kept):
    scores = torch.tensor(scores, dtype=torch.float64).view(4, 1, 1, 1)
    weight = torch.tensor([2.0, -3.0, 5.0, -7.0], dtype=torch.float64).view(4, 1, 1, 1)
    found = masked(weight, scores, STEPS[granularity])
    assert found.flatten().tolist() == [w * k for w, k in zip([2.0, -3.0, 5.0, -7.0], kept, strict=True)]


def test_one_score_takes_a_whole_kernel_and_no_other():
    weight = torch.arange(1.0, 2 * 3 * 4 + 1).view(2, 3, 2, 2)
    scores = torch.full((2, 3, 1, 1), START)
    scores[0, 1], scores[1, 2] = -0.1, -0.1
    found = masked(weight, scores, STEPS["kernel"])
    expected = weight.clone()
    expected[0, 1], expected[1, 2] = 0, 0
    assert torch.equal(found, expected)
    assert int((found == 0).sum()) == 2 * 4


def test_gradients_of_kernel_scores_by_hand():
    """d score = sum over the kernel of (gradient · weight), times 120 s (1 - s) with s = sigmoid(120 · score)."""
    weight = torch.tensor([[[[1.0, -2.0]], [[3.0, 4.0]]]], dtype=torch.float64)  # two kernels of two
    scores = torch.tensor([0.01, -0.02], dtype=torch.float64).view(1, 2, 1, 1).requires_grad_(True)
    grad = torch.tensor([[[[10.0, 1.0]], [[-1.0, 2.0]]]], dtype=torch.float64)
    masked(weight, scores, STEPS["kernel"]).backward(grad)
    s = [1 / (1 + 2.718281828459045 ** (-120 * score)) for score in (0.01, -0.02)]
    expected = [(10 - 2) * 120 * s[0] * (1 - s[0]), (-3 + 8) * 120 * s[1] * (1 - s[1])]
    assert scores.grad.flatten().tolist() == pytest.approx(expected, rel=1e-12)
    assert expected[1] != 0, "what is masked out learns too, and can come back"


def test_gradients_of_weight_scores_pass_straight_through_by_hand():
    weight = torch.tensor([1.0, -2.0, 3.0]).view(3, 1, 1, 1)
    scores = torch.tensor([0.01, -0.02, 0.0]).view(3, 1, 1, 1).requires_grad_(True)
    masked(weight, scores, STEPS["weight"]).backward(torch.tensor([10.0, 1.0, -1.0]).view(3, 1, 1, 1))
    assert scores.grad.flatten().tolist() == [10.0, -2.0, -3.0]


def twin(x, weight, scores, granularity, bias=None, **settings):
    """The layer with a mask that is hard forward and soft backward, in torch's own functions."""
    if granularity == "kernel":
        soft = torch.sigmoid(scores * 1200 / 10)
        hard = (soft >= 0.5).to(scores)
    else:
        soft = scores
        hard = (scores >= 5e-3).to(scores)
    return F.conv2d(x, weight * (hard + (soft - soft.detach())), bias, **settings)


@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.parametrize("settings", [{}, {"groups": 2, "stride": 2}, {"bias": False, "dilation": 2}], ids=str)
def test_the_layer_and_its_twin(granularity, settings):
    conv = scored(layer(granularity, **settings))
    conv.weight.requires_grad_(True)
    x = torch.randn(3, 4, 7, 7, dtype=torch.float64, requires_grad=True)
    y = conv(x)
    geometry = {"padding": 1, "stride": conv.stride, "groups": conv.groups, "dilation": conv.dilation}
    expected = twin(x, conv.weight, conv.mask_scores, granularity, conv.bias, **geometry)
    torch.testing.assert_close(y, expected)
    assert 0 < int(conv.kept().sum()) < conv.mask_scores.numel()
    grad, leaves = torch.randn_like(y), [x, conv.weight, conv.mask_scores]
    for mine, theirs in zip(
        torch.autograd.grad(y, leaves, grad), torch.autograd.grad(expected, leaves, grad), strict=True
    ):
        assert mine.shape == theirs.shape
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_in_the_weight_it_is_differentiable_as_it_stands(granularity):
    conv = scored(layer(granularity))
    weight = conv.weight.detach().clone().requires_grad_(True)
    scores = conv.mask_scores.detach()
    assert torch.autograd.gradcheck(lambda w: masked(w, scores, STEPS[granularity]), weight)


@pytest.mark.parametrize("start", [0.02, -0.02])
@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_it_finds_which_kernels_an_answer_is_made_of(granularity, start):
    """The target uses two kernels of four; the others are left out, and the two come back where they were out."""
    torch.manual_seed(0)
    conv = nn.Conv2d(4, 1, 1, bias=False).requires_grad_(False)
    put_mask(conv, MaskedConv2d, granularity)
    target = conv.weight * torch.tensor([1.0, 0, 1, 0]).view(1, 4, 1, 1)
    conv.mask_scores.data.fill_(start)
    optimizer = torch.optim.Adam([conv.mask_scores.requires_grad_(True)], 1e-3)
    for _ in range(300):
        images = torch.randn(8, 4, 5, 5)
        optimizer.zero_grad()
        (conv(images) - F.conv2d(images, target)).square().mean().backward()
        optimizer.step()
    assert conv.kept().flatten().tolist() == [True, False, True, False]


@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_nothing_is_kept_for_the_mask(granularity):
    conv = layer(granularity)
    with KeptBytes([conv.weight, conv.mask_scores]) as kept:
        result = conv.masked_weight()
    assert kept.total == 0
    assert result.requires_grad


@pytest.mark.parametrize(("granularity", "scores"), [("kernel", 6 * 2), ("weight", 6 * 2 * 9)])
def test_the_published_formula_counts_a_mask_as_a_weight(granularity, scores):
    """Its input is kept where its scores train; weights are frozen bytes, scores trained floats."""
    conv = nn.Conv2d(4, 6, 3, groups=2, bias=False).requires_grad_(False)
    put_mask(conv, MaskedConv2d, granularity)
    for trains in True, False:
        found = published(conv.requires_grad_(trains), (1, 4, 10, 10))
        assert found.kept_bytes == trains * 4 * 400
    conv.mask_scores.requires_grad_(True)
    assert published(conv, (1, 4, 10, 10)).parameters_bytes == 6 * 2 * 9 + 4 * scores


@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_a_masked_layer_is_the_layer_that_was_there(granularity):
    conv, images = nn.Conv2d(4, 6, 3, groups=2, padding=1), torch.randn(2, 4, 5, 5)
    before, weight, state = conv(images), conv.weight, conv.state_dict()
    conv.register_forward_hook(lambda layer, args, output: output + 1)
    put_mask(conv, MaskedConv2d, granularity)
    assert torch.equal(conv(images), before + 1)
    assert conv.weight is weight
    assert set(conv.state_dict()) == {*state, "mask_scores"}
    assert conv.mask_scores.shape == ((6, 2, 1, 1) if granularity == "kernel" else (6, 2, 3, 3))
    assert torch.equal(conv.mask_scores, torch.full_like(conv.mask_scores, 0.01))
    assert bool(conv.kept().all())


@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_folded_is_plain_and_computes_the_same(granularity):
    conv = scored(layer(granularity, groups=2, stride=2, padding_mode="reflect"))
    assert isinstance(conv, Folds)
    before, weight = copy.deepcopy(conv.state_dict()), conv.weight.clone()
    plain, images = conv.folded(), torch.randn(2, 4, 6, 6, dtype=torch.float64)
    assert type(plain) is nn.Conv2d
    assert torch.equal(plain(images), conv(images))
    assert int((plain.weight == 0).sum()) == int((~conv.kept()).expand_as(weight).sum()) > 0
    assert torch.equal(conv.weight, weight), "the masked layer itself stays"
    assert set(conv.state_dict()) == set(before)


def test_a_class_nobody_knows_is_not_changed():
    class Strange(nn.Conv2d):
        pass

    with pytest.raises(AssertionError, match="Strange is not Conv2d"):
        put_mask(Strange(3, 4, 1), MaskedConv2d, "kernel")
