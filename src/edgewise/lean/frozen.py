"""Frozen weights in 8 bits, and the correction of what their rounding moves.

Rounded to 8 bits, a convolution's outputs are off by an error that is different for every image, and
by its mean, the same for all.  The mean is taken out again (Nagel et al., "Data-Free Quantization
through Weight Equalization and Bias Correction", ICCV 2019, Section 4.2): channel by channel

    E[W8 * x] - E[W * x] = E[(W8 - W) * x]

is estimated on a few images and subtracted, in the running mean of the batch norm behind it or in the
bias.  Deviation from the paper, which derives E[x] from the norms' statistics and in its empirical
variant (Appendix D) corrects layer after layer: x is what the unrounded network computes, and all layers
are corrected in one pass, an image at a time, so that no more than one image's maps exist.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.fx import Graph, Node

from edgewise.backbones.blocks import SameConv2d
from edgewise.core.errors import EdgewiseError
from edgewise.core.surgery import all_finite
from edgewise.layers.int8_weight import hold_float, hold_int8, int8_layers
from edgewise.ops.quantised import dequantised, quantised


def hold_frozen_int8(model: nn.Module, graph: Graph, images: Iterable[Tensor] = ()) -> tuple[str, ...]:
    """Hold the frozen convolutions' weights of ``model`` in 8 bits; returns what could not be corrected, in words.

    ``graph`` is the model's (`lean.trace`), which computes by its own ``forward`` still.  ``images`` are
    batches as the model takes them; without any nothing is corrected.  Weights that are read elsewhere
    too, and those held in 8 bits already, stay as they are.
    Raises `EdgewiseError` where a weight is not finite.
    """
    layers = _candidates(model, graph)
    for name, layer in layers.items():
        if not all_finite(layer.weight):
            raise EdgewiseError(
                f"The weight of {name} is not finite, so it cannot be held in 8 bits. Load other weights."
            )
    norms = _norms_behind(model, graph)
    errors = _mean_errors(model, layers, images)
    uncorrected = [name for name, error in errors.items() if not _subtract(layers[name], norms.get(name), error)]
    for layer in layers.values():
        hold_int8(layer)
    if not uncorrected:
        return ()
    return (
        f"The mean error of rounding stays in {len(uncorrected)} of {len(layers)} convolutions, which have neither a "
        f"bias nor a batch norm of their own behind them (such as {uncorrected[0]}).",
    )


def hold_all_float(model: nn.Module) -> None:
    """Make every weight float again.  It has the rounded values, and corrected norms stay corrected."""
    for _, layer in list(int8_layers(model)):
        hold_float(layer)


def _candidates(model: nn.Module, graph: Graph) -> dict[str, nn.Conv2d]:
    """Frozen convolutions that the lean pass fuses (`lean.lowering`), and whose weight nobody else reads."""
    owners = Counter(id(p) for module in model.modules() for p in module._parameters.values() if p is not None)
    called = {str(node.target) for node in graph.nodes if node.op == "call_module"}
    read = {str(node.target) for node in graph.nodes if node.op == "get_attr"}
    owners.update(id(p) for name, p in model.named_parameters(remove_duplicate=False) if name in read)
    return {
        name: layer
        for name, layer in model.named_modules()
        if name in called
        and isinstance(layer, nn.Conv2d)
        and type(layer) in (nn.Conv2d, SameConv2d)
        and layer.padding_mode == "zeros"
        and not isinstance(layer.padding, str)
        and owners[id(layer.weight)] == 1
        and not layer.weight.requires_grad
        and layer.weight.dtype in (torch.float32, torch.float64)
    }


def _norms_behind(model: nn.Module, graph: Graph) -> dict[str, nn.BatchNorm2d]:
    """By convolution, the batch norm that reads it and nothing else, where each is called once."""
    calls = Counter(str(node.target) for node in graph.nodes if node.op == "call_module")

    def once(node: Node) -> bool:
        return node.op == "call_module" and calls[str(node.target)] == 1

    found = {}
    for node in graph.nodes:
        reader = next(iter(node.users)) if once(node) and len(node.users) == 1 else None
        norm = model.get_submodule(str(reader.target)) if reader is not None and once(reader) else None
        if isinstance(norm, nn.BatchNorm2d):
            found[str(node.target)] = norm
    return found


@torch.no_grad()
def _mean_errors(model: nn.Module, layers: Mapping[str, nn.Conv2d], images: Iterable[Tensor]) -> dict[str, Tensor]:
    """Mean over images and pixels of what rounding adds to each layer's output, (O,) by name; none without images."""
    listeners = {name: _Listener(layer) for name, layer in layers.items()}
    modes = {module: module.training for module in model.modules()}
    try:
        model.eval()
        for name, layer in layers.items():
            vars(layer)["_conv_forward"] = listeners[name]
        for batch in images:
            model(batch)
    finally:
        for layer in layers.values():
            vars(layer).pop("_conv_forward", None)
        for module, training in modes.items():
            module.training = training
    return {name: listener.total / listener.images for name, listener in listeners.items() if listener.images}


class _Listener:
    """Computes a convolution as it is, and adds up what the rounded weight would change.

    Stands where the layer's padded input arrives.  The rounding is computed each time: kept, it
    would be a second copy of the network.
    """

    def __init__(self, layer: nn.Conv2d) -> None:
        self.layer, self.images = layer, 0
        self.total = layer.weight.new_zeros(layer.out_channels)

    def __call__(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        convolve = type(self.layer)._conv_forward
        change = dequantised(*quantised(weight)).sub_(weight)
        self.total += convolve(self.layer, x, change, None).mean((2, 3)).sum(0)
        self.images += len(x)
        y: Tensor = convolve(self.layer, x, weight, bias)
        return y


@torch.no_grad()
def _subtract(layer: nn.Conv2d, norm: nn.BatchNorm2d | None, error: Tensor) -> bool:
    """Take the mean error (O,) out of the layer's output; False where there is no place for it."""
    if norm is not None:
        # without running statistics the norm subtracts every batch's own mean, error included
        if norm.running_mean is not None:
            norm.running_mean += error
    elif layer.bias is not None:
        layer.bias -= error
    return norm is not None or layer.bias is not None
