"""Joint training, the baseline (Eq. 3.3): every step passes its batch through all sub-nets and sums their losses.

As in slimmable networks (Yu et al., 2019), with the masks, norms and schedule of alternating training, so that only
the training differs.  A step costs N times as much.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from edgewise.subnets.alternating import by_parameter, drop_unowned, gradients_of
from edgewise.subnets.growth import Growth
from edgewise.subnets.network import SubNets
from edgewise.train.sgd import Sgd


class Joint:
    """A `Trainer` whose every step is all sub-nets' turn; one update of the weights for all of them."""

    def __init__(
        self, net: SubNets, growth: Growth, steps_in_all: int, only_active: bool = True, decay: float = 0.0
    ) -> None:
        self.net, self.growth, self.steps_in_all, self.only_active = net, growth, steps_in_all, only_active
        self.sgd = Sgd({"main": list(net.named_parameters())}, decay=decay, moving=self._moving)
        self.steps, self._passes = 0, 0

    def turns(self) -> tuple[int, ...]:
        return tuple(range(len(self.net.names)))

    @contextmanager
    def during_backward(self, rates: Mapping[str, float]) -> Iterator[None]:
        net, turn = self.net, self._passes
        due = self.growth.due(turn, self.steps)
        net.dense_gradients(due is not None)
        before = {name: layer.weight.grad for name, layer in net.layers.items()}
        for layer in net.layers.values():
            layer.weight.grad = None  # this sub-net's own, for its regrowth
        yield
        net.dense_gradients(False)
        gradients = gradients_of(net)
        if due is not None:
            self.growth.update(net, turn, due, self.steps / self.steps_in_all, gradients)
            drop_unowned(net, self.sgd, emptied=False)
        for name, mask in net.masks(turn).items():
            gradients[name].mul_(mask)
            if (others := before[name]) is not None:
                gradients[name].add_(others)
        self._passes += 1
        if self._passes == len(net.names):
            self.sgd.step(rates)
            self.steps, self._passes = self.steps + 1, 0

    def tensors(self) -> Mapping[str, Tensor]:
        return self.sgd.tensors()

    def measures(self) -> dict[str, Any]:
        """Nothing: there is no order of sub-nets whose gradients could conflict."""
        return {"products": {}, "worst_cosine": 0.0}

    def _moving(self) -> Mapping[str, Tensor]:
        return by_parameter(self.net.owned()) if self.only_active else {}
