"""Output mappings: how the source's classes are read as the task's.  ``MAPPINGS`` is the registry by name."""

from edgewise.reprogram.mappings.registry import MAPPINGS as MAPPINGS
from edgewise.reprogram.mappings.registry import mapping_class as mapping_class
