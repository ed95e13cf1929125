"""Alternating sparse training (AST, dissertation, Section 3.3): sub-nets take turns, one mini-batch each.

    step t: sub-net n = t mod N           one pass forward and backward, as for one network
            its masks change if due       by the dense gradient of this very batch
            gradient <- gradient o mask_n
            gradient <- corrected          against that of the sub-net before, within a group of N steps (Eq. 3.4)
            SGD moves the weights of mask_n

With one sub-net there is no group, and this is the training of one sparse network (GraNet, MEST).

Deviations from the released code, whose faults `tests/subnets/test_traps.py` names: the previous gradient is the
previous sub-net's; regrowth sees dormant weights; decay and momentum leave weights alone that the sub-net does not
have (``only_active``); velocities of weights that no sub-net has any more are dropped.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from edgewise.subnets.correction import corrected, cosine
from edgewise.subnets.growth import Growth
from edgewise.subnets.network import SubNets
from edgewise.train.sgd import Sgd

LEVEL = -1e-6  # a cosine below this is a conflict that is left


class Alternating:
    """A `Trainer` whose turns go round.

    ``steps_in_all`` is the run's; ``gc``: correct gradients.  ``only_active``: nothing of the weights moves that the
    present sub-net does not have.  ``emptied``: weights that no sub-net has are 0, as where there is only one.
    """

    def __init__(
        self,
        net: SubNets,
        growth: Growth,
        steps_in_all: int,
        gc: bool = True,
        only_active: bool = True,
        emptied: bool = False,
        decay: float = 0.0,
    ) -> None:
        self.net, self.growth, self.steps_in_all = net, growth, steps_in_all
        self.gc, self.only_active, self.emptied, self.steps = gc, only_active, emptied, 0
        self.sgd = Sgd({"main": list(net.named_parameters())}, decay=decay, moving=self._moving)
        several = len(net.names) > 1
        self.previous = {name: torch.zeros_like(weight) for name, weight in net.weights().items()} if several else {}
        # of consecutive sub-nets, layer by layer: pairs, conflicts before and after; by the second one's number
        self.products = torch.zeros(len(net.names), 3, dtype=torch.int64)
        self.worst = torch.zeros(1, dtype=torch.float64)

    def turns(self) -> tuple[int, ...]:
        return (self.steps % len(self.net.names),)

    @contextmanager
    def during_backward(self, rates: Mapping[str, float]) -> Iterator[None]:
        (turn,), net = self.turns(), self.net
        due = self.growth.due(turn, self.steps // len(net.names))
        net.dense_gradients(due is not None)
        yield
        net.dense_gradients(False)
        gradients = gradients_of(net)
        if due is not None:
            self.growth.update(net, turn, due, self.steps / self.steps_in_all, gradients)
            drop_unowned(net, self.sgd, self.emptied)
        for name, mask in net.masks(turn).items():
            gradients[name].mul_(mask)
        self._correct(turn, gradients)
        self.sgd.step(rates)
        self.steps += 1

    def tensors(self) -> Mapping[str, Tensor]:
        """Velocities, the previous gradient, and what was counted."""
        return {
            **self.sgd.tensors(),
            **{f"previous/{name}": tensor for name, tensor in self.previous.items()},
            "products": self.products,
            "worst": self.worst,
        }

    def measures(self) -> dict[str, Any]:
        """``products``: for the pairs of consecutive sub-nets in a group, layer by layer, how many there were and how
        many were in conflict before and after correction; ``worst_cosine`` after it."""
        found = {
            f"{self.net.names[number - 1]} {self.net.names[number]}": dict(
                zip(("pairs", "negative_before", "negative_after"), self.products[number].tolist(), strict=True)
            )
            for number in range(1, len(self.net.names))
        }
        worst = float(self.worst)
        self.products.zero_()
        self.worst.zero_()
        return {"products": found, "worst_cosine": worst}

    @torch.no_grad()
    def _correct(self, turn: int, gradients: Mapping[str, Tensor]) -> None:
        masks = self.net.masks(turn)
        for name, previous in self.previous.items():
            gradient, mask = gradients[name], masks[name]
            raw = gradient.clone()
            if turn > 0:  # the first of a group has nothing to agree with
                before = cosine(gradient, previous, mask)
                if self.gc and before < 0:
                    gradient.copy_(corrected(gradient, previous, mask))
                after = cosine(gradient, previous, mask) if self.gc and before < 0 else before
                self.products[turn] += torch.tensor([1, before < 0, after < LEVEL])
                self.worst.clamp_(max=after)
            previous.copy_(raw)

    def _moving(self) -> Mapping[str, Tensor]:
        return by_parameter(self.net.masks(self.turns()[0])) if self.only_active else {}


def gradients_of(net: SubNets) -> dict[str, Tensor]:
    """Of the layers with masks, live, after a backward pass."""
    return {name: _gradient(layer.weight) for name, layer in net.layers.items()}


def by_parameter(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What is by layer, by the name of the layer's weight in `SubNets`."""
    return {f"network.{name}.weight": tensor for name, tensor in tensors.items()}


@torch.no_grad()
def drop_unowned(net: SubNets, sgd: Sgd, emptied: bool) -> None:
    """Forget the velocity of weights that no sub-net has, and, ``emptied``, the weights too."""
    weights = net.weights()
    for name, owned in net.owned().items():
        sgd.velocity[f"network.{name}.weight"].mul_(owned)
        if emptied:
            weights[name].mul_(owned)


def _gradient(weight: Tensor) -> Tensor:
    assert weight.grad is not None
    return weight.grad
