"""Plain fine-tuning of the last blocks (MobileTL's FT-BLKs, Chiang et al., AAAI 2023, Table 3)."""

from dataclasses import dataclass
from typing import ClassVar

from edgewise.adapt.base import Grade, Parts, Site
from edgewise.adapt.residual_blocks import last_blocks
from edgewise.core.settings import check, setting


@dataclass(frozen=True)
class Blocks:
    """The last blocks train whole, with batch statistics, and so does everything behind them.

    Behind them are the feature-mix layer, a hidden linear layer (MobileNetV3) and the head.  Below,
    nothing trains and every statistic stays; no gradient goes there.  A block is a repeated part of the
    network with two convolutions or more (`edgewise.adapt.residual_blocks`); three of them are the paper's.
    """

    name: ClassVar[str] = "blocks"
    title: ClassVar[str] = "Last blocks + head"
    grade: ClassVar[Grade] = "for comparison"
    starts_unchanged: ClassVar[bool] = True
    merges: ClassVar[bool] = True

    blocks: int = setting(3, "how many blocks train, from the head down", low=1)
    lr: float = setting(1e-3, "learning rate of the head", low=0)
    side_lr: float = setting(3e-4, "learning rate of the blocks and the feature-mix layer", low=0)

    def __post_init__(self) -> None:
        check(self)

    def apply(self, site: Site) -> Parts:
        tail = last_blocks(site, self.blocks, self.title, residual=False)
        return Parts(site.head_parameters(), tail.parameters(site), awake=tail.names)
