"""Adam (Kingma & Ba, 2015, Algorithm 1) with named learning-rate groups.

Our own because constructing any ``torch.optim`` optimizer imports the compiler stack, tens of
megabytes that a small device pays for nothing.  Equal to ``torch.optim.Adam`` step for step (see
the twin test); no weight decay, as in every experiment of the papers.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn

from edgewise.core.errors import EdgewiseError

BETA1, BETA2, EPS = 0.9, 0.999, 1e-8


class Adam:
    """Moments of the parameters in ``groups``: group name to named parameters."""

    def __init__(self, groups: Mapping[str, Sequence[tuple[str, nn.Parameter]]]) -> None:
        self.groups = {group: list(parameters) for group, parameters in groups.items()}
        self.steps = 0
        self.first = {name: torch.zeros_like(p) for name, p in self._named()}
        self.second = {name: torch.zeros_like(p) for name, p in self._named()}

    def step(self, rates: Mapping[str, float]) -> None:
        """Update every parameter that has a gradient, at its group's rate, and drop the gradients."""
        self.steps += 1
        for group, parameters in self.groups.items():
            for name, parameter in parameters:
                self._update(name, rates[group], parameter)

    @contextmanager
    def during_backward(self, rates: Mapping[str, float]) -> Iterator[None]:
        """Inside, one ``backward()`` updates each parameter as soon as its gradient is complete, and drops it.

        Same result as `step` after it, but the gradients never exist all at once.  Not for
        gradients that are looked at together first (clipping, correction, averaging over processes).

        Raises `EdgewiseError` in one of several processes that train together.
        """
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            raise EdgewiseError(
                "This process belongs to a group that averages gradients before a step, so a parameter cannot be "
                "updated while the backward pass still runs: call Adam.step after it."
            )
        self.steps += 1
        handles = [
            parameter.register_post_accumulate_grad_hook(partial(self._update, name, rates[group]))
            for group, parameters in self.groups.items()
            for name, parameter in parameters
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    @torch.no_grad()
    def _update(self, name: str, rate: float, parameter: Tensor) -> None:
        gradient = parameter.grad
        if gradient is None:
            return
        first, second = self.first[name], self.second[name]
        first.lerp_(gradient, 1 - BETA1)
        second.mul_(BETA2).addcmul_(gradient, gradient, value=1 - BETA2)
        denominator = second.sqrt().div_(math.sqrt(1 - BETA2**self.steps)).add_(EPS)
        parameter.addcdiv_(first, denominator, value=-rate / (1 - BETA1**self.steps))
        parameter.grad = None

    def tensors(self) -> dict[str, Tensor]:
        """The live moments, by ``first/NAME`` and ``second/NAME``."""
        return {
            **{f"first/{name}": tensor for name, tensor in self.first.items()},
            **{f"second/{name}": tensor for name, tensor in self.second.items()},
        }

    def _named(self) -> list[tuple[str, nn.Parameter]]:
        return [pair for parameters in self.groups.values() for pair in parameters]
