"""What moves a program: settings that build a `Stepper`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from torch import Tensor, nn


@dataclass(frozen=True)
class Losses:
    """Of every sample of a batch.

    ``each`` (N,) are losses, penalties included; ``log_chance`` (N,) the log-probabilities of what the program
    drew for them, None where it drew nothing.
    """

    each: Tensor
    log_chance: Tensor | None = None


Loss = Callable[[], Losses]
"""The losses of the present batch with the parameters as they are; asked twice, it answers the same."""


class Stepper(Protocol):
    """Holds parameters and what it remembers of earlier steps."""

    def step(self, loss: Loss, progress: float, seed: int) -> float:
        """Move the parameters once, ``progress`` (0 to 1) of the training being done; the loss before or around it.

        ``seed`` is all that may be random.  Where the loss is not finite nothing is moved.
        """

    def rate(self, progress: float) -> float:
        """The learning rate when ``progress`` of the training is done."""

    def tensors(self) -> Mapping[str, Tensor]:
        """What it remembers, by name; live."""

    def set_updates(self, updates: int) -> None:
        """Tell it how many steps were made before."""


class Trainer(Protocol):
    """How a program is trained: settings, a frozen dataclass.

    ``follows_gradients`` says that the source must be a white box, ``draws`` that the program must draw.
    """

    name: ClassVar[str]
    follows_gradients: ClassVar[bool]
    draws: ClassVar[bool]

    def build(self, parameters: Sequence[tuple[str, nn.Parameter]]) -> Stepper:
        """A stepper for named parameters."""

    def evaluations(self) -> int:
        """How often a step evaluates the loss of its batch: what it costs in queries a sample."""
