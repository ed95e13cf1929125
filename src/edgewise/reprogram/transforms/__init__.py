"""Input transforms: how a sample of the task becomes one of the source's.  ``TRANSFORMS`` is the registry by name."""

from edgewise.reprogram.transforms.registry import TRANSFORMS as TRANSFORMS
from edgewise.reprogram.transforms.registry import transform_class as transform_class
