"""A frozen convolution whose weight is held in 8 bits, a quarter of its size.

The layer stays what it is and where it is.  Its parameter ``weight`` becomes int8, and the scale a
buffer beside it that is not saved.  Called as a layer it computes with floats made for the moment;
`edgewise.lean` reads levels and scale and does the same a few images at a time.  State dicts hold
floats under the old keys, in the old dtype; loading one quantises it again.

The weight cannot train: torch refuses ``requires_grad_(True)`` on it.  `hold_float` comes first.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from edgewise.core.surgery import digest
from edgewise.ops.quantised import dequantised, quantised

SCALE, ORIGIN = "weight_scale", "_weight_origin"
# What stands in the layer in place of its class's own methods.
METHODS = ("_conv_forward", "_save_to_state_dict", "_load_from_state_dict")


def hold_int8(layer: nn.Conv2d) -> None:
    """Replace the frozen float32 or float64 weight of ``layer`` by 8 bits.  Raises `ValueError` where not finite."""
    levels, scale = quantised(layer.weight)
    vars(layer)[ORIGIN] = digest({"": layer.weight})
    layer.register_buffer(SCALE, scale, persistent=False)
    layer.weight.data = levels
    vars(layer).update(zip(METHODS, (partial(f, layer) for f in (_convolve, _save, _load)), strict=True))


def hold_float(layer: nn.Conv2d) -> None:
    """Undo `hold_int8`: the weight is float again, with the values that the 8 bits stood for."""
    layer.weight.data = dequantised(layer.weight, _scale(layer))
    delattr(layer, SCALE)
    for name in (ORIGIN, *METHODS):
        del vars(layer)[name]


def int8_layers(model: nn.Module) -> Iterator[tuple[str, nn.Conv2d]]:
    """Names and layers of ``model`` whose weights are held in 8 bits."""
    return (
        (name, layer)
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Conv2d) and weight_scale(layer) is not None
    )


def weight_scale(layer: nn.Conv2d) -> Tensor | None:
    """The scale (O,) of a weight in 8 bits; None where it is float."""
    return _scale(layer) if ORIGIN in vars(layer) else None


def origins(model: nn.Module) -> dict[str, str]:
    """Digests, by parameter name, of the floats that weights in 8 bits were made from.

    Same origin, same 8 bits: what says whether such a weight is that of a file.
    """
    return {f"{name}.weight": str(vars(layer)[ORIGIN]) for name, layer in int8_layers(model)}


def _scale(layer: nn.Conv2d) -> Tensor:
    scale = layer._buffers[SCALE]
    assert scale is not None
    return scale


def _convolve(layer: nn.Conv2d, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    y: Tensor = type(layer)._conv_forward(layer, x, dequantised(weight, _scale(layer)), bias)
    return y


def _save(layer: nn.Conv2d, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
    type(layer)._save_to_state_dict(layer, destination, prefix, keep_vars)
    destination[f"{prefix}weight"] = dequantised(layer.weight.detach(), _scale(layer))


@torch.no_grad()
def _load(layer: nn.Conv2d, state: dict[str, Any], prefix: str, *rest: Any) -> None:
    key, scale = f"{prefix}weight", _scale(layer)
    given = state.get(key)
    if isinstance(given, Tensor) and given.shape == layer.weight.shape and given.is_floating_point():
        levels, fresh = quantised(given.to(scale))
        state = {**state, key: levels}
        if not (torch.equal(levels, layer.weight) and torch.equal(fresh, scale)):
            vars(layer)[ORIGIN] = digest({"": given})
        scale.copy_(fresh)
    type(layer)._load_from_state_dict(layer, state, prefix, *rest)
