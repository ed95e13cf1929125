"""One training step of a backbone and a method, with no photos: what ``profile`` predicts and measures."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from edgewise.adapt import METHODS, Adapted, adapt
from edgewise.backbones import load
from edgewise.core.errors import unknown
from edgewise.core.settings import check, setting, with_texts
from edgewise.lean import lean_named, make_lean
from edgewise.train.adam import Adam


@dataclass(frozen=True)
class StepRequest:
    """What the step is made of; costs do not depend on values, so no weights are needed."""

    backbone: str = "mobilenet_v2"
    width: float | None = None
    method: str = "repnet"
    method_settings: Mapping[str, str] = field(default_factory=dict)
    classes: int = setting(10, "classes of the head", low=2, high=100_000)
    image_size: int | None = setting(None, "side of the network's input in pixels", low=8, high=4096)
    batch_size: int = setting(8, "photos in a step", low=1, high=65_536)
    lean: str = "small"
    threads: int | None = setting(None, "threads, by default all", low=1, high=1024)

    def __post_init__(self) -> None:
        check(self, "profile")
        if self.method not in METHODS:
            raise unknown("method", self.method, METHODS)
        lean_named(self.lean)


class TrainingStep:
    """The adapted model, its optimizer, and a batch of grey photos."""

    def __init__(self, request: StepRequest) -> None:
        backbone = load(request.backbone, weights="none", width=request.width, image_size=request.image_size)
        method = with_texts(METHODS[request.method](), request.method_settings)
        self.request = request
        self.model: Adapted = adapt(backbone, method, [str(number) for number in range(request.classes)])
        self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        size = self.model.backbone.input.size
        self.shape = (request.batch_size, 3, size, size)

    def prepare(self, device: str = "cpu") -> None:
        """Make the batch, the optimizer and the plan, on the parameters the model has now."""
        parameters = dict(self.model.named_parameters())
        self.adam = Adam(
            {group: [(name, parameters[name]) for name in names] for group, names in self.model.groups.items()}
        )
        images = torch.full(self.shape, 128, dtype=torch.uint8, device=device)
        self.images: Tensor = images.contiguous(memory_format=torch.channels_last)
        self.labels = torch.zeros(len(images), dtype=torch.long, device=device)
        lean = lean_named(self.request.lean)
        self.uncovered = () if lean is None else make_lean(self.model, lean)

    def loss(self) -> Tensor:
        """The forward pass."""
        return F.cross_entropy(self.model(self.images), self.labels)

    def __call__(self) -> None:
        """The whole step; the rate is 0, so that every step is the same."""
        self.model.train()
        with self.adam.during_backward({"main": 0.0, "side": 0.0}):
            self.loss().backward()

    def describe(self) -> dict[str, Any]:
        """Trained and all parameters, and the names of what the lean pass could not cover."""
        return {**self.model.sizes(), "uncovered": list(self.uncovered)}
