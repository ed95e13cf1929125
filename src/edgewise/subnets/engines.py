"""What makes a sub-net fast: the engine of each of its layers, chosen by measuring, and said.

    pattern           engine                                                      where
    fewer channels    a smaller plain network (`slicing.sliced`)                  everywhere
    single weights    ``sparse``: our convolution that skips zeros                processors; plain convolutions
    2:4 and 1:4, 1:8  ``2:4``: torch's semi-structured product                    linear layers on NVIDIA's GPUs
    any               ``dense``: zeros are multiplied, too                        everywhere; no faster than all weights

On a processor a convolution gets the sparse kernel where that is faster than torch on the same layer, photos and
threads: both are run, and taken turns, while the network is prepared.  Its norm goes into its weights and its ReLU
into the kernel.  Depthwise and grouped convolutions and linear layers stay dense.  In the end the whole network is
measured against itself without sparse layers and with channels last, which the sparse kernel cannot read.
`semi_structured` has the rest.
"""

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.fx import GraphModule, Node

from edgewise.backbones.blocks import SameConv2d
from edgewise.core.errors import UsageError
from edgewise.lean.trace import Untraceable, trace
from edgewise.native import SparseWeight, pack, sparse_conv2d, sparse_why_not
from edgewise.subnets.semi_structured import as_2_4, why_not_2_4

Engine = Literal["sparse", "2:4", "dense"]
ALL_DENSE = "the whole network is faster dense, with channels last"
ROUNDS = 7  # in which the two take turns; the shortest time of each counts


@dataclass(frozen=True)
class Choice:
    """What computes one layer with zeros, and why; milliseconds of what was tried and of dense."""

    layer: str
    density: float
    engine: Engine
    reason: str
    tried_ms: float | None = None
    dense_ms: float | None = None


class SparseConv2d(nn.Module):
    """``clamp(convolution(x, weight) + bias)`` by the sparse kernel: (N, C, H, W) float32 on the processor.

    Made from a convolution.  Nothing in it trains.
    """

    def __init__(self, layer: nn.Conv2d, low: float = -math.inf, high: float = math.inf) -> None:
        super().__init__()
        self.packed: SparseWeight = pack(layer.weight)
        self.bias = None if layer.bias is None else layer.bias.detach().float().contiguous()
        self.padding, self.stride, self.low, self.high = _padding_of(layer), layer.stride[0], low, high

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        return sparse_conv2d(
            x, self.packed, self.bias, stride=self.stride, padding=self.padding(x), low=self.low, high=self.high
        )

    def extra_repr(self) -> str:
        return f"{self.packed.shape}, density {self.packed.density:.3g}, {self.packed.nbytes:,} bytes"


def prepared(network: nn.Module, example: Tensor, rounds: int = ROUNDS) -> tuple[nn.Module, tuple[Choice, ...]]:
    """``network`` for fast answers to batches like ``example`` (N, 3, S, S), and the choice for each layer with zeros.

    The result answers in eval mode what ``network`` (the plain network of one sub-net) does, up to rounding.  Its
    packed weights are memory of its own; ``network`` is not changed.  Where its calls cannot be followed, it is a copy
    that multiplies zeros, too, and every choice says why.
    """
    if example.ndim != 4 or not example.is_floating_point() or not len(example):
        raise UsageError(f"Give normalised photos (N, 3, S, S), not {example.dtype} {tuple(example.shape)}.")
    copied = copy.deepcopy(network).eval()
    try:
        whole = GraphModule(copied, trace(copied))
    except Untraceable as error:
        why = f"the network cannot be followed: {error}"
        layers = {name: one for name, one in copied.named_modules() if isinstance(one, nn.Conv2d | nn.Linear)}
        return copied, tuple(Choice(n, density_of(m), "dense", why) for n, m in layers.items() if density_of(m) < 1)
    given = _inputs(whole, example)
    places = [node for node in whole.graph.nodes if node.op == "call_module" and node.target in given]
    for node in places:
        _fold_norm(whole, node)
    dense = _channels_last(whole)
    choices = tuple(_choose(whole, node, given[str(node.target)], rounds) for node in places if _has_zeros(whole, node))
    whole.graph.lint()
    whole.recompile()
    if example.is_cpu:
        own_ms, dense_ms = took(lambda: whole(example), lambda: dense(example), rounds=rounds)
        if dense_ms < own_ms:
            return dense, tuple(replace(one, engine="dense", reason=ALL_DENSE) for one in choices)
    return whole, choices


def density_of(layer: nn.Module) -> float:
    """Share of its weights that are not 0."""
    weight = layer.weight
    assert isinstance(weight, Tensor)
    return float(weight.detach().count_nonzero()) / max(1, weight.numel())


def _channels_last(whole: GraphModule) -> GraphModule:
    """A copy that keeps maps with channels last, as torch's dense convolutions on processors like them."""
    dense = copy.deepcopy(whole)
    dense.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    dense.recompile()
    return dense


def _has_zeros(whole: GraphModule, node: Node) -> bool:
    return density_of(whole.get_submodule(str(node.target))) < 1


def _choose(whole: GraphModule, node: Node, x: Tensor, rounds: int) -> Choice:
    """Measure the engine that fits the layer against the dense one, and put it in where it is faster."""
    name = str(node.target)
    layer = whole.get_submodule(name)
    assert isinstance(layer, nn.Conv2d | nn.Linear)
    density, relu = density_of(layer), _relu_behind(whole, node) if isinstance(layer, nn.Conv2d) else None
    found = _convolution(layer, relu, x) if isinstance(layer, nn.Conv2d) else _linear(layer, x)
    if isinstance(found, str):
        return Choice(name, density, "dense", found)
    engine, other = found
    dense = nn.Sequential(layer, *([] if relu is None else [relu]))
    wait = torch.cuda.synchronize if x.is_cuda else _at_once
    tried_ms, dense_ms = took(lambda: other(x), lambda: dense(x), rounds=rounds, wait=wait)
    if tried_ms >= dense_ms:
        return Choice(name, density, "dense", f"faster than {engine} at this density", tried_ms, dense_ms)
    if relu is not None:
        _leave_out(whole, node, *node.users)
    whole.set_submodule(name, other)
    return Choice(name, density, engine, "faster than dense", tried_ms, dense_ms)


def _linear(layer: nn.Linear, x: Tensor) -> tuple[Engine, nn.Module] | str:
    """The engine besides the dense one, with its layer; or why there is none."""
    if not x.is_cuda:
        return "linear layers have no engine for zeros on processors"
    return why_not_2_4(layer) or ("2:4", as_2_4(layer))


def _convolution(layer: nn.Conv2d, relu: nn.Module | None, x: Tensor) -> tuple[Engine, nn.Module] | str:
    """Likewise; its ``relu`` is part of the kernel."""
    if (why_not := sparse_why_not()) is not None:
        return f"the sparse kernel is not compiled: {why_not}"
    if not x.is_cpu or x.dtype != torch.float32:
        return f"the sparse kernel is for float32 on processors, and this is {x.dtype} on {x.device}"
    if type(layer) not in (nn.Conv2d, SameConv2d) or layer.padding_mode != "zeros":
        return "a convolution of a kind of its own"
    if layer.groups > 1 or layer.dilation != (1, 1):
        return "grouped and dilated convolutions have no sparse kernel"
    (high, wide), (down, across) = layer.kernel_size, layer.stride
    if high != wide or down != across or isinstance(layer.padding, str):
        return "a kernel, stride or padding that the sparse kernel does not know"
    if relu is None:
        return "sparse", SparseConv2d(layer)
    return "sparse", SparseConv2d(layer, 0.0, 6.0 if isinstance(relu, nn.ReLU6) else math.inf)


@torch.no_grad()
def _fold_norm(whole: GraphModule, node: Node) -> None:
    """Take the norm that alone reads a convolution into its weight and bias."""
    name, (norm, reader) = str(node.target), _reader(whole, node)
    layer = whole.get_submodule(name)
    if not (isinstance(layer, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)) or reader is None:
        return
    if norm.running_mean is None or norm.running_var is None:
        return
    factor = (norm.running_var.double() + norm.eps).rsqrt()
    factor = factor if norm.weight is None else factor * norm.weight.double()
    bias = -norm.running_mean.double() if layer.bias is None else layer.bias.double() - norm.running_mean.double()
    bias = bias * factor if norm.bias is None else bias * factor + norm.bias.double()
    like = layer.weight
    layer.weight = nn.Parameter((like.double() * factor[:, None, None, None]).to(like), requires_grad=False)
    layer.bias = nn.Parameter(bias.to(like), requires_grad=False)
    _leave_out(whole, node, reader)


def _relu_behind(whole: GraphModule, node: Node) -> nn.Module | None:
    """The ReLU or ReLU6 that alone reads a layer."""
    module, reader = _reader(whole, node)
    if isinstance(module, nn.ReLU | nn.ReLU6):
        return module
    called = reader.target if reader is not None and reader.op == "call_function" else None
    return nn.ReLU() if called in (F.relu, torch.relu) else nn.ReLU6() if called is F.relu6 else None


def _reader(whole: GraphModule, node: Node) -> tuple[nn.Module | None, Node | None]:
    """The only step that reads ``node``, where it reads nothing else, and its layer, if it is one."""
    readers = list(node.users)
    if len(readers) != 1 or readers[0].all_input_nodes != [node]:
        return None, None
    (reader,) = readers
    return whole.get_submodule(str(reader.target)) if reader.op == "call_module" else None, reader


def _leave_out(whole: GraphModule, node: Node, reader: Node) -> None:
    reader.replace_all_uses_with(node)
    whole.graph.erase_node(reader)


def _padding_of(layer: nn.Conv2d) -> Callable[[Tensor], tuple[int, int, int, int]]:
    if isinstance(layer, SameConv2d):
        return lambda x: layer.same_padding(x.shape[2], x.shape[3])
    down, across = (int(side) for side in layer.padding)
    return lambda x: (down, down, across, across)


@torch.no_grad()
def _inputs(whole: nn.Module, example: Tensor) -> dict[str, Tensor]:
    """What every convolution and linear layer that is called once is given, by name."""
    seen: dict[str, list[Tensor]] = {}
    handles = [
        module.register_forward_pre_hook(lambda _, args, name=name: seen.setdefault(name, []).append(args[0]))
        for name, module in whole.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    ]
    try:
        whole(example)
    finally:
        for handle in handles:
            handle.remove()
    return {name: given[0] for name, given in seen.items() if len(given) == 1}


def _at_once() -> None: ...


@torch.no_grad()
def took(*runs: Callable[[], Any], rounds: int = ROUNDS, wait: Callable[[], None] = lambda: None) -> tuple[float, ...]:
    """Milliseconds of each of ``runs``: the shortest of ``rounds`` rounds in which they take turns, after one of each.

    ``wait`` is called behind each of them, for devices that answer before they are done.
    """
    best = [math.inf] * len(runs)
    for run in runs:
        run()
    wait()
    for _ in range(rounds):
        for number, run in enumerate(runs):
            began = time.perf_counter()
            run()
            wait()
            best[number] = min(best[number], 1e3 * (time.perf_counter() - began))
    return tuple(best)
