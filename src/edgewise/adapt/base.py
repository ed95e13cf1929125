"""What an adaptation method is.

A method is a frozen dataclass.  It is given a `Site`, the copy of a backbone that will be adapted,
with its new head already in place, and answers with `Parts`: which parameters train, at which
learning rate, which modules leave eval mode, and what it added.  It never sees the data, the
training loop, or how the backward pass is stored.

Adding a method: one file with one dataclass, one line in ``edgewise/adapt/registry.py``.
"""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal, Protocol

from torch import Tensor, nn

from edgewise.backbones import Backbone
from edgewise.backbones.stages import Block
from edgewise.core.errors import UsageError
from edgewise.core.surgery import Folds, digest, replace
from edgewise.layers.int8_weight import origins
from edgewise.layers.normalise import Normalise

Grade = Literal["recommended", "special use", "for comparison"]


@dataclass(frozen=True)
class Site:
    """A network about to be adapted.

    ``network`` maps images (N, 3, ``size``, ``size``) to logits; ``head`` is the dotted name of
    its last linear layer, ``old_head`` the backbone's own layer that was there before (None where
    it stayed); ``blocks`` are its blocks in order of execution, with their shapes.
    """

    network: nn.Module
    head: str
    blocks: tuple[Block, ...]
    size: int
    old_head: nn.Linear | None = None

    def head_parameters(self) -> tuple[str, ...]:
        """Names of the head's parameters."""
        layer = self.network.get_submodule(self.head)
        return tuple(f"{self.head}.{name}" for name, _ in layer.named_parameters())

    def body_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Names and parameters of everything but the head."""
        prefix = f"{self.head}."
        return ((name, p) for name, p in self.network.named_parameters() if not name.startswith(prefix))


@dataclass(frozen=True)
class Group:
    """Parameters of the network, by name, that train at a rate of their own."""

    names: tuple[str, ...]
    lr: float


@dataclass(frozen=True)
class Parts:
    """What a method trains.

    ``main`` parameters of the network train at ``lr`` (the head, and small things in place);
    ``side`` parameters of the network train at ``side_lr``, and so does all of ``added``;
    ``groups`` are further parameters, by a name for each group.
    ``awake`` modules of the network follow ``train()``; the rest stays in eval mode, batch-norm
    statistics included.  ``""`` stands for the whole network.
    """

    main: tuple[str, ...]
    side: tuple[str, ...] = ()
    awake: tuple[str, ...] = ()
    added: nn.Module | None = None
    groups: Mapping[str, Group] = field(default_factory=dict)


class Method(Protocol):
    """The contract every method fulfils; see ``tests/contract``.

    ``starts_unchanged``: the adapted network's first answers are bit-equal to the backbone's, where it
    keeps its head.  ``merges``: what was learned fits into a plain network, see `Adapted.merged`.
    The first paragraph of a method's docstring is its line in ``edgewise methods``.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    grade: ClassVar[Grade]
    starts_unchanged: ClassVar[bool]
    merges: ClassVar[bool]

    @property
    def lr(self) -> float:
        """Learning rate of the head, for batches of 8, where the user names none."""

    @property
    def side_lr(self) -> float:
        """Learning rate of the method's own part."""

    def apply(self, site: Site) -> Parts:
        """Change ``site.network`` where the method must, and say what trains.

        Raises `UsageError`, before anything is changed, for a network that lacks what the method needs.
        """


class Adapted(nn.Module):
    """An adapted network: images (N, 3, H, W), bytes or normalised floats, to logits (N, classes).

    ``train()`` wakes only what the method declared, so a frozen backbone keeps its statistics
    whoever runs the loop.  State keys are ``network.*`` (the backbone's own names) and ``side.*``.
    ``backbone`` describes where the network came from; its ``module`` is the adapted network.
    """

    def __init__(
        self,
        backbone: Backbone,
        original: Mapping[str, str],
        parts: Parts,
        method: Method,
        classes: tuple[str, ...],
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.normalise = Normalise(backbone.input)
        self.network = backbone.module
        self._original = original
        self.side = parts.added if parts.added is not None else nn.ModuleList()
        self.method = method
        self.classes = classes
        self.awake = parts.awake
        side = {f"side.{name}" for name, _ in self.side.named_parameters()}
        self.groups: Mapping[str, tuple[str, ...]] = {
            "main": tuple(f"network.{name}" for name in parts.main),
            "side": tuple(f"network.{name}" for name in parts.side) + tuple(sorted(side)),
            **{group: tuple(f"network.{name}" for name in own.names) for group, own in parts.groups.items()},
        }
        self.rates: Mapping[str, float] = {
            "main": method.lr,
            "side": method.side_lr,
            **{group: own.lr for group, own in parts.groups.items()},
        }
        trained = {name for names in self.groups.values() for name in names}
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(name in trained)
        self.train()

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(self.normalise(images))
        return logits

    def train(self, mode: bool = True) -> "Adapted":
        super().train(mode)
        if mode and "" not in self.awake:
            self.network.eval()
            for name in self.awake:
                self.network.get_submodule(name).train()
            for part in self.network.modules():
                if isinstance(part, (nn.Dropout, nn.Dropout2d)):
                    part.train()
        return self

    def trainable(self) -> dict[str, nn.Parameter]:
        """The parameters that train, by name."""
        return {name: p for name, p in self.named_parameters() if p.requires_grad}

    def changing(self) -> dict[str, Tensor]:
        """Every tensor a training step may change: trained parameters and awake buffers."""
        awake = ("side.", *(f"network.{name}." if name else "network." for name in self.awake))
        buffers = {name: b for name, b in self.named_buffers() if name.startswith(awake)}
        return {**{name: p.data for name, p in self.trainable().items()}, **buffers}

    def difference(self) -> dict[str, Tensor]:
        """Every tensor that is not, bit for bit, the backbone's: what an adapter has to hold.

        A frozen weight held in 8 bits is the backbone's if it was made from the backbone's floats.
        """
        state, held = self.state_dict(), origins(self)
        return {name: t for name, t in state.items() if self._original.get(name) != (held.get(name) or digest({"": t}))}

    def merged(self) -> nn.Module:
        """A plain network (normalised floats (N, 3, H, W) to logits) that computes what this model does in eval mode.

        Layers that only training needs give way to what they come to (`Folds`); everything else
        is a copy of the adapted network.  Raises `UsageError` where the method adds something that stays.
        """
        if not self.method.merges:
            raise UsageError(
                f"{self.method.title} keeps parts beside the backbone, so it does not merge into a plain network; "
                "use the adapted model itself."
            )
        network = copy.deepcopy(self.network).eval()
        for name, layer in list(network.named_modules()):
            if name and isinstance(layer, Folds):
                replace(network, name, layer.folded())
        return network

    def sizes(self) -> dict[str, int]:
        """``trainable_params`` and ``total_params``."""
        total = sum(p.numel() for p in self.parameters())
        trained = sum(p.numel() for p in self.trainable().values())
        return {"trainable_params": trained, "total_params": total}

    def backbone_bytes(self) -> int:
        """Of the network's state with its new head, without what the method put in."""
        return sum(t.numel() * t.element_size() for name, t in self.state_dict().items() if name in self._original)
