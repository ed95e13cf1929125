"""Our SGD against torch's, step for step."""

import torch
from torch import nn

from edgewise.train.schedule import steps
from edgewise.train.sgd import Sgd


def pair(dtype):
    torch.manual_seed(0)
    ours, theirs = (nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 3)).to(dtype) for _ in "ab")
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


def test_equals_torch_sgd_with_momentum_and_decay_at_two_changing_rates():
    ours, theirs = pair(torch.double)
    named = list(ours.named_parameters())
    sgd = Sgd({"main": named[:2], "side": named[2:]}, momentum=0.9, decay=3e-4)
    others = list(theirs.parameters())
    twin = torch.optim.SGD([{"params": others[:2]}, {"params": others[2:]}], lr=0.1, momentum=0.9, weight_decay=3e-4)
    for step in range(40):
        rates = {"main": 0.1 / (step + 1), "side": 0.02}
        for group, rate in zip(twin.param_groups, rates.values(), strict=True):
            group["lr"] = rate
        x = torch.randn(4, 3, 8, 8, dtype=torch.double)
        with sgd.during_backward(rates):
            ours(x).square().mean().backward()
        theirs(x).square().mean().backward()
        twin.step()
        twin.zero_grad()
        for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)
    assert all(p.grad is None for p in ours.parameters())
    assert sgd.steps == 40
    for (name, _), p in zip(named, others, strict=True):
        torch.testing.assert_close(sgd.tensors()[f"velocity/{name}"], twin.state[p]["momentum_buffer"])


def test_leaves_parameters_without_gradient_alone():
    a, b = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    sgd = Sgd({"main": [("a", a), ("b", b)]}, decay=0.5)
    a.grad = torch.ones(2)
    sgd.step({"main": 0.1})
    torch.testing.assert_close(a.detach(), torch.full((2,), 1 - 0.1 * 1.5))
    assert torch.equal(b.detach(), torch.ones(2))


def test_the_steps_of_the_schedule():
    assert [round(steps(p), 6) for p in (0.0, 0.39, 0.4, 0.6, 0.79, 0.8, 1.0)] == [
        1, 1, 0.1, 0.01, 0.01, 0.005, 0.005,
    ]  # fmt: skip


def test_where_a_mask_is_false_neither_weight_nor_velocity_moves():
    """Equal to torch's where it is true, decay and momentum included."""
    torch.manual_seed(0)
    ours, theirs = (nn.Parameter(torch.arange(6.0, dtype=torch.double)) for _ in "ab")
    mask = torch.tensor([True, False, True, True, False, False])
    sgd = Sgd({"main": [("a", ours)]}, momentum=0.9, decay=0.1, moving=lambda: {"a": mask})
    twin = torch.optim.SGD([theirs], lr=0.1, momentum=0.9, weight_decay=0.1)
    for _ in range(5):
        slope = torch.randn(6, dtype=torch.double)
        ours.grad, theirs.grad = slope.clone(), slope.clone()
        sgd.step({"main": 0.1})
        twin.step()
    torch.testing.assert_close(ours[mask], theirs[mask], rtol=1e-12, atol=1e-14)
    assert ours[~mask].tolist() == [1, 4, 5]
    assert not sgd.velocity["a"][~mask].any()
