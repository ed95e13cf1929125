"""What a compression does to a network: the dissertation's four arms and the float network they are compared with.

Table 3 calls them Tern, Pruning, Naive combine and Ours.  ``float`` trains the same network equally long with neither
ternary weights nor penalty: the honest baseline of a fine-tuning, which by itself changes the accuracy.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Literal

from edgewise.core.errors import UsageError
from edgewise.core.settings import check, setting

Ends = Literal["float", "ternary"]


@dataclass(frozen=True)
class Arm:
    """Whether the layers compute with ternary weights, whether groups are penalised, and whether that is clipped."""

    title: str
    ternary: bool
    penalised: bool
    clipped: bool

    @property
    def bits(self) -> int:
        """Of a stored weight; n of Eq. 2.8."""
        return 2 if self.ternary else 32

    @property
    def compresses(self) -> bool:
        """Is anything done to the layers?"""
        return self.ternary or self.penalised


ARMS: Mapping[str, Arm] = {
    "wpc": Arm("Ternary + clipped group lasso", ternary=True, penalised=True, clipped=True),
    "naive": Arm("Ternary + plain group lasso", ternary=True, penalised=True, clipped=False),
    "tern": Arm("Ternary", ternary=True, penalised=False, clipped=False),
    "prune": Arm("Plain group lasso, full precision", ternary=False, penalised=True, clipped=False),
    "float": Arm("Full precision", ternary=False, penalised=False, clipped=False),
}


@dataclass(frozen=True)
class Compression:
    """How to compress.

    ``pe``: input channels of a filter that one processing element computes, C_g; it must divide those of every layer.
    ``lam``: lambda of Eq. 2.5 and 2.6.  ``clip``: a of Eq. 2.7.  The dissertation gives neither; the defaults come from
    short trials on validation photos, and ``recipes/compress/sweep.py`` chooses.  ``first_last``: what the first
    convolution and the head compute with; where ternary, they are not penalised, and a group is a whole filter where
    ``pe`` does not fit.
    """

    arm: str = setting("wpc", "what to do", choices=tuple(ARMS))
    pe: int = setting(16, "input channels of a group", low=1, high=65_536)
    lam: float = setting(1e-2, "weight of the group penalty (--lambda)", low=0, high=1000)
    clip: float = setting(0.95, "threshold of the penalty, in mean norms of a layer's groups", low=0, high=1000)
    first_last: Ends = setting("float", "first convolution and head", choices=("float", "ternary"))

    def __post_init__(self) -> None:
        check(self, "compress")
        if self.first_last == "ternary" and not self.kind.ternary:
            raise UsageError(f"--first-last ternary is for the ternary arms, and {self.arm} keeps full precision.")

    @property
    def kind(self) -> Arm:
        return ARMS[self.arm]

    @property
    def weight(self) -> float:
        """lambda as the arm uses it: 0 where it has no penalty."""
        return self.lam if self.kind.penalised else 0.0

    @property
    def ceiling(self) -> float:
        """a as the arm uses it: infinite where nothing is clipped."""
        return self.clip if self.kind.clipped else inf
