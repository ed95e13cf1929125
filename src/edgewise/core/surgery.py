"""Looking into a module by name, swapping a part, and proving that nothing else moved."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn


@runtime_checkable
class Folds(Protocol):
    """A layer that only training needs: ``folded()`` is a plain one that computes the same in eval mode."""

    def folded(self) -> nn.Module: ...


def replace(root: nn.Module, name: str, new: nn.Module) -> None:
    """Put ``new`` where ``root`` has the submodule ``name`` (dotted)."""
    parent, _, child = name.rpartition(".")
    setattr(root.get_submodule(parent), child, new)


def train_only(root: nn.Module, names: Iterable[str]) -> None:
    """Set ``requires_grad`` on the parameters called ``names`` and clear it on all others."""
    wanted = set(names)
    known = dict(root.named_parameters())
    if missing := wanted - known.keys():
        raise KeyError(f"not parameters of this module: {sorted(missing)}")
    for name, parameter in known.items():
        parameter.requires_grad_(name in wanted)


def all_finite(tensor: Tensor) -> bool:
    """Is every number of ``tensor`` finite?  Takes no memory, where ``isfinite`` takes two copies' worth."""
    return tensor.numel() == 0 or all(bool(extreme.isfinite()) for extreme in tensor.aminmax())


def digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, shapes, types and bytes: equal exactly when the tensors are."""
    total = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        total.update(f"{name}|{tuple(tensor.shape)}|{tensor.dtype}|".encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy().data if tensor.numel() else b"")
    return total.hexdigest()
