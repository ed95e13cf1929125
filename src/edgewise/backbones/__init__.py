"""Backbones: pretrained classifiers, described so that any method can adapt them.

``load`` is the one door; ``FAMILIES`` is the registry of our own architectures by name.
"""

from edgewise.backbones.base import Backbone as Backbone
from edgewise.backbones.base import Family as Family
from edgewise.backbones.external import PREFIXES as PREFIXES
from edgewise.backbones.families import FAMILIES as FAMILIES
from edgewise.backbones.head import with_classes as with_classes
from edgewise.backbones.loading import load as load
from edgewise.backbones.weights import WeightRecord as WeightRecord
