"""Learned binary masks on frozen convolutions: Piggyback, and Rep-Net's kernel-wise form.

Piggyback (Mallya, Davis, Lazebnik, ECCV 2018) adapts a network by leaving weights out of it; Rep-Net
(Section 4.4, Table 4) leaves out whole kernels, beside its side network, in the blocks where that
meets the backbone (``repnet+mask``).  `edgewise.layers.masked_conv` has the formulas.

A mask multiplies, so its gradient needs every masked layer's input kept, as a trained weight's does:
it saves nothing while training, only at inference (`edgewise.cost.sparsity` says how much).

Deviations, each on purpose: weights are not standardised (the released code does so to weights that were
trained without); batch norms stay frozen.  Piggyback masks every convolution (``where="all"``) and leaves
the biases alone, as here.  A score at its threshold keeps.

The adapter holds the scores, 32 bits each, although one bit would do for predicting: training goes on
from scores only, and a model that was opened is the one that was saved, tensor for tensor.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import nn

from edgewise.adapt.base import Grade, Group, Parts, Site
from edgewise.backbones.blocks import SameConv2d
from edgewise.backbones.stages import connectors
from edgewise.core.errors import UsageError
from edgewise.core.settings import check, setting
from edgewise.layers.masked_conv import Granularity, MaskedConv2d, put_mask

OTHERS = "bias, bn, last and full fit any network."


class MaskedSameConv2d(MaskedConv2d, SameConv2d):
    """The same with TensorFlow's padding."""

    plain = SameConv2d


MASKED: dict[type[nn.Conv2d], type[MaskedConv2d]] = {kind.plain: kind for kind in (MaskedConv2d, MaskedSameConv2d)}


@dataclass(frozen=True)
class Mask:
    """Kernels (or single weights) of frozen convolutions are left out, by a learned binary mask.

    The mask becomes zeros in the weights when the model is merged.  Whether zeros make it faster
    is another question: a plain runtime multiplies by them.
    """

    name: ClassVar[str] = "mask"
    title: ClassVar[str] = "Masks + head"
    grade: ClassVar[Grade] = "for comparison"
    starts_unchanged: ClassVar[bool] = True
    merges: ClassVar[bool] = True

    granularity: Granularity = setting(
        "kernel", "what one score of the mask keeps or drops", choices=("kernel", "weight")
    )
    where: Literal["connectors", "all"] = setting(
        "connectors",
        "convolutions with a mask: in the blocks where Rep-Net connects, or all (Piggyback)",
        choices=("connectors", "all"),
    )
    lr: float = setting(1e-3, "learning rate of the head", low=0)
    side_lr: float = setting(1e-3, "not used: the masks train at mask_lr", low=0)
    mask_lr: float = setting(1e-4, "learning rate of the masks", low=0)

    def __post_init__(self) -> None:
        check(self)

    def apply(self, site: Site) -> Parts:
        layers = self._convolutions(site)
        for layer in layers.values():
            put_mask(layer, MASKED[type(layer)], self.granularity)
        scores = tuple(f"{name}.mask_scores" for name in layers)
        return Parts(site.head_parameters(), groups={"mask": Group(scores, self.mask_lr)})

    def _convolutions(self, site: Site) -> dict[str, nn.Conv2d]:
        """The convolutions to mask, by name; raises `UsageError` where there is none, or one that no mask fits."""
        network, what = site.network, type(site.network).__name__
        every = {name: part for name, part in network.named_modules() if isinstance(part, nn.Conv2d)}
        if not every:
            raise UsageError(f"mask: {what} has no convolution (nn.Conv2d) to put a mask on. {OTHERS}")
        if self.where == "all":
            found, place = every, "the network"
        elif any(block.kernel for block in site.blocks):
            points = [block.name for block in connectors(site.blocks)]
            found = {name: part for name, part in every.items() if any(f"{name}.".startswith(f"{p}.") for p in points)}
            place = f"the connector blocks ({', '.join(points)})"
        else:
            raise UsageError(
                f"mask: none of the {len(every)} convolutions of {what} lies in a block that runs once and gives a "
                f"feature map, so there are no connector blocks. --set where=all masks them all; {OTHERS}"
            )
        if strange := [name for name, part in found.items() if type(part) not in MASKED]:
            kinds = sorted({type(found[name]).__name__ for name in strange})
            raise UsageError(
                f"mask: {len(strange)} of {len(found)} convolutions in {place} of {what} are {', '.join(kinds)} "
                f"(such as {strange[0]}), which may use their weight in a way that a mask does not know; it fits "
                f"{', '.join(kind.__name__ for kind in MASKED)}. {OTHERS}"
            )
        return found
