"""A fixed matrix between the source's classes and the task's."""

from torch import Tensor, nn

from edgewise.reprogram.base import LEAST, Domain


class MatrixMap(nn.Module):
    """Scores times ``matrix`` (source's classes, classes); of probabilities the logarithm is taken then."""

    def __init__(self, matrix: Tensor, domain: Domain) -> None:
        super().__init__()
        self.domain = domain
        self.matrix: Tensor
        self.register_buffer("matrix", matrix)

    def forward(self, scores: Tensor) -> Tensor:
        """(N, source's classes) to logits (N, classes)."""
        combined = scores @ self.matrix
        return combined if self.domain == "logits" else combined.clamp_min(LEAST).log()
