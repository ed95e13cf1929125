"""Put a method onto a backbone."""

import copy
import dataclasses
from collections.abc import Sequence

import torch
from torch import nn

from edgewise.adapt.base import Adapted, Method, Site
from edgewise.backbones import Backbone, load
from edgewise.backbones.stages import blocks_of
from edgewise.core.errors import UsageError
from edgewise.core.surgery import digest, replace


def adapt(
    backbone: Backbone | nn.Module, method: Method, classes: Sequence[str] | None = None, seed: int = 0
) -> Adapted:
    """A copy of ``backbone`` with a new head for ``classes``, adapted by ``method``.

    ``classes=None`` keeps the backbone's own head and classes.  New parts are initialised from
    ``seed``; the global random state is left as it was.  The backbone itself is not changed.

    Raises `UsageError` for fewer than two classes or repeated names.
    """
    if isinstance(backbone, nn.Module):
        backbone = load(backbone)
    return adapt_in_place(dataclasses.replace(backbone, module=copy.deepcopy(backbone.module)), method, classes, seed)


def adapt_in_place(backbone: Backbone, method: Method, classes: Sequence[str] | None = None, seed: int = 0) -> Adapted:
    """`adapt` without a copy: the network of ``backbone`` itself is adapted, and its weights exist once."""
    if classes is not None and (len(classes) < 2 or len(set(classes)) != len(classes)):
        raise UsageError(f"A classifier needs at least two different classes; these are {list(classes)}.")
    network = backbone.module
    blocks = blocks_of(network, backbone.input.size)
    original = {f"network.{name}": digest({"": t}) for name, t in network.state_dict().items()}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        old: nn.Linear | None = None
        if classes is not None:
            old = _head(network, backbone.head)
            head = nn.Linear(old.in_features, len(classes))
            nn.init.zeros_(head.bias)
            replace(network, backbone.head, head)
        else:
            classes = backbone.classes or [str(i) for i in range(_head(network, backbone.head).out_features)]
        parts = method.apply(Site(network, backbone.head, blocks, backbone.input.size, old))
    return Adapted(backbone, original, parts, method, tuple(classes))


def _head(network: nn.Module, name: str) -> nn.Linear:
    layer = network.get_submodule(name)
    assert isinstance(layer, nn.Linear)
    return layer
