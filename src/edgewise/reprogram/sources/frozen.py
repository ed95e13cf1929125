"""A module that nothing moves, and the proof."""

from typing import Any

from torch import Tensor, nn

from edgewise.core.errors import EdgewiseError
from edgewise.core.surgery import digest


class Frozen:
    """``module`` in eval mode, its parameters without gradients, and the digest of what it was then.

    The module itself, not a copy: a source may be large.  Gradients pass through it to what it reads.
    ``beside`` are tensors that belong to it, by name, such as an automaton's seed.
    """

    def __init__(self, module: nn.Module, beside: dict[str, Tensor] | None = None) -> None:
        self.module, self.beside = module.eval(), beside or {}
        for parameter in module.parameters():
            parameter.requires_grad_(False)
        self.fingerprint = self._digest()

    def __call__(self, samples: Tensor) -> Tensor:
        found: Tensor = self.module(samples)
        return found

    def __deepcopy__(self, memo: Any) -> "Frozen":
        """Itself: nothing changes it."""
        return self

    def check_untouched(self) -> None:
        """Raise `EdgewiseError` where the module is not what it was, or not in eval mode."""
        if any(module.training for module in self.module.modules()):
            raise EdgewiseError("A part of the source is in training mode: its answers would change with the batch.")
        if self._digest() != self.fingerprint:
            raise EdgewiseError("The source's weights have changed since it became a source: a program for it is void.")

    def _digest(self) -> str:
        return digest({**self.module.state_dict(), **self.beside})
