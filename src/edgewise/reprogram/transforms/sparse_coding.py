"""Sparse codes: vectors as sums of few of a table's rows (Pati, Rezaiifar and Krishnaprasad, OMP, 1993)."""

import torch
import torch.nn.functional as F
from torch import Tensor

NOTHING = 1e-6
"""Share of a vector's length below which nothing of it is left: the rounding of 32-bit numbers."""


def sparse_codes(targets: Tensor, atoms: Tensor, nonzeros: int) -> tuple[Tensor, Tensor]:
    """Which rows of ``atoms`` (V, d) add up to nearly ``targets`` (M, d), with which weights: both (M, ``nonzeros``).

    Orthogonal matching pursuit, all targets at once: each time the atom most like what is left (by its cosine) joins,
    and what is left is then orthogonal to all that have joined; weights are the least squares' at the end.  Where
    nothing is left the atoms most like the target itself join, at weights of about 0.  Of equal ones the lowest comes
    first.  One step costs M * V * d multiplications and the memory of M * V numbers; no table of V * V.
    """
    units = F.normalize(atoms, dim=1)
    left, likeness = targets.clone(), targets @ units.t()
    basis = targets.new_zeros(len(targets), nonzeros, targets.shape[1])
    places = torch.empty(len(targets), nonzeros, dtype=torch.long)
    for count in range(nonzeros):
        some = left.norm(dim=1, keepdim=True) > NOTHING * targets.norm(dim=1, keepdim=True)
        if not bool(some.any()):
            rest = likeness.abs().scatter(1, places[:, :count], -1)
            places[:, count:] = torch.sort(rest, dim=1, descending=True, stable=True).indices[:, : nonzeros - count]
            break
        wanted = torch.where(some, left @ units.t(), likeness).abs()
        wanted.scatter_(1, places[:, :count], -1)
        places[:, count] = wanted.argmax(1)
        new = units[places[:, count]]
        for _ in range(2):  # once leaves what rounding leaves
            new = new - torch.einsum("mkd,mk->md", basis, torch.einsum("mkd,md->mk", basis, new))
        new = torch.where(new.norm(dim=1, keepdim=True) > NOTHING, F.normalize(new, dim=1), 0)
        basis[:, count] = new
        left = left - new * (new * left).sum(1, keepdim=True)
    chosen, wanted = atoms[places].double(), targets.double()
    weights = torch.linalg.lstsq(chosen.mT, wanted.unsqueeze(2), driver="gelsd").solution
    return places, weights.squeeze(2).to(targets.dtype)
