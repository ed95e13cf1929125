"""Train the batch norms' scales and shifts with the classifier (FT-BN)."""

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from edgewise.adapt.base import Grade, Parts, Site
from edgewise.core.settings import check, setting

NORMS = (nn.BatchNorm2d, nn.GroupNorm, nn.LayerNorm)


@dataclass(frozen=True)
class BatchNorm:
    """Scale and shift of every norm train; the statistics stay those of the backbone.

    Deviation from TinyTL's FT-BN, which normalises with the statistics of the batch: with small
    batches the running statistics then drift away from the frozen weights.
    """

    name: ClassVar[str] = "bn"
    title: ClassVar[str] = "Norms + head"
    grade: ClassVar[Grade] = "special use"
    starts_unchanged: ClassVar[bool] = True
    merges: ClassVar[bool] = True

    lr: float = setting(3e-3, "learning rate of the head and the norms", low=0)
    side_lr: float = setting(1e-3, "not used: the norms train at lr", low=0)

    def __post_init__(self) -> None:
        check(self)

    def apply(self, site: Site) -> Parts:
        norms = {name for name, part in site.network.named_modules() if isinstance(part, NORMS)}
        names = tuple(name for name, _ in site.body_parameters() if name.rpartition(".")[0] in norms)
        return Parts(site.head_parameters() + names)
