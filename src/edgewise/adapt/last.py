"""Train the classifier only: the cheapest method, and the bar every other one has to clear."""

from dataclasses import dataclass
from typing import ClassVar

from edgewise.adapt.base import Grade, Parts, Site
from edgewise.core.settings import check, setting


@dataclass(frozen=True)
class LastLayer:
    """The last linear layer trains; the backbone is a fixed feature extractor (FT-Last).

    Six epochs leave it under-trained: compare with it after fifteen or more.
    """

    name: ClassVar[str] = "last"
    title: ClassVar[str] = "Last layer"
    grade: ClassVar[Grade] = "special use"
    starts_unchanged: ClassVar[bool] = True
    merges: ClassVar[bool] = True

    lr: float = setting(3e-3, "learning rate of the head", low=0)
    side_lr: float = setting(1e-3, "not used: nothing but the head trains", low=0)

    def __post_init__(self) -> None:
        check(self)

    def apply(self, site: Site) -> Parts:
        return Parts(site.head_parameters())
