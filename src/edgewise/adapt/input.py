"""Input reprogramming as adaptation: "Adv. Rep" and "Adv. Rep + Last" (Rep-Net, Tables 1 and 2).

One image p is added to every image, x̂ = x + p (Rep-Net, Eq. 2, after Elsayed et al., ICLR 2019), and the
backbone stays as it is.  "Adv. Rep + Last" (Kloberdanz et al., ICANN 2021) trains a new head with it;
"Adv. Rep" keeps the original head and maps its classes to the new ones.

The gradient of p passes through the whole frozen backbone and ends at the first layer, so stock
autograd keeps every activation for it; a lean pass keeps the activations' bits.

Where we deviate: the original sets a small image into the middle of a frame that is the program; here, as
in Rep-Net's comparison, images are resized to the network's size and the program covers them.  It
is added to the normalised image, in units of a channel's standard deviation.  The mapping, which Rep-Net's
paper does not state and its code does not have, is Elsayed's hard-coded one, with several source
classes for each (their logits' mean, as a mapping in Neekhara et al., WACV 2022).
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import nn

from edgewise.adapt.base import Grade, Parts, Site
from edgewise.core.errors import UsageError
from edgewise.core.settings import check, setting
from edgewise.layers.input_program import InputProgram


@dataclass(frozen=True)
class Input:
    """One learned image is added to every image; the backbone stays as it is.

    ``head="map"`` trains nothing else: class t of T is told by the backbone's own classes t, t + T,
    t + 2 T and so on, ``sources`` of them (fewer where the backbone has fewer), by the mean of their logits.
    A mean of logits is linear in the features, so the mapped head is one frozen linear layer.
    """

    name: ClassVar[str] = "input"
    title: ClassVar[str] = "Input program + head"
    grade: ClassVar[Grade] = "for comparison"
    starts_unchanged: ClassVar[bool] = True
    merges: ClassVar[bool] = False

    head: Literal["last", "map"] = setting(
        "last", "a new head, which trains, or the backbone's own classes mapped to yours", choices=("last", "map")
    )
    sources: int = setting(10, "with head=map: at most so many of the backbone's classes for each of yours", low=1)
    bounded: bool = setting(False, "add tanh of the program, at most one standard deviation")
    lr: float = setting(1e-3, "learning rate of the head", low=0)
    side_lr: float = setting(1e-2, "learning rate of the program", low=0)

    def __post_init__(self) -> None:
        check(self)

    def apply(self, site: Site) -> Parts:
        if self.head == "map":
            _map_head(site, self.sources)
        program = InputProgram(site.size, self.bounded)
        # a hook, so that the network's modules keep their names
        site.network.register_forward_pre_hook(program.before)
        return Parts(site.head_parameters() if self.head == "last" else (), added=program)


@torch.no_grad()
def _map_head(site: Site, most: int) -> None:
    """Give the new head the weights that make its logits the means of the old one's; raises `UsageError`."""
    old, new = site.old_head, site.network.get_submodule(site.head)
    assert isinstance(new, nn.Linear)
    if old is None:
        raise UsageError(
            "input: head=map maps the backbone's classes to those of a new task, and no new classes are named, so the "
            "network keeps its own. Name the classes, or leave head=last."
        )
    targets = new.out_features
    if old.out_features < targets:
        raise UsageError(
            f"input: head=map needs a class of the backbone for each of the {targets} new ones, and it has "
            f"{old.out_features}. Leave head=last, which trains a new head, or take a backbone of more classes."
        )
    sources = min(most, old.out_features // targets)
    new.weight.copy_(old.weight[: sources * targets].unflatten(0, (sources, targets)).mean(0))
    if old.bias is not None:
        new.bias.copy_(old.bias[: sources * targets].unflatten(0, (sources, targets)).mean(0))
