"""Stochastic gradient descent with momentum and weight decay, for training whole networks as their papers did.

Our own for the reason `edgewise.train.adam` gives, and equal to ``torch.optim.SGD`` step for step (see the twin test):

    d <- gradient + decay w        v <- momentum v + d        w <- w - rate v
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Sgd:
    """Velocities of the parameters in ``groups``: group name to named parameters.

    Plain momentum, no dampening; the decay is on every parameter, norms and biases too.  ``moving`` gives masks of some
    parameters, by name, at each step: where one is false, neither weight nor velocity changes (a weight that is zero
    in the forward pass has no gradient, and decay and momentum would move it all the same).
    """

    def __init__(
        self,
        groups: Mapping[str, Sequence[tuple[str, nn.Parameter]]],
        momentum: float = 0.9,
        decay: float = 0.0,
        moving: Callable[[], Mapping[str, Tensor]] = dict,
    ) -> None:
        self.groups = {group: list(parameters) for group, parameters in groups.items()}
        self.momentum, self.decay, self.moving, self.steps = momentum, decay, moving, 0
        self.velocity = {
            name: torch.zeros_like(parameter) for parameters in self.groups.values() for name, parameter in parameters
        }

    @torch.no_grad()
    def step(self, rates: Mapping[str, float]) -> None:
        """Update every parameter that has a gradient, at its group's rate, and drop the gradients."""
        self.steps += 1
        masks = self.moving()
        for group, parameters in self.groups.items():
            for name, parameter in parameters:
                if parameter.grad is not None:
                    slope, velocity = parameter.grad.add_(parameter, alpha=self.decay), self.velocity[name]
                    if name in masks:
                        velocity.copy_(torch.where(masks[name], velocity * self.momentum + slope, velocity))
                        parameter.sub_(velocity * masks[name], alpha=rates[group])
                    else:
                        parameter.sub_(velocity.mul_(self.momentum).add_(slope), alpha=rates[group])
                    parameter.grad = None

    @contextmanager
    def during_backward(self, rates: Mapping[str, float]) -> Iterator[None]:
        """Inside, one ``backward()``; then a `step`.  (Every gradient exists at once, unlike with Adam here.)"""
        yield
        self.step(rates)

    def tensors(self) -> dict[str, Tensor]:
        """The live velocities, by ``velocity/NAME``."""
        return {f"velocity/{name}": tensor for name, tensor in self.velocity.items()}
