"""Where a network's blocks, its resolution drops and its head are: found by running it, not listed.

A batch of no images goes through the network in eval mode (one black image, where it does not take
such a batch), and forward hooks note what every module was given and gave back.  Afterwards the hooks
are gone and every module is in the mode it was in.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from edgewise.core.errors import EdgewiseError

CONTAINERS = (nn.Sequential, nn.ModuleList)

Watch = Callable[[str, nn.Module, tuple[Any, ...], Any], Any]
Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Block:
    """A part of the network that takes one feature map and gives one: shapes are (C, H, W).

    ``kernel`` is the side of the largest convolution in it, 0 where there is none.
    """

    name: str
    input_shape: Shape
    output_shape: Shape
    kernel: int = 0

    @property
    def drops(self) -> bool:
        """Does the resolution drop here?"""
        return self.output_shape[1] < self.input_shape[1] or self.output_shape[2] < self.input_shape[2]


def blocks_of(network: nn.Module, size: int) -> tuple[Block, ...]:
    """The blocks that an image (3, ``size``, ``size``) passes, in order of execution.

    A block is the outermost module whose class appears more than once in the network.  Plain
    containers, classes that appear once and modules that are not called themselves are opened;
    a leaf outside of blocks counts as one.  Only what is called exactly once, with a 4-D tensor
    first, and returns a 4-D tensor.

    Raises `EdgewiseError` when there is no such block, or the network cannot run at this size.
    """
    calls: dict[nn.Module, list[tuple[int, Shape, Shape] | None]] = {}
    counter = iter(range(10**9))

    def note(name: str, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        shapes = _map_shape(args[0] if args else None), _map_shape(output)
        both = shapes[0] is not None and shapes[1] is not None
        calls.setdefault(module, []).append((next(counter), *shapes) if both else None)  # type: ignore[arg-type]

    _run(network, size, note, images=_fewest(network, size))
    repeated = {kind for kind, number in Counter(type(m) for m in network.modules()).items() if number > 1}
    found: dict[int, Block] = {}
    for name, module in _outermost("", network, lambda child: type(child) in repeated and child in calls):
        match calls.get(module):
            case [(order, given, returned)]:
                found[order] = Block(name, given, returned, _kernel(module))
    if not found:
        raise EdgewiseError(
            f"No blocks were found in {type(network).__name__}: none of its modules takes a feature map "
            "(N, C, H, W) and gives one, exactly once. Edgewise adapts convolutional classifiers; "
            "write the network's steps as modules, each called once."
        )
    return tuple(found[order] for order in sorted(found))


def _outermost(prefix: str, parent: nn.Module, whole: Callable[[nn.Module], bool]) -> Iterator[tuple[str, nn.Module]]:
    """Names and modules below ``parent``: leaves, and what is ``whole`` and no container."""
    # not inside `blocks_of`: a function that knows itself keeps all it knows, until a collector comes
    for child_name, child in parent.named_children():
        name = f"{prefix}{child_name}"
        if (whole(child) and type(child) not in CONTAINERS) or next(child.children(), None) is None:
            yield name, child
        else:
            yield from _outermost(f"{name}.", child, whole)


def connectors(blocks: Sequence[Block]) -> tuple[Block, ...]:
    """The points where a side network meets the network (Rep-Net, Section 3.3).

    These are the blocks whose output has another shape than their input, from the first drop of
    the resolution after the stem (the stem is the first convolution's block, if the resolution
    drops there), up to and with the last block before the final 1x1 mixing layer or the pooling.

    Raises `EdgewiseError` when no block holds a convolution.
    """
    convolving = [i for i, block in enumerate(blocks) if block.kernel]
    if not convolving:
        raise EdgewiseError(
            "No block of this network holds a convolution (nn.Conv2d): there is nothing to connect a side network to."
        )
    first = convolving[0]
    # A 1x1 convolution that keeps the resolution only mixes channels.
    last = next((i for i in reversed(convolving) if blocks[i].kernel > 1 or blocks[i].drops), convolving[-1])
    body = blocks[first + 1 if blocks[first].drops else 0 : last + 1]
    drop = next((i for i, block in enumerate(body) if block.drops), len(body))
    points = [block for block in body[drop:] if block.output_shape != block.input_shape]
    if not points or points[-1] is not blocks[last]:
        points.append(blocks[last])
    return tuple(points)


def find_head(network: nn.Module, size: int) -> str:
    """Dotted name of the ``nn.Linear`` whose output is the network's, (N, classes).

    Steps without parameters may follow it (a log-softmax, a view).

    Raises `EdgewiseError` when there is none, as in a network that ends in a 1x1 convolution or
    averages two heads, or when the network does not return one tensor (N, classes).
    """
    linears: list[tuple[str, nn.Linear, Tensor]] = []
    last_layer = ""

    def note(name: str, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        nonlocal last_layer
        if isinstance(module, nn.Linear):
            linears.append((name, module, output))
        if next(module.parameters(recurse=False), None) is not None:
            last_layer = f"{name} ({type(module).__name__})"

    logits = _run(network, size, note, images=_fewest(network, size))
    what = type(network).__name__
    if not isinstance(logits, Tensor):
        raise EdgewiseError(
            f"{what} returns a {type(logits).__name__}; wrap it so that it returns logits (N, classes)."
        )
    if logits.ndim != 2:
        raise EdgewiseError(f"{what} returns a tensor of shape {_batch_shape(logits)}, not logits (N, classes).")
    if not linears:
        raise EdgewiseError(
            f"{what} has no linear head: no nn.Linear is used. Its last layer with weights is {last_layer or 'none'}; "
            "end the network in pooling and an nn.Linear."
        )
    name, head, output = linears[-1]
    if output.shape != logits.shape or not (output is logits or _decides(network, head, size)):
        raise EdgewiseError(
            f"{what} does not end in a linear head: its last nn.Linear, {name}, gives {_batch_shape(output)} and is "
            f"not what the logits {_batch_shape(logits)} come from alone. Its last layer with weights is {last_layer}."
        )
    return name


def _decides(network: nn.Module, head: nn.Linear, size: int) -> bool:
    """Does the network's output depend on the image through ``head`` only?

    With the head's answer held fixed (at one, not zero: a gate at zero would hide the rest), it must not.
    """

    def hold(name: str, module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        return torch.ones_like(output) if module is head else output

    return torch.equal(*(_run(network, size, hold, brightest) for brightest in (0.0, 1.0)))


def _fewest(network: nn.Module, size: int) -> int:
    """Images needed to see shapes: none at all, which costs neither time nor memory, if the network takes it so."""
    try:
        _run(network, size, lambda *_: None, images=0)
    except EdgewiseError:
        return 1
    return 0


def _run(network: nn.Module, size: int, watch: Watch, brightest: float = 0.0, images: int = 1) -> Any:
    """The network's answer to ``images`` ramps from 0 to ``brightest``, with ``watch`` on every module."""
    modes = [(module, module.training) for module in network.modules()]
    handles = [m.register_forward_hook(partial(watch, name)) for name, m in network.named_modules() if name]
    like = next((p for p in network.parameters() if p.is_floating_point()), torch.zeros(()))
    ramp = torch.linspace(0, brightest, size, dtype=like.dtype, device=like.device).expand(images, 3, size, size)
    try:
        network.eval()
        # A network with a step that draws random numbers must not move the user's.
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            return network(ramp.contiguous())
    except Exception as error:
        raise EdgewiseError(
            f"{type(network).__name__} could not be run on an image of {size} x {size} pixels "
            f"({type(error).__name__}: {error}). Edgewise needs a classifier of RGB images (N, 3, H, W); "
            "choose its size with --image-size."
        ) from error
    finally:
        for handle in handles:
            handle.remove()
        for module, training in modes:
            module.training = training


def _map_shape(value: Any) -> Shape | None:
    if not isinstance(value, Tensor) or value.ndim != 4:
        return None
    _, channels, height, width = value.shape
    return channels, height, width


def _batch_shape(tensor: Tensor) -> str:
    """``"(N, 10)"``."""
    return f"({', '.join(['N', *map(str, tensor.shape[1:])])})"


def _kernel(module: nn.Module) -> int:
    return max((max(m.kernel_size) for m in module.modules() if isinstance(m, nn.Conv2d)), default=0)
