"""What lowering gives: ops with the places their operands come from."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass

from torch import Tensor, nn
from torch.fx import Node

from edgewise.ops import Op

Results = dict[Hashable, Tensor]
Source = Callable[[Results], Tensor]


@dataclass(frozen=True)
class Shared:
    """A shared operand: how to make it at every step (a parameter, or something small from parameters).

    It is given the batch statistics taken so far in this step, by name, and may leave there what another
    operand of the same run is made of.  ``trains`` says whether it wants a gradient; where it is made from
    ``statistics``, it also does if those do.
    """

    make: Source
    shape: tuple[int, ...]
    trains: bool = False
    statistics: str | None = None


@dataclass(frozen=True)
class Lowered:
    """An op with the nodes its batched operands come from, and its shared operands after them."""

    op: Op
    batched: tuple[Node, ...]
    shared: tuple[Shared, ...] = ()


@dataclass(frozen=True)
class Statistics:
    """A batch norm in training: batch statistics of ``source``, called ``name``, then a `Lowered`."""

    name: str
    source: Node
    norm: nn.BatchNorm2d


def parameter(tensor: Tensor) -> Shared:
    """A parameter or buffer as it is."""
    return Shared(lambda _: tensor, tuple(tensor.shape), tensor.requires_grad)
