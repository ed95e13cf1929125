"""Putting a file's tensors into a network, or saying exactly why they do not fit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edgewise.core.errors import EdgewiseError
from edgewise.core.surgery import all_finite

SHOWN = 3


@dataclass(frozen=True)
class Mismatch:
    """Names that differ between a network and a file; false where they agree."""

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    shaped: tuple[str, ...]
    """``"name (file 8x3, network 16x3)"``"""

    def __bool__(self) -> bool:
        return bool(self.missing or self.unexpected or self.shaped)

    def __str__(self) -> str:
        kinds = (
            ("missing from the file", self.missing),
            ("unknown to the network", self.unexpected),
            ("of another shape", self.shaped),
        )
        return "; ".join(f"{len(names)} {what}: {_first(names)}" for what, names in kinds if names)


def compare(network: nn.Module, tensors: Mapping[str, Tensor]) -> Mismatch:
    """How ``tensors`` differ from the network's state; batch counters are left out of it."""
    state, given = tensors_of(network), _without_counters(tensors)
    return Mismatch(
        tuple(name for name in state if name not in given),
        tuple(name for name in given if name not in state),
        tuple(
            f"{name} (file {_size(given[name])}, network {_size(state[name])})"
            for name in state
            if name in given and given[name].shape != state[name].shape
        ),
    )


def put(network: nn.Module, tensors: Mapping[str, Tensor], what: str) -> None:
    """Copy ``tensors`` into the network; those of its state that are not given stay as they are.

    Raises `EdgewiseError` (``what`` names the file) for tensors that are not numbers of the
    network's kind, such as int8 weights, or not finite.
    """
    state = tensors_of(network)
    given = _without_counters(tensors)
    integers = [n for n, t in given.items() if t.is_floating_point() != state[n].is_floating_point()]
    if integers:
        kind = str(given[integers[0]].dtype).removeprefix("torch.")
        raise EdgewiseError(
            f"{len(integers)} tensors in {what} are {kind} where the network has floating-point numbers: "
            f"{_first(integers)}. Quantised weights have to be turned back into float32 first."
        )
    if broken := [n for n, t in given.items() if t.is_floating_point() and not all_finite(t)]:
        raise EdgewiseError(
            f"{len(broken)} tensors in {what} hold NaN or infinite values: {_first(broken)}. "
            "The file is damaged, or the training that made it went wrong."
        )
    with torch.no_grad():
        for name, tensor in given.items():
            state[name].copy_(tensor)


def tensors_of(network: nn.Module) -> dict[str, Tensor]:
    """The network's state by name, batch counters left out."""
    return _without_counters(network.state_dict())


def _without_counters(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {n: t for n, t in tensors.items() if isinstance(t, Tensor) and not n.endswith("num_batches_tracked")}


def _first(names: Sequence[str]) -> str:
    more = ", …" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _size(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "scalar"
