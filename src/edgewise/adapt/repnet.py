"""Rep-Net (Yang, Rakin, Fan, CVPR 2022): a tiny side network reprograms a frozen backbone.

Where the backbone changes shape, a connector adds the side network's feature ``p`` to the
backbone's ``x`` (Eq. 4: x̂ = p̂ = x + p).  Only the side network and the head train (Eq. 5).

**Two wirings of "dual".**  The paper feeds module i + 1 with p̂_i, the feature as it was merged at
connector i.  The authors' released code feeds it with the backbone's feature that enters block
i + 1: p̂_i after the blocks between.  The shapes are the same, the network is not.  The numbers
published in the paper came from the released code's wiring (``wiring="reference"``), which is
our default too; ``wiring="paper"`` is the text's.

Deviations from the released code, each on purpose: the backbone's batch norms really are frozen
(the code lets their statistics drift); biases stay frozen unless ``train_bias`` (the code's
default trains them, the text does not); the 3 x 3 kernel is chosen by the network's deepest
resolution, not by "7 pixels", so that weights do not depend on the image size; the modules sit
where shapes are *found* to change, which gives the paper's six on its four networks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from edgewise.adapt.base import Grade, Parts, Site
from edgewise.adapt.bias import bias_names
from edgewise.backbones.blocks import make_divisible
from edgewise.backbones.stages import Block, connectors
from edgewise.core.settings import check, setting
from edgewise.layers.side_module import Norm, SideModule

Connect = Literal["dual", "dual-all", "none", "down", "up"]
Wiring = Literal["reference", "paper"]
INPUT_MIDDLE = 8


@dataclass(frozen=True)
class RepNet:
    """The side network, its connectors, and what trains with it.

    ``connect`` (Figure 3): ``dual`` x̂ = p̂ = x + p; ``down`` only x is updated; ``up`` only p is,
    and both merge at the last connector; ``none`` they merge there without having met;
    ``dual-all`` a connector at every block.  A module's last norm starts at zero wherever its
    output reaches the backbone, so the adapted network starts bit-equal to the backbone.
    """

    name: ClassVar[str] = "repnet"
    title: ClassVar[str] = "Rep-Net"
    grade: ClassVar[Grade] = "recommended"
    starts_unchanged: ClassVar[bool] = True
    merges: ClassVar[bool] = False

    connect: Connect = setting(
        "dual", "which of backbone and side network is updated", choices=("dual", "dual-all", "none", "down", "up")
    )
    wiring: Wiring = setting("reference", "what a module of dual reads", choices=("reference", "paper"))
    train_bias: bool = setting(False, "train the backbone's biases and shifts too, at lr")
    kernel: Literal["paper", "3", "5"] = setting(
        "paper", "first kernel: 5, and 3 at the deepest resolution (paper), or one size", choices=("paper", "3", "5")
    )
    expand: float = setting(1.0, "middle channels as a multiple of a module's input channels", low=0.125, high=8)
    norm: Norm = setting("batch", "norm inside the modules", choices=("batch", "group"))
    weight_standard: bool = setting(True, "standardise the weights of the modules' convolutions")
    lr: float = setting(1e-3, "learning rate of the head (and of the biases)", low=0)
    side_lr: float = setting(1e-2, "learning rate of the side network", low=0)

    def __post_init__(self) -> None:
        check(self)

    def apply(self, site: Site) -> Parts:
        points = connectors(site.blocks)
        if self.connect == "dual-all":
            names = [block.name for block in site.blocks]
            span = site.blocks[names.index(points[0].name) : names.index(points[-1].name) + 1]
            points = tuple(b for b in span if not isinstance(site.network.get_submodule(b.name), nn.Identity))
        side = SideNetwork([self._module(site, points, i) for i in range(len(points))], self.connect, self.wiring)
        side.attach(site.network, [block.name for block in points])
        biases = bias_names(site) if self.train_bias else ()
        return Parts(site.head_parameters() + biases, added=side)

    def _module(self, site: Site, points: Sequence[Block], index: int) -> SideModule:
        block = points[index]
        inputs, size = (3, site.size) if index == 0 else block.input_shape[:2]
        outputs, target = block.output_shape[:2]
        # The image is pooled to half of its target, as features of an unchanged size are.
        pool = max(2, round(size / target * (2 if index == 0 else 1)))
        middle = INPUT_MIDDLE if index == 0 else make_divisible(inputs * self.expand)
        deepest = target == points[-1].output_shape[1]
        kernel = int(self.kernel) if self.kernel != "paper" else 3 if deepest else 5
        groups = 2 if index > 0 and inputs % 2 == 0 and middle % 2 == 0 else 1
        reaches_backbone = self.connect not in ("up", "none") or index == len(points) - 1
        return SideModule(
            inputs, middle, outputs, kernel, pool, groups, self.norm, self.weight_standard, zero=reaches_backbone
        )


class SideNetwork(nn.Module):
    """The chain of side modules, one per connector; it meets the backbone in forward hooks.

    Hooks leave the backbone's modules and their names alone, so its weights load, hash and save
    as before.  Between a forward pass's beginning and end the image and the last p are held.
    """

    def __init__(self, modules: Sequence[SideModule], connect: Connect, wiring: Wiring) -> None:
        super().__init__()
        self.rungs = nn.ModuleList(modules)
        self.reads_backbone = connect in ("dual", "dual-all") and wiring == "reference"
        self.updates_backbone = connect in ("dual", "dual-all", "down")
        self.updates_side = connect in ("dual", "dual-all", "up")
        self._feature: Tensor | None = None

    def attach(self, network: nn.Module, points: Sequence[str]) -> None:
        """Connect rung i behind the block called ``points[i]``."""
        network.register_forward_pre_hook(self._begin)
        for index, name in enumerate(points):
            network.get_submodule(name).register_forward_hook(partial(self._connector, index))
        network.register_forward_hook(self._end, always_call=True)

    def _begin(self, network: nn.Module, args: tuple[Any, ...]) -> None:
        self._feature = args[0]

    def _end(self, network: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        self._feature = None

    def _connector(self, index: int, block: nn.Module, args: tuple[Any, ...], x: Tensor) -> Tensor:
        source = args[0] if self.reads_backbone and index > 0 else self._feature
        p = self.rungs[index](source, x.shape[-2:])
        merged = x + p
        self._feature = merged if self.updates_side else p
        last = index == len(self.rungs) - 1
        return merged if self.updates_backbone or last else x
