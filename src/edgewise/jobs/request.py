"""What ``edgewise fit`` can be told, and what that resolves to."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edgewise.adapt import Method, method_class
from edgewise.core.settings import check, setting, with_texts
from edgewise.lean import SMALL, Lean


@dataclass(frozen=True)
class FitRequest:
    """Everything ``edgewise fit`` can be told; the defaults are the command's."""

    data: str
    backbone: str = "mobilenet_v2"
    width: float | None = None
    weights: str | None = None
    method: str = "repnet"
    method_settings: Mapping[str, str] = field(default_factory=dict)
    epochs: int = setting(10, "times every photo is seen", low=1, high=100_000)
    batch_size: int = setting(8, "photos in a step", low=1, high=65_536)
    image_size: int | None = setting(None, "side of the network's input in pixels", low=8, high=4096)
    lr: float | None = setting(None, "learning rate of the head", low=0)
    side_lr: float | None = setting(None, "learning rate of the method's own part", low=0)
    label_smoothing: float = setting(0.0, "share of the target spread over all classes", low=0, high=0.99)
    val_fraction: float = setting(0.15, "share of train that becomes val where there is none", low=0, high=0.9)
    balance: bool = False
    colour: str = setting("none", "colour jitter", choices=("none", "torch", "tf"))
    flip: bool = True
    crop_scale: float = setting(0.5, "smallest share of a photo that a training crop shows", low=0.01, high=1)
    lean: Lean | None = SMALL  # None: stock autograd
    adam_bits: int = setting(32, "bits of Adam's moments", choices=(8, 32))
    max_bad: float = setting(0.01, "share of unreadable photos to put up with", low=0, high=1)
    workers: int | None = setting(None, "processes that decode photos", low=0, high=256)
    seed: int = setting(0, "seed of everything random", low=0, high=2**31 - 1)

    def __post_init__(self) -> None:
        check(self, "fit")


def resolve_method(request: FitRequest) -> Method:
    """The method with its settings; raises `UsageError` for a name or value it does not know."""
    method = with_texts(method_class(request.method)(), request.method_settings)
    rates = {"lr": request.lr, "side_lr": request.side_lr}
    return dataclasses.replace(method, **{k: v for k, v in rates.items() if v is not None})  # type: ignore[type-var]


def resolved(request: FitRequest, method: Method) -> dict[str, Any]:
    """``config.yaml``: every setting, with the method's own under ``settings``."""
    values = dataclasses.asdict(request)
    del values["method_settings"]
    fields = dataclasses.asdict(method)  # type: ignore[call-overload]
    return {**values, "lr": fields.pop("lr"), "side_lr": fields.pop("side_lr"), "settings": fields}
