"""Our Adam against torch's, step for step."""

import pytest
import torch
from torch import nn

from edgewise.core.errors import EdgewiseError
from edgewise.cost.dry import Watch
from edgewise.train.adam import Adam


def test_equals_torch_adam_over_many_steps_with_two_rates():
    torch.manual_seed(0)
    ours = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3)).double()
    theirs = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3)).double()
    theirs.load_state_dict(ours.state_dict())
    named = list(ours.named_parameters())
    adam = Adam({"main": named[:2], "side": named[2:]})
    twin = torch.optim.Adam([{"params": theirs[0].parameters()}, {"params": theirs[2].parameters()}])
    for step in range(50):
        rates = {"main": 1e-2 / (step + 1), "side": 3e-3}
        for group, rate in zip(twin.param_groups, rates.values(), strict=True):
            group["lr"] = rate
        x = torch.randn(4, 5, dtype=torch.double)
        for model in (ours, theirs):
            model(x).square().sum().backward()
        adam.step(rates)
        twin.step()
        twin.zero_grad()
        for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_equals_torch_adam_in_the_floats_of_training(layout):
    """The gradients are given: from the parameters' own, roundings would grow from step to step."""
    torch.manual_seed(0)
    ours, theirs = (nn.Conv2d(5, 7, 3), nn.Conv2d(5, 7, 3))
    theirs.load_state_dict(ours.state_dict())
    ours, theirs = ours.to(memory_format=layout), theirs.to(memory_format=layout)
    adam, twin = Adam({"main": list(ours.named_parameters())}), torch.optim.Adam(theirs.parameters(), lr=1e-2)
    for _ in range(50):
        for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
            a.grad = torch.randn_like(a)
            b.grad = a.grad.clone()
        adam.step({"main": 1e-2})
        twin.step()
    for (name, a), b in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(adam.first[name], twin.state[b]["exp_avg"], rtol=1e-5, atol=1e-7)
        torch.testing.assert_close(adam.second[name], twin.state[b]["exp_avg_sq"], rtol=1e-5, atol=1e-9)


def test_leaves_parameters_without_gradient_alone_and_drops_gradients():
    a, b = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    adam = Adam({"main": [("a", a), ("b", b)]})
    a.grad = torch.ones(2)
    adam.step({"main": 0.1})
    assert a.grad is None
    torch.testing.assert_close(a.detach(), torch.full((2,), 0.9))
    assert torch.equal(b.detach(), torch.ones(2))


def test_state_moves_to_another_instance():
    def trained(first: int, second: int) -> tuple[torch.Tensor, Adam]:
        p = nn.Parameter(torch.linspace(0, 1, 4))
        adam = Adam({"main": [("p", p)]})
        for step in range(first):
            p.grad = torch.full((4,), float(step + 1))
            adam.step({"main": 0.01})
        if second:
            fresh = Adam({"main": [("p", p)]})
            for name, tensor in fresh.tensors().items():
                tensor.copy_(adam.tensors()[name])
            fresh.steps = adam.steps
            for step in range(first, first + second):
                p.grad = torch.full((4,), float(step + 1))
                fresh.step({"main": 0.01})
        return p.detach(), adam

    assert torch.equal(trained(5, 0)[0], trained(2, 3)[0])


def test_a_step_predicts_no_memory_of_its_own():
    layer = nn.Conv2d(4, 8, 3, device="meta").to(memory_format=torch.channels_last)
    adam = Adam({"main": list(layer.named_parameters())})
    for parameter in layer.parameters():
        parameter.grad = torch.empty_like(parameter)
    with Watch() as watch:
        adam.step({"main": 0.1})
    assert watch.timeline.samples == []


def test_an_update_inside_the_backward_pass_is_refused_among_processes():
    layer = nn.Linear(2, 1)
    adam = Adam({"main": list(layer.named_parameters())})
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        with pytest.raises(EdgewiseError, match=r"call Adam\.step after it"), adam.during_backward({"main": 0.1}):
            pass
    finally:
        torch.distributed.destroy_process_group()
    with adam.during_backward({"main": 0.1}):
        layer(torch.ones(1, 2)).sum().backward()
    assert adam.steps == 1
