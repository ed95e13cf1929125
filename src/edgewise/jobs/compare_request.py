"""What ``edgewise compare`` can be told, and the runs and steps that it asks for."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgewise.adapt import METHODS, method_class
from edgewise.core.errors import UsageError
from edgewise.core.settings import check, setting
from edgewise.jobs.training_step import StepRequest

UNSHARED = ("methods", "seeds", "seed")  # a comparison may grow by these when it is resumed


@dataclass(frozen=True)
class CompareRequest:
    """What is compared; ``methods`` empty: all.  The runs of a method have the seeds ``seed``, ``seed + 1``, …"""

    data: str
    backbone: str = "mobilenet_v2"
    width: float | None = None
    weights: str | None = None
    methods: Sequence[str] = ()
    epochs: int = setting(10, "times every photo is seen", low=1, high=100_000)
    seeds: int = setting(3, "runs of every method", low=1, high=1000)
    seed: int = setting(0, "seed of the first run", low=0, high=2**30)
    batch_size: int = setting(8, "photos in a step", low=1, high=65_536)
    image_size: int | None = setting(None, "side of the network's input in pixels", low=8, high=4096)
    flip: bool = True
    crop_scale: float = setting(0.5, "smallest share of a photo that a training crop shows", low=0.01, high=1)
    max_bad: float = setting(0.01, "share of unreadable photos to put up with", low=0, high=1)
    workers: int | None = setting(None, "processes that decode photos", low=0, high=256)

    def __post_init__(self) -> None:
        check(self, "compare")
        for method in self.methods:
            method_class(method)

    def names(self) -> tuple[str, ...]:
        """The methods, each once."""
        return tuple(dict.fromkeys(self.methods)) or tuple(METHODS)

    def shared(self) -> dict[str, Any]:
        """What all runs have in common, by the names of `FitRequest`; it is the folder's ``config.yaml``."""
        return {name: value for name, value in dataclasses.asdict(self).items() if name not in UNSHARED}

    def run(self, method: str, seed: int) -> dict[str, Any]:
        """One run, at the method's own rates: fields of `FitRequest`."""
        return {**self.shared(), "method": method, "seed": seed}

    def step(self, method: str, classes: int) -> StepRequest:
        """The training step of a method's runs."""
        return StepRequest(
            self.backbone, self.width, method, classes=classes, image_size=self.image_size,
            batch_size=self.batch_size, weights=self.weights,
        )  # fmt: skip


def methods_named(text: str) -> tuple[str, ...]:
    """``"last,repnet+mask"`` → the names, ``"all"`` → every method.  `UsageError` where there is none."""
    names = tuple(METHODS) if text.strip() == "all" else tuple(filter(None, map(str.strip, text.split(","))))
    if not names:
        raise UsageError("--methods names no method; write all, or a list such as last,bias,repnet.")
    return names
