"""What a mask leaves out, counted by hand on a network of three convolutions and a head."""

import pytest
import torch
from torch import nn

from edgewise.adapt import METHODS, Mask, adapt
from edgewise.backbones import load
from edgewise.core.errors import UsageError
from edgewise.cost.macs import macs_forward
from edgewise.cost.sparsity import Sparsity, sparsity
from edgewise.layers.masked_conv import MaskedConv2d, put_mask

# An image of 8 x 8: multiply-adds of each layer, and positions of its result times one weight.
FULL, GROUPED, DEPTHWISE, HEAD = 16 * 4 * 3 * 9, 16 * 4 * 2 * 9, 4 * 4 * 9, 4 * 5
DENSE = FULL + GROUPED + DEPTHWISE + HEAD
WEIGHTS = 4 * 3 * 9 + 4 * 2 * 9 + 4 * 9 + 4 * 5


def network(granularity, masked=("0", "1", "2")):
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2, padding=1),
        nn.Conv2d(4, 4, 3, padding=1, groups=2),
        nn.Conv2d(4, 4, 3, stride=2, padding=1, groups=4),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 5),
    )
    for name in masked:
        put_mask(model.get_submodule(name), MaskedConv2d, granularity)
    return model


def counted(model):
    return sparsity(model, (3, 8, 8))


@pytest.mark.parametrize("granularity", ["kernel", "weight"])
def test_a_mask_of_ones_leaves_nothing_out(granularity):
    assert counted(network(granularity)) == Sparsity(0, 0, DENSE, DENSE, DENSE)


def test_scattered_kernels_save_nothing_in_a_plain_runtime():
    model = network("kernel")
    with torch.no_grad():
        for filter, channel in ((0, 0), (1, 1), (2, 2)):
            model[0].mask_scores[filter, channel] = -1
    # 12 + 8 + 4 kernels have a score
    assert counted(model) == Sparsity(3 / 24, 27 / WEIGHTS, DENSE, DENSE - 16 * 27, DENSE)


def test_whole_filters_and_channels_make_the_layer_smaller():
    model = network("kernel")
    with torch.no_grad():
        model[0].mask_scores[1] = -1  # a filter of three kernels
        model[0].mask_scores[:, 2] = -1  # a channel that no filter reads: four kernels, one of them counted
    # three filters of two channels stay of four of three
    assert counted(model) == Sparsity(6 / 24, 6 * 9 / WEIGHTS, DENSE, DENSE - 16 * 6 * 9, DENSE - FULL + 16 * 3 * 2 * 9)


def test_groups_are_smaller_each_for_itself():
    model = network("kernel")
    with torch.no_grad():
        # the first group has filters 0 and 1, the second 2 and 3; two channels each
        model[1].mask_scores[0] = -1
        model[1].mask_scores[2, 0] = model[1].mask_scores[3, 1] = -1
        model[2].mask_scores[3] = -1  # a depthwise kernel is a filter and a channel
    left = DENSE - 16 * 4 * 9 - 4 * 9
    assert counted(model) == Sparsity(5 / 24, 5 * 9 / WEIGHTS, DENSE, left, DENSE - 16 * 2 * 9 - 4 * 9)


def test_single_weights_count_singly_and_rarely_empty_a_kernel():
    model = network("weight")
    with torch.no_grad():
        model[0].mask_scores[0, 0, 0] = 0.0049  # three weights of a kernel
        model[2].mask_scores[1] = -1
    scores = WEIGHTS - HEAD
    assert counted(model) == Sparsity(12 / scores, 12 / WEIGHTS, DENSE, DENSE - 16 * 3 - 4 * 9, DENSE - 4 * 9)


def test_a_layer_without_a_mask_counts_as_the_network_only():
    model = network("kernel", masked=["2"])
    with torch.no_grad():
        model[2].mask_scores.fill_(-1)
    assert counted(model) == Sparsity(1, 36 / WEIGHTS, DENSE, DENSE - DEPTHWISE, DENSE - DEPTHWISE)


class Fussy(nn.Module):
    """Runs its convolution twice, and the second time not on a batch of none."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)
        put_mask(self.conv, MaskedConv2d, "kernel")

    def forward(self, x):
        x = self.conv(x)
        assert len(x)
        return self.conv(x)


def test_calls_add_up_and_a_run_that_failed_does_not_count():
    model = Fussy().train()
    with torch.no_grad():
        model.conv.mask_scores[0, 0] = -1
    assert counted(model) == Sparsity(1 / 9, 1 / 9, 2 * 64 * 9, 2 * 64 * 8, 2 * 64 * 9)
    assert model.training
    assert not model.conv._forward_hooks


@pytest.mark.parametrize("method", ["mask", "repnet+mask"])
def test_of_an_adapted_network(method):
    model = adapt(load("mobilenet_v2", weights="none", width=0.35, image_size=64), METHODS[method](), ["a", "b"])
    with torch.no_grad():
        for name in model.groups["mask"]:
            model.get_parameter(name)[::4] = -1  # every fourth filter
    found = sparsity(model, (3, 64, 64))
    assert found.macs_dense == macs_forward(model, (3, 64, 64))
    assert 0.24 < found.of_masked < 0.27
    assert 0 < found.of_network < found.of_masked / 2
    assert found.macs_plain_runtime == found.macs_without_zeros < found.macs_dense


def test_nothing_masked_is_said():
    with pytest.raises(UsageError, match=r"has no masked convolution.*--method mask or repnet\+mask"):
        sparsity(adapt(load("pocket"), METHODS["last"](), ["a", "b"]), (3, 32, 32))
    assert sparsity(adapt(load("pocket"), Mask(), ["a", "b"]), (3, 32, 32)).of_masked == 0
