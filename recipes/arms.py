"""The lines of the papers' tables: methods on sets and networks, each at rates of its own.

Every method has the rates and the number of epochs that ``recipes/tune_methods.py`` chose for it on validation
parts; ``last``, which has nothing else to train, has fifteen epochs.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from grid import Job, newest

from edgewise.jobs.training_step import StepRequest

NETWORKS: dict[str, dict[str, Any]] = {
    "MobileNetV2 0.35": {"width": 0.35},
    "MobileNetV2 1.0": {"width": 1.0},
    "MobileNetV1 0.25": {"width": None, "weights": "mobilenet_v1_w025_imagenet"},
    "MCUNet": {"width": None, "weights": "mcunet_5fps_imagenet"},
    "MCU-MobileNetV2": {"width": None, "weights": "mcu_mobilenet_v2_w035_imagenet"},
    "MCU-ProxylessNAS": {"width": None, "weights": "mcu_proxyless_w030_imagenet"},
    "ResNet-20": {"width": None, "weights": "cifar10_resnet20", "image_size": 32},
    "ResNet-56": {"width": None, "weights": "cifar10_resnet56", "image_size": 32},
}
NARROW, WIDE = "MobileNetV2 0.35", "MobileNetV2 1.0"
SETS = {  # as pages and pictures call them, with photos a class
    "signdigits": "hand signs", "cifar10": "CIFAR-10, 100", "cifar10_500": "CIFAR-10, 500", "flowers5": "flowers",
    "hymenoptera": "ants, bees", "pneumonia": "X-rays", "mnist": "MNIST, 100",
}  # fmt: skip
LENGTH = {"hymenoptera": 10 / 6, "cifar10_500": 0.5, "pneumonia": 0.5}  # of a run, for sets of another size
EPOCHS, LAST_EPOCHS = 6, 15
LAST = f"last, {LAST_EPOCHS} epochs"
SAME_RATES = {"lite": "mobiletl+lite"}


@dataclass(frozen=True)
class Arm:
    """What is trained, and averaged over seeds.  ``job`` is its first run."""

    network: str
    name: str
    job: Job

    def jobs(self, seeds: int) -> list[Job]:
        return [replace(self.job, seed=seed) for seed in range(seeds)]


@dataclass(frozen=True)
class Costed:
    """A training step that is measured and not trained, with what the paper prints of it."""

    network: str
    name: str
    step: StepRequest
    printed: Mapping[str, float] = field(default_factory=dict)


def tuned(method: str) -> dict[str, Any]:
    """``lr, side_lr, epochs, settings`` of ``method``, as chosen; its defaults where nothing was chosen for it."""
    result = newest("tune_methods")
    chosen = {} if result is None else result["chosen"].get(SAME_RATES.get(method, method), {})
    return {"lr": None, "side_lr": None, "epochs": EPOCHS, "settings": {}, **chosen}


def arm(data: str, network: str, method: str, name: str = "", rates: str = "", **changes: Any) -> Arm:
    """``method`` on a set and a network, called ``name``, at the rates chosen for ``rates`` (the method's own).

    ``changes`` are fields of `Job`; ``settings`` are added to those that were chosen.
    """
    chosen = tuned(rates or method)
    epochs = LAST_EPOCHS if method == "last" else chosen["epochs"]
    values = {
        **NETWORKS[network],
        "epochs": max(1, round(epochs * LENGTH.get(data, 1))),
        "lr": chosen["lr"],
        "side_lr": chosen["side_lr"],
        **changes,
        "settings": {**chosen["settings"], **changes.get("settings", {})},
    }
    return Arm(network, name or (LAST if method == "last" else method), Job(data, method=method, seed=0, **values))


def product(sets: Iterable[str], networks: Iterable[str], methods: Iterable[str]) -> list[Arm]:
    """Every method on every set and network."""
    networks, methods = tuple(networks), tuple(methods)
    return [arm(data, network, method) for data in sets for network in networks for method in methods]
