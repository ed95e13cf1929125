"""The trainers, by name."""

from edgewise.core.errors import unknown
from edgewise.reprogram.trainers.base import Trainer
from edgewise.reprogram.trainers.gradient import Gradient
from edgewise.reprogram.trainers.policy import PolicyGradient
from edgewise.reprogram.trainers.zeroth_order import SphereSearch, Spsa

_ALL: tuple[type[Trainer], ...] = (Gradient, SphereSearch, Spsa, PolicyGradient)
TRAINERS: dict[str, type[Trainer]] = {one.name: one for one in _ALL}


def trainer_class(name: str) -> type[Trainer]:
    """The trainer called ``name``.  Raises `UsageError`, with what was meant."""
    if name not in TRAINERS:
        raise unknown("trainer", name, TRAINERS)
    return TRAINERS[name]
