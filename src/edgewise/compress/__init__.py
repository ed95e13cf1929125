"""Ternary weights whose zeros come in groups that one processing element computes; the file that holds them.

>>> model = Compressed(load("resnet20", weights="w.safetensors"), Compression(arm="wpc", pe=16))
>>> loss = cross_entropy(model(photos), labels) + model.penalty()
>>> content = to_bytes(lowered(model.network, model.backbone.input, classes))
"""

from edgewise.compress.arms import ARMS as ARMS
from edgewise.compress.arms import Compression as Compression
from edgewise.compress.compressed import Compressed as Compressed
from edgewise.compress.compressed import Layer as Layer
from edgewise.compress.compressed import in_all as in_all
from edgewise.compress.ew3 import from_bytes as from_bytes
from edgewise.compress.ew3 import read_network as read_network
from edgewise.compress.ew3 import size_of as size_of
from edgewise.compress.ew3 import to_bytes as to_bytes
from edgewise.compress.ew3_codes import codes_in_bytes as codes_in_bytes
from edgewise.compress.ew3_codes import stored_groups as stored_groups
from edgewise.compress.executor import PackedNetwork as PackedNetwork
from edgewise.compress.executor import dense as dense
from edgewise.compress.groups import Zeros as Zeros
from edgewise.compress.groups import group_norms as group_norms
from edgewise.compress.groups import zeros_of as zeros_of
from edgewise.compress.layers import places_in as places_in
from edgewise.compress.lowering import lowered as lowered
from edgewise.compress.network import Add as Add
from edgewise.compress.network import Bend as Bend
from edgewise.compress.network import Conv as Conv
from edgewise.compress.network import Curve as Curve
from edgewise.compress.network import Multiply as Multiply
from edgewise.compress.network import Network as Network
from edgewise.compress.network import Op as Op
from edgewise.compress.network import Packed as Packed
from edgewise.compress.network import Pool as Pool
from edgewise.compress.network import Shape as Shape
from edgewise.compress.network import Step as Step
from edgewise.compress.network import Subsample as Subsample
from edgewise.compress.shape_rules import shapes as shapes
from edgewise.compress.shape_rules import weight_shape as weight_shape
from edgewise.compress.sizes import LayerSize as LayerSize
from edgewise.compress.sizes import Sizes as Sizes
from edgewise.compress.sizes import rate as rate
from edgewise.compress.sizes import sizes_of as sizes_of
from edgewise.compress.ternary import Ternary as Ternary
