"""How small a packed network is, counted in three ways.

    eq_2_8     32 / ((1 - G_s) 2): the dissertation's rate (Eq. 2.8).  Only the ternary layers, only their stored codes
    with_ends  all weights as float32 over what holds them: 2 bits for each stored code, a bit for each group, 32 for
               each alpha, 32 for each weight in full precision
    file       all parameters of the network as float32 over the bytes of its ``.ew3`` file

The first flatters (ResNet-20 at G_s = 25 %: 21.3, 19.6 and 17.6), and is what published tables print.
"""

from dataclasses import dataclass
from math import prod

from torch import Tensor

from edgewise.compress.ew3 import size_of
from edgewise.compress.groups import Zeros, together, zeros_of
from edgewise.compress.network import Conv, Network, Packed
from edgewise.compress.shape_rules import weight_shape

FLOAT = 32


@dataclass(frozen=True)
class LayerSize:
    """Of one ternary layer: its groups and weights, and the bits of alpha, index and stored codes."""

    name: str
    zeros: Zeros
    bits: int


@dataclass(frozen=True)
class Sizes:
    """``layers``: the ternary ones.  The first two rates are None where there is none, the first where all are empty.

    ``float_bytes``: of all parameters of the network before it was packed, as float32; ``file_bytes``: of the file.
    """

    layers: tuple[LayerSize, ...]
    eq_2_8: float | None
    with_ends: float | None
    file: float
    float_bytes: int
    file_bytes: int

    @property
    def zeros(self) -> dict[str, Zeros]:
        """By the name of the layer."""
        return {layer.name: layer.zeros for layer in self.layers}


def rate(group_sparsity: float, bits: int = 2) -> float | None:
    """Eq. 2.8 for weights of ``bits`` bits; None where no group is stored."""
    return FLOAT / ((1 - group_sparsity) * bits) if group_sparsity < 1 else None


def sizes_of(network: Network) -> Sizes:
    """Of ``network``, by formula: nothing is written."""
    convs = [step.op for step in network.steps if isinstance(step.op, Conv)]
    layers = tuple(
        _layer_size(step.name, step.op.weight)
        for step in network.steps
        if isinstance(step.op, Conv) and isinstance(step.op.weight, Packed)
    )
    before, after = sum(map(_float_bytes, convs)), size_of(network)
    if not layers:
        return Sizes((), None, None, before / after, before, after)
    dense = sum(conv.weight.numel() for conv in convs if isinstance(conv.weight, Tensor))
    all_layers = together(layer.zeros for layer in layers)
    with_ends = FLOAT * (dense + all_layers.weights) / (FLOAT * dense + sum(layer.bits for layer in layers))
    return Sizes(layers, rate(all_layers.group_sparsity), with_ends, before / after, before, after)


def _layer_size(name: str, weight: Packed) -> LayerSize:
    zeros = zeros_of(weight.ternary.codes, weight.slab)
    return LayerSize(name, zeros, FLOAT + zeros.groups + 2 * zeros.stored * (zeros.weights // zeros.groups))


def _float_bytes(conv: Conv) -> int:
    """Of the layer's parameters before they were folded: its weight, and the norm's two vectors or its bias.

    Without a norm the scales are ones, without a bias the offsets are zeros; a bias before a norm is not seen any more.
    """
    vectors = int(bool((conv.scale != 1).any())) + int(bool((conv.offset != 0).any()))
    return 4 * (prod(weight_shape(conv)) + vectors * len(conv.scale))
