"""Every method by name, and why a name is none."""

from edgewise.adapt.base import Method
from edgewise.adapt.bias import Bias
from edgewise.adapt.blocks import Blocks
from edgewise.adapt.bn import BatchNorm
from edgewise.adapt.combine import combined
from edgewise.adapt.full import Full
from edgewise.adapt.input import Input
from edgewise.adapt.last import LastLayer
from edgewise.adapt.lite import LitePatches
from edgewise.adapt.mask import Mask
from edgewise.adapt.mobiletl import MobileTL
from edgewise.adapt.repnet import RepNet
from edgewise.adapt.tinytl import TinyTL
from edgewise.core.errors import UsageError, unknown

RepNetMask = combined(
    "repnet+mask",
    RepNet,
    Mask,
    "Rep-Net, and a learned mask that leaves kernels out of the backbone's blocks where it connects.",
    "special use",
)

MobileTLLite = combined(
    "mobiletl+lite",
    MobileTL,
    LitePatches,
    "MobileTL, and a small branch of TinyTL's beside each block that trains.",
    "for comparison",
)

METHODS: dict[str, type[Method]] = {
    method.name: method
    for method in (
        Full,
        LastLayer,
        BatchNorm,
        Bias,
        Blocks,
        MobileTL,
        RepNet,
        TinyTL,
        Mask,
        RepNetMask,
        Input,
        LitePatches,
        MobileTLLite,
    )
}


def method_class(name: str) -> type[Method]:
    """The method called ``name``.

    Raises `UsageError` for a name that is none, and for a combination that makes no sense, with the reason.
    """
    if name in METHODS:
        return METHODS[name]
    parts = name.split("+")
    for part in parts:
        if len(parts) == 1 or (part not in METHODS and not any(part in known.split("+") for known in METHODS)):
            raise unknown("method", part, METHODS)
    raise UsageError(f"{name} is not a method: {_reason(parts)}. {_choices()}")


def _reason(parts: list[str]) -> str:
    turned = "+".join(reversed(parts))
    if turned in METHODS:
        return f"write it {turned}"
    if len(set(parts)) < len(parts):
        return "a method cannot be combined with itself"
    if "full" in parts:
        return "full trains every parameter already"
    if "last" in parts:
        return "every method trains the last layer already"
    if sorted(parts) == ["bias", "repnet"]:
        return "Rep-Net trains the biases too with --method repnet --set train_bias=true"
    if sorted(parts) == ["bias", "tinytl"]:
        return "TinyTL trains the biases already"
    return "no paper combines these, and nobody has measured what they would be worth together"


def _choices() -> str:
    pairs = [name for name in METHODS if "+" in name]
    return f"The combinations are {', '.join(pairs)}." if pairs else "There is no combination yet."
