"""Kept memory: the bytes autograd holds between forward and backward."""

from collections.abc import Iterable
from types import TracebackType

import torch
from torch import Tensor


class KeptBytes:
    """Context manager around a forward pass; ``total`` is what its graph keeps.

    Every storage counts once and whole, whatever view of it was saved; storages in ``ignored``
    (parameters, buffers, the input) do not count.  Tensors that an autograd function hides on its
    context instead of saving them are not seen.
    """

    def __init__(self, ignored: Iterable[Tensor] = ()) -> None:
        self._ignored = {tensor.untyped_storage().data_ptr() for tensor in ignored}
        self._storages: dict[int, int] = {}
        self._hooks = torch.autograd.graph.saved_tensors_hooks(self._pack, lambda tensor: tensor)

    @property
    def total(self) -> int:
        """Bytes kept so far."""
        return sum(self._storages.values())

    def __enter__(self) -> "KeptBytes":
        self._hooks.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hooks.__exit__(kind, error, trace)

    def _pack(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self._ignored:
            self._storages[storage.data_ptr()] = storage.nbytes()
        return tensor
