"""Training memory as the papers count it: one formula for every network.

``total = parameters + batch * peak of one image``.  A trainable parameter takes 4 bytes, a frozen
one ``frozen_bits`` / 8, a buffer nothing.  One image runs forward in eval mode.  At each layer

    peak = max(peak, kept + transient + shortcuts);  kept = kept + what the layer keeps

with 4 bytes an element, except for the bits:

    layer                    keeps for the backward pass                     transient
    convolution              its input, if its weight trains                 input + output // groups
    linear                   its input, if its weight trains                 input + output
    batch norm, group norm   its input, if its scale trains                  input
    ReLU, ReLU6, leaky ReLU  a bit an element, if more than the head trains  input
    sigmoid, tanh            its input, if more than the head trains         input
    everything else          nothing                                         nothing

``shortcuts`` are the inputs of the blocks that have yet to add theirs to their output.  These are
the rules of the profiler that TinyTL released (mit-han-lab/tinyml, MIT licence) and Rep-Net used.
Here they follow the functions that a forward pass calls, so that a layer counts alike as a module
and as a function, and a block is known by its shortcut, not by its class.

**It is a peak of the forward pass**, and usually one layer near the image decides it: most methods
look alike.  ``kept_bytes`` is where they differ.

**What it leaves out**: gradients and Adam's moments (12 bytes a trainable parameter); activations
and gradients of the backward pass; standardised copies of weights; frozen weights that are really
held in 32 bits; products (squeeze-and-excitation), hard-swish, hard-sigmoid, pooling, resizing;
workspace; the images after the first layer; a side network's feature on its way to the backbone.
A frozen batch norm can do without its input in eval mode only, a frozen group norm never; ReLUs
before the first trainable layer need no bit.  Stock autograd keeps far more (`cost.kept`).

**The order of execution counts.**  Rep-Net's authors run the input module before the stem, ours runs
behind the widest layers: at batch 8 its totals are 1.1 MB (MobileNetV2, V3) to 1.3 MB (ProxylessNAS)
below the published ones, which come out where that order is rebuilt.

**Printed, and reproduced by nobody**: Rep-Net's 119 MB for ResNet-50 (the released code gives 250;
142 with the quarter width of its comments), and its 34 MB at 224 px together with 61 MB at 320 px
on ProxylessNAS (the first takes 5 x 5 kernels in all modules, the second 3 x 3).

Deviations from the released code: a module called three times counts call by call; the inputs of
nested blocks add up; a shortcut's input lives until it is added, not until its block ends;
MobileNetV3's shortcuts, which the code overlooks, count; so does the zero padding that TensorFlow's
SAME adds to an input; a bit is rounded up to a byte.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from edgewise.cost.shapes import on_fewest_images

FLOAT = 4  # bytes
# Functions and tensor methods by name.  Layers with a weight: its place among the arguments.
CONVOLUTIONS = {"conv1d": 1, "conv2d": 1, "conv3d": 1}
NORMS = {"batch_norm": 3, "group_norm": 2}
WEIGHTED = {**CONVOLUTIONS, **NORMS, "linear": 1}
# Activations: the bits they keep of an element.
RELUS = dict.fromkeys(("relu", "relu_", "relu6", "leaky_relu", "leaky_relu_", "hardtanh", "hardtanh_"), 1)
ACTIVATIONS = {**RELUS, **dict.fromkeys(("sigmoid", "sigmoid_", "tanh", "tanh_"), 8 * FLOAT)}
ADDITIONS = {"add", "add_", "__add__", "__radd__", "__iadd__"}
# What a shortcut may pass on its way: a projection, or slices, zeros and means instead of one.
STRAIGHT = {*WEIGHTED, "__getitem__", "pad", "avg_pool2d"}


@dataclass(frozen=True)
class Published:
    """Bytes of a training step on one batch, by the papers' formula.

    ``activation_peak_bytes`` is the peak of the forward pass; ``kept_bytes`` is what waits for
    the backward pass when it ends; ``inference_bytes`` is the total where nothing trains.
    """

    parameters_bytes: int
    activation_peak_bytes: int
    kept_bytes: int
    inference_bytes: int

    @property
    def total(self) -> int:
        """What the papers print."""
        return self.parameters_bytes + self.activation_peak_bytes


def published(model: nn.Module, batch: tuple[int, int, int, int], frozen_bits: int = 8) -> Published:
    """The papers' memory of training ``model`` on images of shape ``batch`` (N, 3, H, W).

    What trains is read from ``requires_grad``; the head is the last convolution or linear that
    runs.  The model comes back as it was.
    """
    trace = on_fewest_images(lambda images: _run(model, (images, *batch[1:])))
    parameters = list(model.parameters())
    trained = sum(p.numel() for p in parameters if p.requires_grad)
    frozen = sum(p.numel() for p in parameters) - trained
    backward = any(p.requires_grad and id(p) not in trace.head for p in parameters)
    peak = inference = kept = 0
    for index, layer in enumerate(trace.layers):
        transient = layer.transient + sum(b.bytes for b in trace.shortcuts if b.first <= index < b.joined)
        peak, inference = max(peak, kept + transient), max(inference, transient)
        kept += layer.for_weight + (layer.for_input if backward else 0)
    return Published(
        parameters_bytes=FLOAT * trained + _bytes(frozen * frozen_bits),
        activation_peak_bytes=batch[0] * peak,
        kept_bytes=batch[0] * kept,
        inference_bytes=_bytes((trained + frozen) * frozen_bits) + batch[0] * inference,
    )


@dataclass(frozen=True)
class _Layer:
    """Bytes of one call, one image: while it runs, kept for its weight's gradient, for its input's."""

    transient: int
    for_weight: int = 0
    for_input: int = 0


class _Block:
    """A call of a module.  With a shortcut, its input lives through the layers ``first`` to ``joined`` - 1.

    ``straight`` is the input and what came from it through nothing but projections.
    """

    def __init__(self, module: nn.Module, args: Sequence[Any], first: int) -> None:
        self.module = module
        self.straight = [arg for arg in args if isinstance(arg, Tensor)][:1]
        self.bytes = FLOAT * sum(_elements(tensor) for tensor in self.straight)
        self.first = self.joined = first

    def leads_to(self, tensors: Sequence[Tensor]) -> bool:
        return any(own is tensor for own in self.straight for tensor in tensors)


class _Trace(TorchFunctionMode):
    """Notes the calls that the formula knows, in order, and the blocks that add their input."""

    def __init__(self) -> None:
        super().__init__()
        self.layers: list[_Layer] = []
        self.shortcuts: set[_Block] = set()
        self.head: set[int] = set()  # ids of its parameters
        self._open: list[_Block] = []

    def enter(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        self._open.append(_Block(module, args, len(self.layers)))

    def leave(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        self._open.pop()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs, name = kwargs or {}, func.__name__
        given = [value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)]
        version = given[0]._version if given else 0
        output = func(*args, **kwargs)
        if not given or not isinstance(output, Tensor):
            return output
        if name in WEIGHTED:
            output = output.detach()  # only a weight's own graph is wanted, to see whether it trains
            weight = args[WEIGHTED[name]] if len(args) > WEIGHTED[name] else kwargs.get("weight")
            self._weighted(name, given, weight, output)
        elif name in ACTIVATIONS:
            size = _elements(given[0])
            self.layers.append(_Layer(FLOAT * size, for_input=_bytes(ACTIVATIONS[name] * size)))
        self._follow(name, given, output, in_place=output is given[0] and output._version != version)
        return output

    def _weighted(self, name: str, given: Sequence[Tensor], weight: Tensor | None, output: Tensor) -> None:
        size = transient = FLOAT * _elements(given[0])
        if name not in NORMS and weight is not None:
            groups = given[0].shape[1 - weight.ndim] // weight.shape[1] if name in CONVOLUTIONS else 1
            transient += FLOAT * _elements(output) // groups
            # A weight that is computed, as a standardised one, belongs to the module that computes it.
            owner = self._open[-1].module if self._open and not isinstance(weight, nn.Parameter) else None
            self.head = {id(p) for p in (given[1:] if owner is None else owner.parameters(recurse=False))}
        trains = weight is not None and weight.requires_grad
        self.layers.append(_Layer(transient, for_weight=size if trains else 0))

    def _follow(self, name: str, given: Sequence[Tensor], output: Tensor, in_place: bool) -> None:
        """Bring ``straight`` of the open blocks up to date; an addition ends the innermost one's shortcut."""
        leading = [block for block in self._open if block.leads_to(given)]
        if name in ADDITIONS and leading:
            leading[-1].joined = len(self.layers)
            self.shortcuts.add(leading[-1])
        for block in leading:
            if in_place:
                block.straight = [tensor for tensor in block.straight if tensor is not output]
            elif name in STRAIGHT:
                block.straight.append(output)


def _run(model: nn.Module, batch: tuple[int, int, int, int]) -> _Trace:
    """The trace of black images, ``batch`` (N, 3, H, W), through the model's plain layers.

    A ``forward`` that stands in a module's own place (a lean one) is set aside meanwhile.
    Afterwards hooks, modes and those are as they were.
    """
    trace, modules = _Trace(), list(model.modules())
    like = next((p for p in model.parameters() if p.is_floating_point()), torch.zeros(()))
    modes = [module.training for module in modules]
    substitutes = [(vars(m), vars(m).pop("forward")) for m in modules if "forward" in vars(m)]
    # First in line, so that what other hooks add to a block's output is not part of the block.
    handles = [m.register_forward_pre_hook(trace.enter, prepend=True) for m in modules]
    handles += [m.register_forward_hook(trace.leave, prepend=True) for m in modules]
    try:
        model.eval()
        with torch.enable_grad(), trace:
            model(torch.zeros(batch, dtype=like.dtype, device=like.device))
    finally:
        for handle in handles:
            handle.remove()
        for own, forward in substitutes:
            own["forward"] = forward
        for module, training in zip(modules, modes, strict=True):
            module.training = training
    return trace


def _elements(tensor: Tensor) -> int:
    """Of one image: a batch of none has its shape too, a parameter has it alone."""
    return math.prod(tensor.shape[1:]) if tensor.ndim and len(tensor) == 0 else tensor.numel()


def _bytes(bits: int) -> int:
    return -(-bits // 8)
