"""One training step of a backbone and a method, with no photos: what ``profile`` predicts and measures."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from edgewise.adapt import Adapted, adapt_in_place, method_class
from edgewise.backbones import load
from edgewise.core.settings import check, setting, with_texts
from edgewise.cost.dry import Timeline, Watch, watched
from edgewise.lean import Work, is_lean, kept_bytes, lean_named, make_lean, work_of
from edgewise.ops import kernels_met
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
    frozen_bits: int = 32
    adam_bits: int = setting(32, "bits of Adam's moments", choices=(8, 32))
    threads: int | None = setting(None, "threads, by default all", low=1, high=1024)
    weights: str | None = "none"  # a file, for its width and its input

    def __post_init__(self) -> None:
        check(self, "profile")
        method_class(self.method)
        lean_named(self.lean, self.frozen_bits)


class TrainingStep:
    """The adapted model, its optimizer, and a batch of grey photos."""

    def __init__(self, request: StepRequest) -> None:
        backbone = load(request.backbone, weights=request.weights, width=request.width, image_size=request.image_size)
        method = with_texts(method_class(request.method)(), request.method_settings)
        self.request = request
        self.model: Adapted = adapt_in_place(backbone, method, [str(number) for number in range(request.classes)])
        self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        lean = lean_named(request.lean, request.frozen_bits)
        # here, not in `prepare`: rounding needs numbers, and from now on frozen weights exist in 8 bits only
        self.uncovered = () if lean is None else make_lean(self.model, lean)
        size = self.model.backbone.input.size
        self.shape = (request.batch_size, 3, size, size)

    def prepare(self, device: str = "cpu") -> None:
        """Make the batch and the optimizer, on the parameters the model has now."""
        parameters = dict(self.model.named_parameters())
        named = {group: [(name, parameters[name]) for name in names] for group, names in self.model.groups.items()}
        self.adam = Adam(named, self.request.adam_bits)
        images = torch.full(self.shape, 128, dtype=torch.uint8, device=device)
        self.images: Tensor = images.contiguous(memory_format=torch.channels_last)
        self.labels = torch.zeros(len(images), dtype=torch.long, device=device)

    def loss(self) -> Tensor:
        """The forward pass."""
        return F.cross_entropy(self.model(self.images), self.labels)

    def __call__(self) -> None:
        """The whole step; the rate is 0, so that every step is the same."""
        if not self.model.training:
            self.model.train()
        with self.adam.during_backward(dict.fromkeys(self.model.groups, 0.0)):
            self.loss().backward()

    def planned_to_keep(self) -> int:
        """Bytes that the lean pass plans to keep for the backward pass."""
        self.model.train()
        return kept_bytes(self.model, self.images)

    def describe(self) -> dict[str, Any]:
        """Trained and all parameters, and the names of what the lean pass could not cover."""
        return {**self.model.sizes(), "uncovered": list(self.uncovered)}


def dry_run(step: TrainingStep) -> tuple[Timeline, Work]:
    """Memory over the course of ``step``, and its arithmetic, without running it.

    To be called within `edgewise.cost.dry.on_meta` of its model.  The arithmetic is that of the lean pass
    (all zero for stock autograd, which plans nothing).
    """
    step.prepare("meta")
    step.planned_to_keep()  # plans are made before: their shapes are no memory of the step
    watch = Watch()
    watch.own("weights", [*step.model.parameters(), *step.model.buffers()])
    watch.own("optimizer", step.adam.tensors().values())
    watch.own("input", [step.images, step.labels])
    with kernels_met() as kernels:
        timeline = watched(watch, step)
        timeline.kernels = len(kernels)
    forward: Any = step.model.forward
    work = work_of(forward.steps(step.images).steps, len(step.images)) if is_lean(step.model) else Work()
    return timeline, work
