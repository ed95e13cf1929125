"""Adaptation methods: how a frozen backbone learns a new task.

``adapt(backbone, method)`` is the door (``adapt_in_place`` where nobody else needs the backbone);
``METHODS`` is the registry by name.
"""

from edgewise.adapt.apply import adapt as adapt
from edgewise.adapt.apply import adapt_in_place as adapt_in_place
from edgewise.adapt.base import Adapted as Adapted
from edgewise.adapt.base import Method as Method
from edgewise.adapt.bias import Bias as Bias
from edgewise.adapt.blocks import Blocks as Blocks
from edgewise.adapt.bn import BatchNorm as BatchNorm
from edgewise.adapt.full import Full as Full
from edgewise.adapt.input import Input as Input
from edgewise.adapt.last import LastLayer as LastLayer
from edgewise.adapt.mask import Mask as Mask
from edgewise.adapt.mobiletl import MobileTL as MobileTL
from edgewise.adapt.registry import METHODS as METHODS
from edgewise.adapt.registry import method_class as method_class
from edgewise.adapt.repnet import RepNet as RepNet
from edgewise.adapt.tinytl import TinyTL as TinyTL
