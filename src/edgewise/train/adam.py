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
from edgewise.native import adam_
from edgewise.train.moments import WORTH_CODING, Moment8, flat, pieces

BETA1, BETA2, EPS = 0.9, 0.999, 1e-8


class Adam:
    """Moments of the parameters in ``groups``: group name to named parameters.

    With ``bits`` 8 the moments of large parameters are held in 8 bits (`edgewise.train.moments`), and floats
    of them exist for a piece of one parameter at a time.
    """

    def __init__(self, groups: Mapping[str, Sequence[tuple[str, nn.Parameter]]], bits: int = 32) -> None:
        self.groups = {group: list(parameters) for group, parameters in groups.items()}
        self.steps = 0
        coded = {name: p for name, p in self._named() if bits == 8 and p.numel() >= WORTH_CODING}
        self.coded = {
            name: (Moment8(p.numel(), True, p.device), Moment8(p.numel(), False, p.device)) for name, p in coded.items()
        }
        self.first = {name: torch.zeros_like(p) for name, p in self._named() if name not in coded}
        self.second = {name: torch.zeros_like(p) for name, p in self._named() if name not in coded}

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
        if name in self.coded:
            self._update_coded(self.coded[name], rate, parameter, gradient)
        else:
            self._move(self.first[name], self.second[name], gradient, parameter, rate)
        parameter.grad = None

    def _update_coded(self, moments: tuple[Moment8, Moment8], rate: float, parameter: Tensor, gradient: Tensor) -> None:
        """A piece at a time, so that moments in floats take next to nothing."""
        if gradient.stride() != parameter.stride():
            gradient = torch.empty_like(parameter).copy_(gradient)
        numbers, slopes = flat(parameter), flat(gradient)
        for start, end in pieces(len(numbers)):
            first, second = (moment.decoded(start, end) for moment in moments)
            self._move(first, second, slopes[start:end], numbers[start:end], rate)
            for moment, values in zip(moments, (first, second), strict=True):
                moment.encode(start, values)

    def _move(self, first: Tensor, second: Tensor, gradient: Tensor, parameter: Tensor, rate: float) -> None:
        adam_(
            parameter,
            gradient,
            first,
            second,
            rate=rate / (1 - BETA1**self.steps),
            correction=math.sqrt(1 - BETA2**self.steps),
            beta1=BETA1,
            beta2=BETA2,
            eps=EPS,
        )

    def tensors(self) -> dict[str, Tensor]:
        """The live moments, by ``first/NAME`` and ``second/NAME`` (``…/codes`` and ``…/largest`` in 8 bits)."""
        return {
            **{f"first/{name}": tensor for name, tensor in self.first.items()},
            **{f"second/{name}": tensor for name, tensor in self.second.items()},
            **{
                f"{which}/{name}/{part}": tensor
                for name, moments in self.coded.items()
                for which, moment in zip(("first", "second"), moments, strict=True)
                for part, tensor in moment.tensors().items()
            },
        }

    def _named(self) -> list[tuple[str, nn.Parameter]]:
        return [pair for parameters in self.groups.values() for pair in parameters]
