"""The input transforms, by name."""

from edgewise.core.errors import unknown
from edgewise.reprogram.base import InputTransform
from edgewise.reprogram.transforms.pad import Pad
from edgewise.reprogram.transforms.prompt import Prompt
from edgewise.reprogram.transforms.replicate import Replicate

_ALL: tuple[type[InputTransform], ...] = (Pad, Prompt, Replicate)
TRANSFORMS: dict[str, type[InputTransform]] = {one.name: one for one in _ALL}


def transform_class(name: str) -> type[InputTransform]:
    """The transform called ``name``.  Raises `UsageError`, with what was meant."""
    if name not in TRANSFORMS:
        raise unknown("transform", name, TRANSFORMS)
    return TRANSFORMS[name]
