"""Measured, not assumed: kept bytes of cases that can be counted by hand."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from edgewise.core.surgery import digest
from edgewise.cost import cost
from edgewise.cost.kept import KeptBytes
from edgewise.cost.macs import macs_forward


def kept(model, x):
    with KeptBytes([x, *model.parameters(), *model.buffers()]) as counter:
        model(x).sum()
    return counter.total


def test_linear_relu_linear_by_hand():
    model = nn.Sequential(nn.Linear(10, 20), nn.ReLU(), nn.Linear(20, 5))
    # The first linear keeps the input (not counted); ReLU keeps its output, which the second linear shares.
    assert kept(model, torch.randn(7, 10)) == 7 * 20 * 4


def test_nothing_is_kept_when_only_the_head_trains():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 5))
    model[0].requires_grad_(False)
    assert kept(model, torch.randn(2, 3, 8, 8)) == 2 * 8 * 36 * 4


def test_a_frozen_convolution_still_keeps_its_input_in_stock_torch():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3))
    model[0].weight.requires_grad_(False)
    model[1].requires_grad_(False)
    assert kept(model, torch.randn(2, 3, 8, 8)) == 2 * 8 * 36 * 4


def test_a_storage_counts_once_however_often_it_is_saved():
    x = torch.randn(4, 4, requires_grad=True)
    with KeptBytes() as counter:
        (x[:2].exp() * x[2:]).sum() + (x * x).sum()
    assert counter.total == 4 * 4 * 4 + 2 * 4 * 4


def test_macs_by_hand_and_the_model_comes_back():
    convolutions = nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.Conv2d(8, 8, 3, groups=8)
    model = nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(32, 5))
    model[0].train()
    model[1].eval()
    assert macs_forward(model, (3, 8, 8)) == 8 * 16 * 27 + 8 * 4 * 9 + 5 * 32
    assert [m.training for m in model[:2]] == [True, False]
    assert not model[0]._forward_hooks


def test_cost_leaves_the_model_and_the_random_state_alone():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), nn.Flatten(), nn.Linear(4 * 36, 3))
    before = digest(model.state_dict())
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    measured = cost(model, (2, 3, 8, 8))
    assert torch.equal(torch.rand(1), expected)
    assert digest(model.state_dict()) == before
    assert all(p.grad is None for p in model.parameters())
    assert measured.trainable_params == sum(p.numel() for p in model.parameters())
    assert measured.kept_mb > 0
    assert measured.step_ms > 0
    assert "kept for backward" in str(measured)


ALLOCATE = """
from edgewise.cost.resident import forget_highest, highest_resident, resident
if resident() is None or not forget_highest():
    print("nothing")
    raise SystemExit
base = highest_resident()
block = bytearray(64_000_000)
block[::4096] = b"x" * len(block[::4096])
grown = highest_resident() - base
del block
print(grown, highest_resident() - base)
"""


def test_resident_follows_a_real_allocation():
    """In a process of its own: another would take the block from what it has, and not grow."""
    said = subprocess.run([sys.executable, "-c", ALLOCATE], capture_output=True, text=True, check=True).stdout
    if said.strip() == "nothing":
        pytest.skip("this system does not tell a process its resident size")
    grown, afterwards = map(int, said.split())
    assert 60e6 < grown < 80e6
    assert afterwards > 60e6, "the highest mark stays"
