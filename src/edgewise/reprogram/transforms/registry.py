"""The input transforms, by name."""

from edgewise.core.errors import unknown
from edgewise.reprogram.base import InputTransform
from edgewise.reprogram.transforms.context_remap import ContextRemap
from edgewise.reprogram.transforms.overlay import Overlay
from edgewise.reprogram.transforms.pad import Pad
from edgewise.reprogram.transforms.prompt import Prompt
from edgewise.reprogram.transforms.prompt_tokens import PromptTokens
from edgewise.reprogram.transforms.replicate import Replicate
from edgewise.reprogram.transforms.resize import Resize
from edgewise.reprogram.transforms.token_patch import TokenPatch
from edgewise.reprogram.transforms.vocabulary import VocabularyMap

_ALL: tuple[type[InputTransform], ...] = (
    Pad, Prompt, Replicate, Resize, TokenPatch, Overlay, PromptTokens, VocabularyMap, ContextRemap,
)  # fmt: skip
TRANSFORMS: dict[str, type[InputTransform]] = {one.name: one for one in _ALL}


def transform_class(name: str) -> type[InputTransform]:
    """The transform called ``name``.  Raises `UsageError`, with what was meant."""
    if name not in TRANSFORMS:
        raise unknown("transform", name, TRANSFORMS)
    return TRANSFORMS[name]
