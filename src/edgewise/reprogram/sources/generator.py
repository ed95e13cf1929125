"""A frozen generator as a source: noise in, samples such as images out."""

import torch
from torch import Tensor, nn

from edgewise.core.errors import UsageError
from edgewise.reprogram.sources.frozen import Frozen
from edgewise.reprogram.space import Space


class Generator:
    """``module`` frozen, from ``noise`` numbers, each drawn from N(0, 1), to a sample in ``gives``.

    Raises `UsageError` where what it makes of one draw is not of the shape or range of ``gives``.
    """

    def __init__(self, module: nn.Module, noise: int, gives: Space) -> None:
        self.frozen, self.noise, self.gives = Frozen(module), noise, gives
        with torch.no_grad():
            gives.check(self(torch.zeros(1, noise)), "What the generator makes")

    @property
    def fingerprint(self) -> str:
        """SHA-256 of its weights and buffers as they were when it became a source."""
        return self.frozen.fingerprint

    def __call__(self, latents: Tensor) -> Tensor:
        """(N, ``noise``) to (N, ``*gives.shape``)."""
        if latents.shape[1:] != (self.noise,):
            raise UsageError(f"The generator reads {self.noise} numbers, and was given {tuple(latents.shape[1:])}.")
        return self.frozen(latents)

    def check_untouched(self) -> None:
        """Raise `EdgewiseError` where it is not what it was."""
        self.frozen.check_untouched()
