"""MobileTL (Chiang, Frumkin, Liang, Marculescu, AAAI 2023): fine-tuning of the last blocks that keeps little.

In a trained inverted residual every convolution trains.  The norms behind the expansion and the depthwise
convolution train their shift only, with the backbone's statistics (Eq. 2: the scale's gradient would need
the norm's input); the norm behind the projection trains whole, statistics included.  ReLU6 and hard-swish
keep one bit an element for a signed backward pass (Table 2).  Behind the blocks everything trains whole:
the feature-mix layer, a hidden linear layer, the head.  Below nothing does; that these layers are held
in 8 bits is `Lean(frozen_bits=8)`'s doing.

**Left open by the paper, and decided here.**  Squeeze-and-excitation stays as it is, gate included: Figure 1's
53.3 % comes out (53.4) with the gate's input kept, and not (53.6) with a bit instead; ``signed="gates"``
takes the gate too.  In a ResNet's block (Figure 7, no details) the norms that are added up are the
projection's: the last one of the main branch and the shortcut's own; ReLU is left alone, since its gradient
is the signed mask already.

**Deviation.**  SiLU, for which hard-swish is a stand-in, is approximated like it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import nn

from edgewise.adapt.base import Grade, Parts, Site
from edgewise.adapt.residual_blocks import Role, Tail, last_blocks
from edgewise.core.settings import check, setting
from edgewise.core.surgery import replace
from edgewise.layers.signed_activation import APPROXIMATED, GATES, SignedActivation

Norms = Literal["proj-bn", "exp-bn", "dw-bn", "all-bn", "all-bn-shift"]
Signed = Literal["activations", "gates", "none"]

WHOLE: dict[Norms, tuple[Role, ...]] = {
    "proj-bn": ("proj",),
    "exp-bn": ("exp",),
    "dw-bn": ("dw",),
    "all-bn": ("exp", "dw", "proj"),
    "all-bn-shift": (),
}
"""The norms that train whole (scale, shift, statistics); of the others the shift trains (Figure 6)."""


@dataclass(frozen=True)
class MobileTL:
    """The last blocks train in a way that keeps half of the activations; nothing below them does.

    For inverted residuals (MobileNetV2, V3, ProxylessNAS, MCUNet) and residual blocks (ResNets).
    """

    name: ClassVar[str] = "mobiletl"
    title: ClassVar[str] = "MobileTL"
    grade: ClassVar[Grade] = "special use"
    starts_unchanged: ClassVar[bool] = True
    merges: ClassVar[bool] = True

    blocks: int = setting(3, "how many blocks train, from the head down", low=1)
    norms: Norms = setting(
        "proj-bn", "which of the blocks' norms train whole; of the others the shift does", choices=tuple(WHOLE)
    )
    signed: Signed = setting(
        "activations",
        "whose gradient is a sign: ReLU6 and hard-swish, the gates of squeeze-and-excitation too, or none",
        choices=("activations", "gates", "none"),
    )
    lr: float = setting(1e-3, "learning rate of the head", low=0)
    side_lr: float = setting(3e-4, "learning rate of the blocks and the feature-mix layer", low=0)

    def __post_init__(self) -> None:
        check(self)

    def apply(self, site: Site) -> Parts:
        whole = WHOLE[self.norms]
        tail = last_blocks(site, self.blocks, self.title, needs=whole[0] if len(whole) == 1 else None)
        frozen = {f"{name}.weight" for name, role in tail.norms.items() if role not in whole}
        awake = tuple(name for name, role in tail.norms.items() if role in whole)
        side = tuple(name for name in tail.parameters(site) if name not in frozen)
        for name, activation in list(self._approximated(site, tail)):
            replace(site.network, name, SignedActivation(activation))
        return Parts(site.head_parameters(), side, awake=awake + tail.after)

    def _approximated(self, site: Site, tail: Tail) -> Iterator[tuple[str, nn.Module]]:
        kinds = {"activations": APPROXIMATED, "gates": APPROXIMATED + GATES, "none": ()}[self.signed]
        for block in tail.blocks:
            # one activation that stands in two places is replaced in both
            inside = site.network.get_submodule(block.name).named_modules(prefix=block.name, remove_duplicate=False)
            yield from ((name, part) for name, part in inside if isinstance(part, kinds))
