"""Fine-tune everything: the baseline that costs most."""

from dataclasses import dataclass
from typing import ClassVar

from edgewise.adapt.base import Grade, Parts, Site
from edgewise.core.settings import check, setting


@dataclass(frozen=True)
class Full:
    """All parameters train and every batch norm uses and updates batch statistics (FT-All).

    The new head trains at ``lr``, the pretrained layers at ``side_lr``, which is lower so that
    the first steps of a random head do not tear them.
    """

    name: ClassVar[str] = "full"
    title: ClassVar[str] = "Full fine-tuning"
    grade: ClassVar[Grade] = "for comparison"
    starts_unchanged: ClassVar[bool] = True
    merges: ClassVar[bool] = True

    lr: float = setting(1e-3, "learning rate of the new head", low=0)
    side_lr: float = setting(3e-4, "learning rate of the pretrained layers", low=0)

    def __post_init__(self) -> None:
        check(self)

    def apply(self, site: Site) -> Parts:
        return Parts(site.head_parameters(), tuple(name for name, _ in site.body_parameters()), awake=("",))
