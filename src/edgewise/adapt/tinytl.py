"""TinyTL (Cai, Gan, Zhu, Han, NeurIPS 2020): biases and lite residual modules train, weights do not.

``train`` names the paper's variants: ``bias`` (TinyTL-B, Section 3.2: every additive parameter),
``lite`` (L, Section 3.3: the lite residual modules, beside every residual block but the first), and
both, ``lite+bias`` (L+B), where the modules' last shifts stay frozen as in the released code, since
the biases next to them train.  With ProxylessNAS-Mobile and 100 classes these train 145,348, 1,944,516
and 1,959,748 parameters, as published.

**The backbone's norms.**  The paper's networks have group norm and standardised weights throughout, and
were trained so on ImageNet, lite modules included.  That checkpoint is not to be had, and put onto
weights that were trained with batch norm, the two change what the network computes: TinyTL would be
compared with a broken backbone.  Here the backbone is what it was, its batch norms in eval mode; group
norm and standardised weights are the lite modules' own, as settings.

The modules start at random, which the paper calls TinyTL-random; ``lite_weights`` starts them from a file.
A backbone's 8-bit weights are the lean pass's matter.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from edgewise.adapt.base import Grade, Parts, Site
from edgewise.adapt.bias import bias_names
from edgewise.adapt.lite import LiteResiduals
from edgewise.adapt.residual_blocks import residual_blocks
from edgewise.backbones.matching import compare, put
from edgewise.backbones.weight_files import read_weights
from edgewise.core.errors import EdgewiseError, UsageError
from edgewise.core.settings import check, setting
from edgewise.layers.side_module import Norm

Train = Literal["lite+bias", "lite", "bias"]
SIDE = "side."


@dataclass(frozen=True)
class TinyTL:
    """Small two-convolution branches beside the residual blocks train, and the biases with them.

    A branch works at half the resolution, so what it keeps is small; a bias keeps nothing.
    """

    name: ClassVar[str] = "tinytl"
    title: ClassVar[str] = "TinyTL"
    grade: ClassVar[Grade] = "for comparison"
    starts_unchanged: ClassVar[bool] = True
    merges: ClassVar[bool] = False

    train: Train = setting(
        "lite+bias",
        "what trains with the head: lite residual modules, biases",
        choices=("lite+bias", "lite", "bias"),
    )
    norm: Norm = setting("group", "norm inside the lite modules", choices=("batch", "group"))
    weight_standard: bool = setting(True, "standardise the weights of the lite modules' convolutions")
    lite_weights: str = setting("", "safetensors file the lite modules start from; empty: at random", start=True)
    lr: float = setting(1e-3, "learning rate of the head", low=0)
    side_lr: float = setting(1e-3, "learning rate of the lite modules and the biases", low=0)

    def __post_init__(self) -> None:
        check(self)
        if self.train == "bias" and self.lite_weights:
            raise UsageError(
                f"TinyTL: train is 'bias', which has no lite modules for lite_weights ({self.lite_weights}); "
                "set train to lite+bias or lite, or leave lite_weights out."
            )

    def apply(self, site: Site) -> Parts:
        biases = bias_names(site) if "bias" in self.train else ()
        if self.train == "bias":
            return Parts(site.head_parameters(), biases)
        _, *blocks = residual_blocks(site, self.title)
        if not blocks:
            raise UsageError(
                f"TinyTL puts lite modules beside every residual block but the first, and "
                f"{type(site.network).__name__} has one only. Set train to bias, or use the method repnet."
            )
        lite = LiteResiduals(blocks, self.norm, self.weight_standard, trains_last_shift=not biases)
        if self.lite_weights:
            _start_from(lite, Path(self.lite_weights))
        lite.attach(site.network, blocks)
        return Parts(site.head_parameters(), biases, added=lite)


def _start_from(lite: LiteResiduals, path: Path) -> None:
    """Copy the tensors of ``path``: the state of another model's ``side``, or the whole adapter of a run with TinyTL.

    Of an adapter, the tensors called ``side.*`` are taken and what it changed in the network is left out.
    Raises `UsageError` where there is no such file, `EdgewiseError` where it does not fit, with what differs.
    """
    if path.suffix != ".safetensors":
        raise UsageError(f"lite_weights is {path}: only .safetensors files are read, which hold nothing but tensors.")
    tensors = read_weights(path).tensors
    own = {name.removeprefix(SIDE): tensor for name, tensor in tensors.items() if name.startswith(SIDE)}
    tensors = own or tensors
    if differing := compare(lite, tensors):
        raise EdgewiseError(
            f"The lite modules in {path} do not fit this network and these settings: {differing}. Use the file of a "
            "run with the same backbone, width and norm, or leave lite_weights out to start at random."
        )
    put(lite, tensors, str(path))
