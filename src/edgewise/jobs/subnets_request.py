"""What ``edgewise subnets`` can be told, and what that resolves to."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

from edgewise.core.settings import check, setting
from edgewise.subnets import SubNetSettings
from edgewise.train.classify import Precision


@dataclass(frozen=True)
class SubNetsRequest:
    """Everything ``edgewise subnets`` can be told; the defaults are the command's.

    ``head`` and ``schedule`` are as for ``edgewise compress``.  Rate, decay and batch are the dissertation's for
    CIFAR, where a network is trained from random weights.
    """

    data: str
    backbone: str = "resnet20"
    width: float | None = None
    weights: str | None = None
    subnets: SubNetSettings = field(default_factory=SubNetSettings)
    head: Literal["auto", "fresh"] = setting("auto", "the last layer", choices=("auto", "fresh"))
    epochs: int = setting(10, "times every photo is seen", low=1, high=100_000)
    batch_size: int = setting(128, "photos in a step", low=1, high=65_536)
    image_size: int | None = setting(None, "side of the network's input in pixels", low=8, high=4096)
    lr: float = setting(0.1, "learning rate at the start", low=0, high=100)
    weight_decay: float = setting(5e-4, "pull of every weight to 0", low=0, high=1)
    schedule: Literal["cosine", "steps"] = setting("cosine", "how the rate falls", choices=("cosine", "steps"))
    label_smoothing: float = setting(0.0, "share of the target spread over all classes", low=0, high=0.99)
    precision: Precision = setting("float32", "what a step computes with", choices=("float32", "bfloat16"))
    val_fraction: float = setting(0.1, "share of train that becomes val where there is none", low=0, high=0.9)
    pad: int = setting(4, "pixels a training photo is moved by at most; 0: random crops", low=0, high=64)
    crop_scale: float = setting(0.5, "smallest share of a photo that a random crop shows", low=0.01, high=1)
    flip: bool = True
    max_bad: float = setting(0.01, "share of unreadable photos to put up with", low=0, high=1)
    workers: int | None = setting(None, "processes that decode photos", low=0, high=256)
    seed: int = setting(0, "seed of everything random", low=0, high=2**31 - 1)

    def __post_init__(self) -> None:
        check(self, "subnets")


def resolved(request: SubNetsRequest) -> dict[str, Any]:
    """``config.yaml``: every setting, those of the sub-nets among them."""
    values = dataclasses.asdict(request)
    own = values.pop("subnets")
    return {**values, **own, **{name: list(own[name]) for name in ("densities", "patterns")}}
