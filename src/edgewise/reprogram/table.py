"""Rows of vectors in place of symbols: what a source with a table reads (`Space.table`)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from edgewise.core.errors import UsageError
from edgewise.reprogram.space import Space


def vectors_of(symbols: Tensor, table: Tensor) -> Tensor:
    """The rows (…, d) of ``table`` (V, d) for ``symbols`` (…), and zeros for symbol 0, where nothing stands."""
    return F.embedding(symbols, table) * (symbols != 0).unsqueeze(-1)


def drawn_like(table: Tensor, count: int, seed: int) -> Tensor:
    """Random vectors (``count``, d), normal with the mean and the deviation that each of ``table``'s columns has."""
    deviation, mean = torch.std_mean(table, 0)
    return mean + deviation * torch.randn(count, table.shape[1], generator=torch.Generator().manual_seed(seed))


def table_of(takes: Space, what: str) -> Tensor:
    """The table of what a source ``takes``.  Raises `UsageError` where it reads no vectors."""
    if takes.table is None:
        raise UsageError(
            f"The source reads {takes.shape} and has no table of vectors; {what} needs one that reads vectors, such as "
            "of_encoder's."
        )
    return takes.table
