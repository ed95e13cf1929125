"""What a backbone is, and what a family of them states.

A `Family` builds networks; a `Backbone` is one network with everything that must travel with it.
Adding a family: one file that ends in a `Family`, one line in ``edgewise/backbones/families.py``.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from edgewise.backbones.weights import WeightRecord
from edgewise.core.errors import UsageError, unknown
from edgewise.core.preprocess import Preprocess

PADDINGS = ("torch", "tf-same")


@dataclass(frozen=True, eq=False)
class Backbone:
    """A classifier and its description.

    ``module`` maps images (N, 3, H, W) to logits (N, classes); ``settings`` (plain JSON values)
    rebuild it together with ``name`` and the weights; ``head`` is the dotted name of the
    ``nn.Linear`` whose output the logits are; ``fingerprint`` is the digest of its tensors
    (``num_batches_tracked`` left out, and a random head beside weights from a file).  ``classes``
    is None where nobody said what the outputs mean, ``weights`` where there is no file behind
    them.  ``notes`` are sentences for the user: what was assumed, what is random.
    """

    module: nn.Module
    name: str
    settings: Mapping[str, Any]
    input: Preprocess
    classes: tuple[str, ...] | None
    weights: WeightRecord | None
    head: str
    fingerprint: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Family:
    """An architecture of ours.

    ``build(classes=…, **settings)`` makes the network; ``settings`` are the names it takes and
    their defaults; ``widths`` is the range of its width multiplier, None where it has none;
    ``weights`` is the file that ships with the package, None where none does; ``connectors`` are
    the blocks where published work attaches to it (found by `stages.connectors`; a test compares).
    """

    name: str
    build: Callable[..., nn.Module]
    description: str
    paper: str
    input: Preprocess
    classes: int
    head: str
    connectors: tuple[str, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    widths: tuple[float, float] | None = None
    weights: Path | None = None

    @property
    def size(self) -> int:
        """Side of the default input in pixels."""
        return self.input.size

    def checked(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The defaults with ``settings`` over them; raises `UsageError` for a name or value it does not take."""
        if "width" in settings and self.widths is None:
            raise UsageError(f"{self.name} has no width multiplier; leave --width out.")
        for name in settings:
            if name not in self.settings:
                raise unknown(f"setting of {self.name}", name, self.settings)
        values = {**self.settings, **settings}
        if self.widths is not None:
            values["width"] = _number(f"The width of {self.name}", values["width"], *self.widths)
        if "bn_eps" in values:
            values["bn_eps"] = _number("bn_eps, the norms' epsilon,", values["bn_eps"], 1e-8, 1.0)
        if "padding" in values and values["padding"] not in PADDINGS:
            raise unknown("padding", str(values["padding"]), PADDINGS)
        return values


def _number(what: str, value: Any, low: float, high: float) -> float:
    number = float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else math.nan
    if not low <= number <= high:
        raise UsageError(f"{what} is {value!r}; it must be a number from {low:g} to {high:g}.")
    return number
