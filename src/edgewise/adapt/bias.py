"""Train the biases with the classifier (TinyTL-B, Cai et al., NeurIPS 2020, Section 3.2)."""

from dataclasses import dataclass
from typing import ClassVar

from edgewise.adapt.base import Grade, Parts, Site
from edgewise.core.settings import check, setting


@dataclass(frozen=True)
class Bias:
    """Every additive parameter trains: the norms' shifts, the biases of convolutions and linears.

    A bias needs nothing kept for its gradient; stock autograd keeps every activation all the same.
    """

    name: ClassVar[str] = "bias"
    title: ClassVar[str] = "Biases + head"
    grade: ClassVar[Grade] = "recommended"
    starts_unchanged: ClassVar[bool] = True
    merges: ClassVar[bool] = True

    lr: float = setting(1e-3, "learning rate of the head", low=0)
    side_lr: float = setting(1e-3, "learning rate of the biases", low=0)

    def __post_init__(self) -> None:
        check(self)

    def apply(self, site: Site) -> Parts:
        return Parts(site.head_parameters(), bias_names(site))


def bias_names(site: Site) -> tuple[str, ...]:
    """Names of the biases and shifts outside the head."""
    return tuple(name for name, _ in site.body_parameters() if name.rpartition(".")[2] == "bias")
