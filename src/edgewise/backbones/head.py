"""The head of a network that is trained as a whole: kept where it answers for the photos' classes already."""

import dataclasses
from collections.abc import Sequence

import torch
from torch import nn

from edgewise.backbones.base import Backbone
from edgewise.core.errors import UsageError
from edgewise.core.surgery import replace


def with_classes(backbone: Backbone, classes: Sequence[str], fresh: bool = False, seed: int = 0) -> Backbone:
    """``backbone``, changed in place, with a head for ``classes`` in their order, and a note about it.

    Kept (its outputs reordered) where the weights name the same classes, or name none and have as many outputs; else,
    and where ``fresh`` is asked for, a new one is drawn from ``seed``.  Raises `UsageError` for fewer than two
    classes or repeated names.
    """
    if len(classes) < 2 or len(set(classes)) != len(classes):
        raise UsageError(f"A classifier needs at least two different classes; these are {list(classes)}.")
    old = backbone.module.get_submodule(backbone.head)
    assert isinstance(old, nn.Linear)
    trained = backbone.weights is None or backbone.weights.head
    known = backbone.classes
    if not fresh and trained and known is not None and set(known) == set(classes):
        _reorder(old, [known.index(name) for name in classes])
        note = "The head is kept: it answers with these classes."
    elif not fresh and trained and known is None and old.out_features == len(classes):
        note = (
            f"The head is kept: its weights do not name their {len(classes)} classes, and these are as many, in the "
            "order of their names. --head fresh makes a new one."
        )
    else:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            head = nn.Linear(old.in_features, len(classes))
        nn.init.zeros_(head.bias)
        replace(backbone.module, backbone.head, head)
        note = f"The head is new: {old.in_features} features to {len(classes)} classes."
    return dataclasses.replace(backbone, classes=tuple(classes), notes=(*backbone.notes, note))


@torch.no_grad()
def _reorder(head: nn.Linear, rows: list[int]) -> None:
    head.weight.copy_(head.weight[rows].clone())
    if head.bias is not None:
        head.bias.copy_(head.bias[rows].clone())
