"""What a sub-net is made of: the contract of patterns, and of trainings."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

from torch import Tensor

from edgewise.subnets.masks import Masks, Shapes, Weights


class Pattern(Protocol):
    """What the masks of one sub-net look like: frozen settings, and pure functions of its layers' weights."""

    @property
    def name(self) -> str:
        """The sub-net's: its sparsity, such as ``90%``."""

    def check(self, shapes: Shapes) -> None:
        """Raise `UsageError` for layers that the pattern does not fit, before any work is done."""

    def first(self, shapes: Shapes, seed: int, *place: int) -> Masks:
        """What training starts with, drawn from ``seed`` at ``place``."""

    def pruned(self, weights: Weights, level: float) -> Masks:
        """The masks at ``level`` of the way to the end, 0 to 1, by the weights alone."""

    def exchanged(self, masks: Masks, weights: Weights, gradients: Weights, share: float) -> Masks:
        """As many weights as ``masks`` have, ``share`` of them regrown by dense ``gradients``."""


class Trainer(Protocol):
    """How sub-nets are trained: an optimizer that knows whose turn it is."""

    steps: int

    def turns(self) -> tuple[int, ...]:
        """The sub-nets that the next step trains on its batch, by number: a pass forward and backward for each."""

    def during_backward(self, rates: Mapping[str, float]) -> AbstractContextManager[None]:
        """Inside, one ``backward()`` of the pass; after the last pass of a step the weights are updated."""

    def tensors(self) -> Mapping[str, Tensor]:
        """Everything a step changes besides the model, live."""

    def measures(self) -> dict[str, Any]:
        """What is told of the epoch; counted anew from then on."""


def name_of(density: float) -> str:
    """``0.1`` → ``"90%"``, as sub-nets are called everywhere."""
    return f"{100 * (1 - density):.6g}%"
