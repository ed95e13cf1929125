"""SR-STE: one N:M network trained by itself (Zhou et al., Learning N:M Fine-grained Structured Sparse Networks, 2021).

    forward     with the N largest weights of every group                            chosen anew at every step
    gradient    of all weights: grad with respect to the kept ones, straight through, + lambda (1 - mask) w     Eq. 9

Weights that are cut can come back; the second term draws them towards 0, so that masks settle.  lambda is 2e-4.
Deviation: none.  The baseline of Table 12, which trains each pattern at the price of a whole run.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from edgewise.subnets.alternating import gradients_of
from edgewise.subnets.network import SubNets
from edgewise.train.sgd import Sgd

LAMBDA = 2e-4


class SrSte:
    """A `Trainer` of the only sub-net of ``net``, whose pattern is an `NM`."""

    def __init__(self, net: SubNets, decay: float = 0.0, lam: float = LAMBDA) -> None:
        assert len(net.names) == 1, net.names
        self.net, self.lam, self.steps = net, lam, 0
        self.sgd = Sgd({"main": list(net.named_parameters())}, decay=decay)
        self._choose()

    def turns(self) -> tuple[int, ...]:
        return (0,)

    @contextmanager
    def during_backward(self, rates: Mapping[str, float]) -> Iterator[None]:
        self.net.dense_gradients(True)
        yield
        self.net.dense_gradients(False)
        self._draw()
        self.sgd.step(rates)
        self._choose()
        self.steps += 1

    def tensors(self) -> Mapping[str, Tensor]:
        return self.sgd.tensors()

    def measures(self) -> dict[str, Any]:
        """Nothing: there are no other sub-nets to be in conflict with."""
        return {"products": {}, "worst_cosine": 0.0}

    @torch.no_grad()
    def _draw(self) -> None:
        weights, masks = self.net.weights(), self.net.masks(0)
        for name, gradient in gradients_of(self.net).items():
            gradient.add_(torch.where(masks[name], 0, weights[name]), alpha=self.lam)

    def _choose(self) -> None:
        self.net.put(0, self.net.patterns[0].pruned(self.net.weights(), 1.0))
