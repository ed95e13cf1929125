"""Several networks in one set of weights: trained together for the price of one, switched while it runs.

>>> net = SubNets(load("resnet20", weights="none"), SubNetSettings(densities=(0.1, 0.05)).sub_nets)
>>> net.use("95%")
>>> logits = net(photos)
"""

from edgewise.subnets.base import Pattern as Pattern
from edgewise.subnets.base import Trainer as Trainer
from edgewise.subnets.base import name_of as name_of
from edgewise.subnets.channel_spaces import Layout as Layout
from edgewise.subnets.channel_spaces import layout_of as layout_of
from edgewise.subnets.channels import Narrow as Narrow
from edgewise.subnets.channels import nested_channels as nested_channels
from edgewise.subnets.channels import sensitivities as sensitivities
from edgewise.subnets.engines import Choice as Choice
from edgewise.subnets.engines import prepared as prepared
from edgewise.subnets.engines import took as took
from edgewise.subnets.file import bytes_of as bytes_of
from edgewise.subnets.file import put_tensors as put_tensors
from edgewise.subnets.file import tensors_of as tensors_of
from edgewise.subnets.masks import non_overlap as non_overlap
from edgewise.subnets.network import SubNets as SubNets
from edgewise.subnets.network import places_for as places_for
from edgewise.subnets.nm import NM as NM
from edgewise.subnets.nm import pattern_of as pattern_of
from edgewise.subnets.registry import TRAININGS as TRAININGS
from edgewise.subnets.registry import SubNetSettings as SubNetSettings
from edgewise.subnets.registry import trainer as trainer
from edgewise.subnets.relations import RELATIONS as RELATIONS
from edgewise.subnets.slicing import check_same as check_same
from edgewise.subnets.slicing import sliced as sliced
from edgewise.subnets.task import SubNetTask as SubNetTask
from edgewise.subnets.unstructured import Unstructured as Unstructured
