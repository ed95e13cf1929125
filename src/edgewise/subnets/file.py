"""The one file of several sub-nets: weights once, then what each of them costs: its masks and its norms.

    weights/NAME          every tensor that is not a private norm's, as the network without sub-nets names it
    norms/SUBNET/NAME     one sub-net's private norms
    masks/SUBNET/LAYER    uint8, 8 weights a byte in their order, the first in the lowest bit

Weights that no sub-net has are stored as 0: they answer nothing, and files compress better.
"""

from collections.abc import Mapping
from math import prod

import torch
from torch import Tensor

from edgewise.core.errors import EdgewiseError
from edgewise.subnets.network import SubNets

BITS = 8


def packed(mask: Tensor) -> Tensor:
    """Booleans of any shape as uint8 (ceil(n / 8)); the bits behind the last are 0."""
    flat = torch.zeros(-(-mask.numel() // BITS) * BITS, dtype=torch.uint8)
    flat[: mask.numel()] = mask.reshape(-1).cpu()
    places = 2 ** torch.arange(BITS, dtype=torch.uint8)
    return (flat.view(-1, BITS) * places).sum(1, dtype=torch.uint8)


def unpacked(bits: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The booleans again; raises `ValueError` where ``bits`` are not those of a mask of ``shape``."""
    places = 2 ** torch.arange(BITS, dtype=torch.uint8)
    flat = (bits[:, None] & places != 0).reshape(-1)
    size = prod(shape)
    if bits.dtype != torch.uint8 or bits.ndim != 1 or len(bits) != -(-size // BITS) or bool(flat[size:].any()):
        raise ValueError(f"{tuple(bits.shape)} of {bits.dtype} is no mask of {size} weights")
    return flat[:size].view(shape)


def tensors_of(net: SubNets) -> dict[str, Tensor]:
    """What the file holds, by its names."""
    weights, norms = _parts(net)
    owned = {f"{layer}.weight": mask for layer, mask in net.owned().items()}
    return {
        **{f"weights/{name}": tensor * owned[name] if name in owned else tensor for name, tensor in weights.items()},
        **{f"norms/{name}/{key}": tensor for name, own in norms.items() for key, tensor in own.items()},
        **{f"masks/{name}/{layer}": packed(mask) for name in net.names for layer, mask in net.masks(name).items()},
    }


@torch.no_grad()
def put_tensors(net: SubNets, tensors: Mapping[str, Tensor], where: str) -> None:
    """Give ``net`` what the file ``where`` holds.

    Raises `EdgewiseError` where a name is missing or unknown, or a mask does not match its weights; then ``net`` is
    as it was.
    """
    live = _live(net)
    masks = {f"masks/{name}/{layer}": mask for name in net.names for layer, mask in net.masks(name).items()}
    expected = live.keys() | masks.keys()
    if wrong := sorted(expected ^ tensors.keys()):
        kind = "is missing" if wrong[0] in expected else "belongs to nothing"
        raise EdgewiseError(f"{where} does not hold these sub-nets: {wrong[0]} {kind} ({len(wrong)} in all).")
    shaped = [name for name, tensor in live.items() if tensors[name].shape != tensor.shape]
    if shaped:
        raise EdgewiseError(f"{where} does not fit its network: {shaped[0]} is {tuple(tensors[shaped[0]].shape)}.")
    opened: dict[str, Tensor] = {}
    for name, mask in masks.items():
        try:
            opened[name] = unpacked(tensors[name], tuple(mask.shape))
        except ValueError as error:
            raise EdgewiseError(f"{where} holds a mask that does not match its weights: {name}, {error}.") from error
    for name, tensor in live.items():
        tensor.copy_(tensors[name])
    for name, mask in masks.items():
        mask.copy_(opened[name])


def bytes_of(net: SubNets) -> dict[str, dict[str, int]]:
    """``{"weights": {"bytes"}, SUBNET: {"masks", "norms"}, …}``: what is there once, and what a sub-net adds."""
    weights, norms = _parts(net)
    found = {"weights": {"bytes": sum(_bytes(tensor) for tensor in weights.values())}}
    for name in net.names:
        masks = sum(-(-mask.numel() // BITS) for mask in net.masks(name).values())
        found[name] = {"masks": masks, "norms": sum(_bytes(tensor) for tensor in norms.get(name, {}).values())}
    return found


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _parts(net: SubNets) -> tuple[dict[str, Tensor], dict[str, dict[str, Tensor]]]:
    """Live tensors: the network's own, and those of each sub-net's norms."""
    weights: dict[str, Tensor] = {}
    norms: dict[str, dict[str, Tensor]] = {name: {} for name in net.names} if net.norms else {}
    private = tuple(f"{norm}.own." for norm in net.norms)
    masks = {f"{layer}.masks" for layer in net.layers}
    for name, tensor in net.network.state_dict().items():
        if name.startswith(private):
            norm = next(prefix for prefix in private if name.startswith(prefix))
            number, _, key = name.removeprefix(norm).partition(".")
            norms[net.names[int(number)]][f"{norm.removesuffix('.own.')}.{key}"] = tensor
        elif name not in masks:
            weights[name] = tensor
    return weights, norms


def _live(net: SubNets) -> dict[str, Tensor]:
    weights, norms = _parts(net)
    own = {f"norms/{name}/{key}": tensor for name, tensors in norms.items() for key, tensor in tensors.items()}
    return {**{f"weights/{name}": tensor for name, tensor in weights.items()}, **own}
