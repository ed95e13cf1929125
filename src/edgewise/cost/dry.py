"""Live bytes of code that runs on shapes alone: torch's meta device, and every storage watched.

The real code runs, step for step; only the numbers are missing.  So the prediction cannot drift
from what is executed.
"""

import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

# What a network takes besides tensors (measured): a step's plan and autograd's nodes; the code that oneDNN compiles
# for each shape of a convolution.
OBJECTS, KERNEL = 700_000, 80_000


@dataclass
class Timeline:
    """Live bytes by kind after every operation that allocated, and the name of the operation.

    ``kernels`` is for how many shapes of a convolution code was compiled.
    """

    samples: list[tuple[str, Mapping[str, int]]] = field(default_factory=list)
    kernels: int = 0

    @property
    def peak(self) -> int:
        """Bytes at the fullest moment, with what a network takes besides tensors."""
        tensors = max((sum(kinds.values()) for _, kinds in self.samples), default=0)
        return tensors + OBJECTS + KERNEL * self.kernels

    @property
    def fullest(self) -> tuple[str, Mapping[str, int]]:
        """The operation and the kinds at that moment."""
        return max(self.samples, key=lambda sample: sum(sample[1].values()))

    def thinned(self, points: int = 240) -> list[Mapping[str, int]]:
        """At most ``points`` moments in order, each the fullest of its span."""
        span = -(-len(self.samples) // points)
        groups = (self.samples[i : i + span] for i in range(0, len(self.samples), span))
        return [max((kinds for _, kinds in group), key=lambda kinds: sum(kinds.values())) for group in groups]


class Watch(TorchDispatchMode):
    """Counts the storages that operations make, until they are freed."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.timeline = Timeline()
        self._live: Counter[str] = Counter()
        self._kinds: dict[int, tuple[str, int]] = {}

    def own(self, kind: str, tensors: Iterable[Tensor]) -> None:
        """Count ``tensors``, which exist already, as ``kind`` (or move them there)."""
        for tensor in tensors:
            self._note(tensor, kind)

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        fresh = False
        for value in tree_iter(result):
            if isinstance(value, Tensor):
                fresh = self._note(value, "transient", known=False) or fresh
        if fresh:
            self.timeline.samples.append((str(function), dict(self._live)))
        return result

    def _note(self, tensor: Tensor, kind: str, known: bool = True) -> bool:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._kinds:
            before, size = self._kinds[key]
            if known and before != kind:
                self._live[before] -= size
                self._live[kind] += size
                self._kinds[key] = (kind, size)
            return False
        size = storage.nbytes()
        self._kinds[key] = (kind, size)
        self._live[kind] += size
        weakref.finalize(storage, self._forget, key)
        return True

    def _forget(self, key: int) -> None:
        kind, size = self._kinds.pop(key)
        self._live[kind] -= size


@contextmanager
def on_meta(model: nn.Module) -> Iterator[None]:
    """Inside, every parameter and buffer of ``model`` is its own shape and nothing else."""
    places: list[tuple[dict[str, Any], str, Tensor]] = []
    twins: dict[int, Tensor] = {}
    for module in model.modules():
        stores: tuple[dict[str, Any], ...] = (module._parameters, module._buffers)
        for store in stores:
            for name, tensor in store.items():
                if tensor is None:
                    continue
                places.append((store, name, tensor))
                if id(tensor) not in twins:
                    meta = tensor.detach().to("meta")
                    parameter = isinstance(tensor, nn.Parameter)
                    twins[id(tensor)] = nn.Parameter(meta, tensor.requires_grad) if parameter else meta
                store[name] = twins[id(tensor)]
    try:
        yield
    finally:
        for store, name, tensor in places:
            store[name] = tensor


def watched(watch: Watch, work: Callable[[], None]) -> Timeline:
    """Run ``work`` under ``watch``; what autograd saves counts as kept from then on."""

    def saved(tensor: Tensor) -> Tensor:
        kind = watch._kinds.get(tensor.untyped_storage()._cdata, ("", 0))[0]
        if kind == "transient":
            watch.own("kept", [tensor])
        return tensor

    with watch, torch.autograd.graph.saved_tensors_hooks(saved, lambda tensor: tensor):
        work()
    return watch.timeline
