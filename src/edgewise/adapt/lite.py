"""Lite residual modules beside a network's blocks (Cai et al., TinyTL, NeurIPS 2020, Section 3.3).

Beside a residual or inverted-residual block runs a module at half its resolution: average pool 2,
K x K convolution in two groups with the block's stride, norm, ReLU, 1 x 1 convolution, norm, bilinear
resize (`layers.side_module`).  Its last norm's scale starts at 0, and so does its output.

**Added to the block's output.**  The paper adds it to the main branch, inside the block.  Where the
shortcut is an addition and nothing follows, that is the same sum, and a forward hook leaves the
backbone's modules and names as they are.  A ResNet's block ends in a ReLU: there the module is added
behind it, as Rep-Net's connectors are, which is not the same and nowhere published.

**K does not depend on the image's size.**  The released code starts at 5 and takes 2 off while K is
larger than the pooled map, on maps of a nominal image of 256 pixels.  On networks that divide the
resolution by 32 this comes to: 3 where the block's input has the deepest resolution already, else 5.
That is the rule here, whatever the network's smallest map is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from torch import Tensor, nn

from edgewise.adapt.base import Grade, Parts, Site
from edgewise.adapt.residual_blocks import last_blocks
from edgewise.backbones.blocks import make_divisible
from edgewise.backbones.stages import Block
from edgewise.core.settings import check, setting
from edgewise.layers.side_module import Norm, SideModule


class LiteResiduals(nn.Module):
    """One module beside each of ``blocks`` (the last ones of a network, or all), in their order.

    Without ``trains_last_shift`` a module's last shift stays as it is: for where the shift of the
    block's own last norm trains, which can say the same.
    """

    def __init__(
        self,
        blocks: Sequence[Block],
        norm: Norm = "group",
        weight_standard: bool = True,
        trains_last_shift: bool = True,
    ) -> None:
        super().__init__()
        self.beside = nn.ModuleList(
            _module(block, blocks[-1].output_shape[1], norm, weight_standard, trains_last_shift) for block in blocks
        )

    def attach(self, network: nn.Module, blocks: Sequence[Block]) -> None:
        """Let every module's answer to its block's input be added to the block's output."""
        for index, block in enumerate(blocks):
            network.get_submodule(block.name).register_forward_hook(partial(self._add, index))

    def _add(self, index: int, block: nn.Module, args: tuple[Any, ...], y: Tensor) -> Tensor:
        merged: Tensor = y + self.beside[index](args[0], y.shape[-2:])
        return merged


@dataclass(frozen=True)
class LitePatches:
    """Small branches of TinyTL's beside the last blocks train, and what comes behind these; the blocks do not.

    The patches of MobileTL's Table 5: group norm, standardised weights, random at the start.  The
    feature-mix layer and the head train too.  Alone this is the table's row "main blocks frozen"; combined
    with MobileTL, which trains the blocks' own weights, the row above it.
    """

    name: ClassVar[str] = "lite"
    title: ClassVar[str] = "Lite residual patches"
    grade: ClassVar[Grade] = "for comparison"
    starts_unchanged: ClassVar[bool] = True
    merges: ClassVar[bool] = False

    blocks: int = setting(3, "how many of the last residual blocks get a patch", low=1)
    lr: float = setting(1e-3, "learning rate of the head", low=0)
    side_lr: float = setting(1e-3, "learning rate of the patches and the feature-mix layer", low=0)

    def __post_init__(self) -> None:
        check(self)

    def apply(self, site: Site) -> Parts:
        tail = last_blocks(site, self.blocks, self.name)
        patches = LiteResiduals(tail.blocks)
        patches.attach(site.network, tail.blocks)
        behind = tuple(f"{name}." for name in tail.after)
        mix = tuple(name for name in tail.parameters(site) if name.startswith(behind))
        return Parts(site.head_parameters(), mix, awake=tail.after, added=patches)


def _module(block: Block, deepest: int, norm: Norm, weight_standard: bool, trains_last_shift: bool) -> SideModule:
    (inputs, side, _), (outputs, side_after, _) = block.input_shape, block.output_shape
    return SideModule(
        inputs,
        make_divisible(inputs),
        outputs,
        kernel=3 if side == deepest else 5,
        groups=2 if inputs % 2 == 0 else 1,
        norm=norm,
        weight_standard=weight_standard,
        stride=max(1, round(side / side_after)),  # however the block drops its resolution
        trains_last_shift=trains_last_shift,
    )
