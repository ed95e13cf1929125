"""The mappings, by name."""

from edgewise.core.errors import unknown
from edgewise.reprogram.base import Mapping
from edgewise.reprogram.mappings.fixed import FirstLabels, RandomLabels
from edgewise.reprogram.mappings.frequency import BayesianMap, FrequencyMap, IterativeMap, OptimalMap
from edgewise.reprogram.mappings.linear import LinearMap
from edgewise.reprogram.mappings.similarity import SimilarityMap
from edgewise.reprogram.mappings.verbaliser import Verbaliser

_ALL: tuple[type[Mapping], ...] = (
    FirstLabels, RandomLabels, FrequencyMap, IterativeMap, OptimalMap, SimilarityMap, BayesianMap, LinearMap,
    Verbaliser,
)  # fmt: skip
MAPPINGS: dict[str, type[Mapping]] = {one.name: one for one in _ALL}


def mapping_class(name: str) -> type[Mapping]:
    """The mapping called ``name``.  Raises `UsageError`, with what was meant."""
    if name not in MAPPINGS:
        raise unknown("mapping", name, MAPPINGS)
    return MAPPINGS[name]
