"""A source whose weights are here: its gradients can be followed, and it is proven not to move."""

from typing import Any

import torch
from torch import Tensor, nn

from edgewise.backbones import Backbone
from edgewise.core.errors import EdgewiseError, UsageError
from edgewise.core.preprocess import Preprocess
from edgewise.core.surgery import digest
from edgewise.lean import make_lean
from edgewise.reprogram.base import Answer
from edgewise.reprogram.space import Space


class Standardise(nn.Module):
    """Images from 0 to 1 to what a backbone expects; differentiable by the images."""

    def __init__(self, preprocess: Preprocess) -> None:
        super().__init__()
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(preprocess.mean).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(preprocess.std).view(3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        return (images - self.mean) / self.std


class WhiteBox:
    """``module`` frozen and in eval mode, as a source of ``classes`` classes that answers with logits (or features).

    The module itself is frozen, not a copy: a source may be large.  Its parameters take no gradient any more;
    gradients pass through it to what it reads.  Raises `UsageError` where its answer to a sample is not
    (1, ``classes``).
    """

    def __init__(self, module: nn.Module, takes: Space, classes: int, answers: Answer = "logits") -> None:
        self.module, self.takes, self.classes, self.answers = module.eval(), takes, classes, answers
        for parameter in module.parameters():
            parameter.requires_grad_(False)
        self._fingerprint = digest(module.state_dict())
        kind = torch.long if takes.symbols else torch.float32
        with torch.no_grad():
            shape = tuple(module(torch.zeros(1, *takes.shape, dtype=kind)).shape)
        if shape != (1, classes):
            raise UsageError(f"The source answers one sample with {shape}, and (1, {classes}) was said.")

    @property
    def weight_bytes(self) -> int:
        """What sending the model instead of asking it would take: the bytes of its weights and buffers."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self.module.state_dict().values())

    @property
    def fingerprint(self) -> str:
        """SHA-256 of its weights and buffers as they were when it became a source."""
        return self._fingerprint

    def __deepcopy__(self, memo: Any) -> "WhiteBox":
        """Itself: nothing changes a frozen source, and scikit-learn copies what its clones are made of."""
        return self

    def __call__(self, samples: Tensor) -> Tensor:
        logits: Tensor = self.module(samples)
        return logits

    def check_untouched(self) -> None:
        """Raise `EdgewiseError` where the module is not what it was, or not in eval mode."""
        if any(module.training for module in self.module.modules()):
            raise EdgewiseError("A part of the source is in training mode: its answers would change with the batch.")
        if digest(self.module.state_dict()) != self._fingerprint:
            raise EdgewiseError("The source's weights have changed since it became a source: a program for it is void.")


def of_network(module: nn.Module, preprocess: Preprocess, classes: int) -> WhiteBox:
    """A network of normalised images as a source of colour images (3, size, size) from 0 to 1.

    It computes by a lean plan from now on (`make_lean`): what a program's gradient passes through is frozen, so little
    of it need be kept, and it takes about half of stock PyTorch's time.
    """
    size = preprocess.size
    make_lean(module)
    return WhiteBox(nn.Sequential(Standardise(preprocess), module), Space((3, size, size), 0.0, 1.0), classes)


def of_backbone(backbone: Backbone) -> WhiteBox:
    """A backbone with its own classifier.  Raises `UsageError` where its last layer is not its own (random)."""
    if backbone.weights is None or not backbone.weights.head:
        raise UsageError(f"{backbone.name} has no classifier of its own here, and reprogramming reads its answers.")
    head = backbone.module.get_submodule(backbone.head)
    assert isinstance(head, nn.Linear)
    return of_network(backbone.module, backbone.input, head.out_features)
