"""Compiled inner loops, each with a plain torch twin for machines without a C compiler."""

from edgewise.native.functions import adam_ as adam_
from edgewise.native.functions import affine_clamp as affine_clamp
from edgewise.native.functions import affine_grad_ as affine_grad_
from edgewise.native.functions import clamp_ as clamp_
from edgewise.native.functions import depthwise as depthwise
from edgewise.native.functions import depthwise_grad_input as depthwise_grad_input
from edgewise.native.functions import depthwise_grad_weight as depthwise_grad_weight
from edgewise.native.functions import mask_ as mask_
from edgewise.native.functions import moments as moments
from edgewise.native.functions import standardise as standardise
from edgewise.native.functions import standardise_grad as standardise_grad
from edgewise.native.functions import why_not as why_not
from edgewise.native.sparse import SparseWeight as SparseWeight
from edgewise.native.sparse import pack as pack
from edgewise.native.sparse import sparse_conv2d as sparse_conv2d
from edgewise.native.sparse import sparse_why_not as sparse_why_not
