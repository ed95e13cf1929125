"""2:4 linear layers on NVIDIA's Sparse Tensor Cores, through torch; refused with the reason everywhere else.

torch has this product for two-dimensional weights in half precision from the Ampere generation on, and not for
convolutions. Every pattern of `nm` that is a 2:4 one (1:4, 1:8 and 1:16 are, too) runs at the rate of 2:4.  That it is
faster is not promised: small products are slower than dense ones, so `engines` measures both, and a layer is checked
before it is used.
"""

import copy

import torch
from torch import Tensor, nn
from torch.sparse import to_sparse_semi_structured

from edgewise.core.errors import EdgewiseError
from edgewise.subnets.nm import NM, has_pattern

HALVES = (torch.float16, torch.bfloat16)
AMPERE = (8, 0)
TILE = (32, 64)  # outputs and inputs that a weight must be a multiple of (torch 2.13, both of its back ends)
CLOSE = 2e-2  # of the largest result: two ways to add up in half precision


def why_not_2_4(layer: nn.Linear) -> str | None:
    """Why ``layer`` cannot run as 2:4 where it is; None where it can."""
    weight = layer.weight
    if weight.device.type != "cuda" or torch.version.hip is not None:
        return f"2:4 needs an NVIDIA GPU, and this is {weight.device}"
    capability = torch.cuda.get_device_capability(weight.device)
    if capability < AMPERE:
        return f"2:4 needs compute capability 8.0 (Ampere) or more, and this GPU has {'.'.join(map(str, capability))}"
    return _unfit(weight.detach())


def _unfit(weight: Tensor) -> str | None:
    if weight.dtype not in HALVES:
        return f"2:4 runs in float16 or bfloat16, and the weight is {weight.dtype}"
    if any(size % tile for size, tile in zip(weight.shape, TILE, strict=True)):
        return f"2:4 needs multiples of {TILE[0]} outputs and {TILE[1]} inputs, and the weight is {tuple(weight.shape)}"
    if not has_pattern({"": weight != 0}, NM(2, 4)):
        return "some group of four inputs has more than two weights"
    return None


@torch.no_grad()
def as_2_4(layer: nn.Linear) -> nn.Linear:
    """A copy of ``layer`` that computes by the semi-structured product; it must be possible (`why_not_2_4`).

    Raises `EdgewiseError` where its results on noise are not those of the weight with zeros.
    """
    assert (reason := why_not_2_4(layer)) is None, reason
    sparse = copy.deepcopy(layer)
    sparse.weight = nn.Parameter(to_sparse_semi_structured(layer.weight.detach().contiguous()), requires_grad=False)
    check_close(sparse, layer)
    return sparse


@torch.no_grad()
def check_close(sparse: nn.Module, dense: nn.Linear) -> float:
    """The largest difference on 64 rows of noise, over the largest result; raises `EdgewiseError` above `CLOSE`."""
    noise = torch.randn(64, dense.in_features, generator=torch.Generator().manual_seed(0)).to(dense.weight)
    one, other = sparse(noise).float(), dense(noise).float()
    apart = float((one - other).abs().max() / other.abs().max().clamp(min=1e-6))
    if not apart <= CLOSE:
        raise EdgewiseError(
            f"The 2:4 product of a weight {tuple(dense.weight.shape)} is {apart:.3g} (of the largest result) from the "
            f"dense one on {dense.weight.device}: do not use it with torch {torch.__version__} on this GPU."
        )
    return apart
