"""An image that is added to every image: the program of input reprogramming."""

import torch
from torch import Tensor, nn

from edgewise.core.errors import EdgewiseError


class InputProgram(nn.Module):
    """(N, 3, ``size``, ``size``) to the same: x + p (Rep-Net, Eq. 2), with p = 0 at the start.

    ``bounded``: x + tanh(p), so that no pixel moves by more than 1 (of the unit that the images are in).
    The gradient of p needs no image; the bounded one needs tanh(p), once, whatever the batch.

    Raises `EdgewiseError` for images of another size: p belongs to pixels.
    """

    def __init__(self, size: int, bounded: bool = False) -> None:
        super().__init__()
        self.program = nn.Parameter(torch.zeros(3, size, size))
        self.bounded = bounded

    def pattern(self) -> Tensor:
        """What is added, (3, ``size``, ``size``)."""
        return torch.tanh(self.program) if self.bounded else self.program

    def forward(self, images: Tensor) -> Tensor:
        if images.shape[1:] != self.program.shape:
            given, own = (" x ".join(map(str, shape)) for shape in (images.shape[1:], self.program.shape))
            raise EdgewiseError(
                f"The input program is {own} and the images are {given}: it is learned pixel by pixel, so resize "
                "images to its size, or adapt again at theirs (--image-size)."
            )
        return images + self.pattern()

    def before(self, network: nn.Module, args: tuple[Tensor, ...]) -> Tensor:
        """A forward pre-hook: ``network`` is given the programmed images."""
        programmed: Tensor = self(args[0])
        return programmed
