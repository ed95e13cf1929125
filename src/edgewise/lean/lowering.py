"""Which ops a model's calls become, given what trains now.

Frozen convolutions take their batch norm and their clamp along (`FrozenConv`); a batch norm in
training becomes statistics and an affine step; the rest is looked up in `edgewise.lean.tables`.  What is
not there stays an eager call and is named in the plan's notes.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Node

from edgewise.backbones.blocks import SameConv2d
from edgewise.layers.int8_weight import weight_scale
from edgewise.layers.masked_conv import MaskedConv2d
from edgewise.layers.weight_standardised import StandardisedConv2d, standardised
from edgewise.lean.lowered import Lowered, Results, Shared, Source, Statistics, parameter
from edgewise.lean.tables import CLAMPS, METHODS, function_op, layer_ops, limits_of
from edgewise.ops import Affine, Conv, FrozenConv, Geometry, Shift

# Convolutions that compute their weight at every step.
COMPUTED = (StandardisedConv2d, MaskedConv2d)


class Lowering:
    """The table applied to one model in its present state, for the shapes in ``values``."""

    def __init__(self, model: nn.Module, values: Mapping[Node, Any]) -> None:
        self.model, self.values = model, values
        self.consumed: dict[Node, Node] = {}

    def lower(self, node: Node) -> list[Lowered | Statistics] | None:
        """Ops for the node, each reading the one before it; ``[]`` for no change; None for a call as it is."""
        if node.op == "call_module":
            return self._module(node, self._layer(node))
        if node.op == "call_function":
            return self._function(node, node.target)
        if node.op == "call_method":
            return self._function(node, METHODS.get(str(node.target)))
        return None

    def end_of(self, node: Node) -> Node:
        """The node whose value the lowered ops of ``node`` compute (later ones may have been taken along)."""
        return self.consumed.get(node, node)

    def _layer(self, node: Node) -> nn.Module:
        return self.model.get_submodule(str(node.target))

    def _module(self, node: Node, layer: nn.Module) -> list[Lowered | Statistics] | None:
        if not node.args or not all(self._is_map(arg) for arg in node.args if isinstance(arg, Node)):
            return None
        if isinstance(layer, nn.Conv2d):
            return self._convolution(node, layer)
        if isinstance(layer, nn.BatchNorm2d):
            return self._batch_norm(node, layer)
        return layer_ops(node, layer, self.values)

    def _function(self, node: Node, function: Any) -> list[Lowered | Statistics] | None:
        tensors = [arg for arg in node.args if isinstance(arg, Node) and isinstance(self.values[arg], Tensor)]
        result = self.values[node]
        if not tensors or not isinstance(result, Tensor) or not all(self._is_map(t) for t in (*tensors, node)):
            return None
        # shapes come from a batch of none: whatever else has images is not one of the batch's values
        if len(result) or any(len(self.values[t]) for t in tensors) or node.args[0] is not tensors[0]:
            return None
        op = function_op(function, tensors, node, self.values)
        return None if op is None else [Lowered(op, tuple(tensors))]

    def _convolution(self, node: Node, layer: nn.Conv2d) -> list[Lowered | Statistics] | None:
        if layer.padding_mode != "zeros" or isinstance(layer.padding, str):
            return None
        if type(layer) not in (nn.Conv2d, SameConv2d) and not isinstance(layer, COMPUTED):
            return None
        source = node.args[0]
        assert isinstance(source, Node)
        geometry = _geometry(layer, self.values[source].shape)
        weight, bias = layer.weight, layer.bias
        norm = self._follower(node, nn.BatchNorm2d)
        # a norm without a scale of its own stays apart
        frozen_norm = norm if norm is not None and _fusable(self._norm_of(norm)) else None
        plain = not weight.requires_grad and not isinstance(layer, COMPUTED)
        scale_trains = frozen_norm is not None and self._norm_of(frozen_norm).weight.requires_grad
        if scale_trains and weight_scale(layer) is not None:
            frozen_norm = None  # it stays apart; only the fused convolution computes with 8 bits
        if plain and (frozen_norm is None or not scale_trains):
            last = frozen_norm or node
            clamp = self._clamp_after(last)
            if clamp is not None:
                last, limits = clamp
            self.consumed[node] = last
            own = None if frozen_norm is None else self._norm_of(frozen_norm)
            op = FrozenConv(geometry, *(limits if clamp is not None else ()))
            return [
                Lowered(
                    op,
                    (source,),
                    (
                        parameter(weight),
                        Shared(_scale_of(layer, own), (layer.out_channels,)),
                        Shared(_offset_of(layer, own), (layer.out_channels,), _shift_trains(layer, own)),
                    ),
                )
            ]
        ops: list[Lowered | Statistics] = [Lowered(Conv(geometry), (source,), (_weight_of(layer),))]
        if bias is not None:
            ops.append(Lowered(Shift(), (node,), (parameter(bias),)))
        return ops

    def _batch_norm(self, node: Node, norm: nn.BatchNorm2d) -> list[Lowered | Statistics] | None:
        source = node.args[0]
        if norm.weight is None or (not norm.training and norm.running_mean is None):
            return None
        assert isinstance(source, Node)
        weight, shift, eps, channels = norm.weight, norm.bias, norm.eps, (norm.num_features,)
        clamp = self._clamp_after(node)
        if clamp is not None:
            self.consumed[node] = clamp[0]
        op = Affine(*clamp[1]) if clamp is not None else Affine()
        if norm.training:
            name = str(node.target)
            return [
                Statistics(name, source, norm),
                Lowered(
                    op,
                    (source,),
                    (
                        Shared(lambda r: r[f"{name}.mean"], channels, False, name),
                        Shared(
                            lambda r: weight * (r[f"{name}.variance"] + eps).rsqrt(),
                            channels,
                            weight.requires_grad,
                            name,
                        ),
                        parameter(shift),
                    ),
                ),
            ]
        assert norm.running_mean is not None
        scale = Shared(_norm_scale(norm), channels, weight.requires_grad)
        return [Lowered(op, (source,), (parameter(norm.running_mean), scale, parameter(shift)))]

    def _follower(self, node: Node, kind: type[nn.Module]) -> Node | None:
        """The one node that reads ``node``, if it is a layer of this kind."""
        if len(node.users) != 1:
            return None
        user = next(iter(node.users))
        return user if user.op == "call_module" and isinstance(self._layer(user), kind) else None

    def _norm_of(self, node: Node) -> nn.BatchNorm2d:
        layer = self._layer(node)
        assert isinstance(layer, nn.BatchNorm2d)
        return layer

    def _clamp_after(self, node: Node) -> tuple[Node, tuple[float, float]] | None:
        if len(node.users) != 1:
            return None
        user = next(iter(node.users))
        if user.op == "call_module":
            limits = limits_of(self._layer(user))
        elif user.op == "call_function":
            limits = CLAMPS.get(user.target)
        else:
            limits = CLAMPS.get(METHODS.get(str(user.target)))
        return None if limits is None else (user, limits)

    def _is_map(self, arg: Any) -> bool:
        value = self.values.get(arg)
        return not isinstance(value, Tensor) or value.ndim in (2, 4)


def _fusable(norm: nn.BatchNorm2d) -> bool:
    return not norm.training and norm.weight is not None and norm.running_mean is not None


def _geometry(layer: nn.Conv2d, x: torch.Size) -> Geometry:
    vertical, horizontal = (int(p) for p in layer.padding)
    padding = (vertical, vertical, horizontal, horizontal)
    if isinstance(layer, SameConv2d):
        padding = layer.same_padding(x[-2], x[-1])
    return Geometry(tuple(layer.stride), padding, tuple(layer.dilation), layer.groups)  # type: ignore[arg-type]


def _weight_of(layer: nn.Conv2d) -> Shared:
    """The weight that the layer convolves with: its own, or what it makes of it."""
    weight, shape = layer.weight, tuple(layer.weight.shape)
    if isinstance(layer, StandardisedConv2d):
        return Shared(lambda _: standardised(weight), shape, weight.requires_grad)
    if isinstance(layer, MaskedConv2d):
        masked = layer
        return Shared(lambda _: masked.masked_weight(), shape, weight.requires_grad or layer.mask_scores.requires_grad)
    return parameter(weight)


def _scale_of(layer: nn.Conv2d, norm: nn.BatchNorm2d | None) -> Source:
    """What the weight as it is held is multiplied by: the scale of 8 bits, the norm's, or both."""
    held, of_norm = weight_scale(layer), None if norm is None else _norm_scale(norm)
    if of_norm is None:
        return lambda _: layer.weight.new_ones(layer.out_channels) if held is None else held
    return lambda r: of_norm(r) if held is None else of_norm(r) * held


def _norm_scale(norm: nn.BatchNorm2d) -> Source:
    """The norm's scale, made once a run: its offset is made of it too."""
    variance, weight, eps = norm.running_var, norm.weight, norm.eps
    assert variance is not None

    def scale(made: Results) -> Tensor:
        if norm not in made:
            made[norm] = weight * (variance + eps).rsqrt()
        return made[norm]

    return scale


def _shift_trains(layer: nn.Conv2d, norm: nn.BatchNorm2d | None) -> bool:
    """Does the bias train, or the norm's shift?"""
    return any(b is not None and b.requires_grad for b in (layer.bias, None if norm is None else norm.bias))


def _offset_of(layer: nn.Conv2d, norm: nn.BatchNorm2d | None) -> Source:
    bias, scale = layer.bias, _scale_of(layer, norm)
    if norm is None:
        return lambda r: scale(r).new_zeros(layer.out_channels) if bias is None else bias
    of_norm, mean, shift = _norm_scale(norm), norm.running_mean, norm.bias
    assert mean is not None
    if bias is None:
        return lambda r: shift - mean * of_norm(r)
    return lambda r: shift + (bias - mean) * of_norm(r)
