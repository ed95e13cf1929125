"""Classes as vectors, compared with what the source says (Hambardzumyan et al., WARP, ACL 2021)."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgewise.core.settings import check, setting
from edgewise.reprogram.base import Domain, Reader


class VerbaliserReader(nn.Module):
    """The cosine of the scores with each class's ``vectors`` (classes, source's classes), over a temperature.

    ``vectors`` start with numbers of about 1, so that a learning rate means the same for any features; only their
    direction counts.  ``scale`` is the logarithm of one over the temperature.
    """

    def __init__(self, vectors: Tensor, temperature: float, trained: bool) -> None:
        super().__init__()
        self.vectors = nn.Parameter(F.normalize(vectors, dim=1) * math.sqrt(vectors.shape[1]))
        self.scale: Tensor
        scale = torch.tensor(-math.log(temperature))
        if trained:
            self.scale = nn.Parameter(scale)
        else:
            self.register_buffer("scale", scale)

    def forward(self, scores: Tensor) -> Tensor:
        """(N, source's classes) to logits (N, classes)."""
        return F.normalize(scores, dim=1) @ F.normalize(self.vectors, dim=1).t() * self.scale.exp()


@dataclass(frozen=True)
class Verbaliser:
    """A trained vector for each class, compared with the source's features or scores.

    Vectors start at the mean of what the source says of a class's training samples (all samples', where a class has
    none), each taken at length 1; so before training the nearest mean decides.  That pass costs queries.
    Deviations: WARP's decoder is the scalar product of its hidden state with vectors of words, with a bias; here
    cosines over a ``temperature``, which trains unless it is ``fixed``, since features have no known length.
    """

    name: ClassVar[str] = "verbaliser"
    needs_scores: ClassVar[bool] = True
    every: ClassVar[int] = 0
    temperature: float = setting(0.1, "what cosines are divided by at the start", low=1e-3, high=100)
    fixed: bool = setting(False, "the temperature does not train")
    domain: Domain = setting("logits", "what is compared", choices=("probs", "logits"))

    def __post_init__(self) -> None:
        check(self)

    def fit(self, scores: Tensor, targets: Tensor, classes: int) -> Reader:
        said = F.normalize(scores, dim=1)
        sums = torch.zeros(classes, scores.shape[1]).index_add_(0, targets, said)
        met = torch.bincount(targets, minlength=classes)[:, None]
        return VerbaliserReader(torch.where(met > 0, sums, said.sum(0)), self.temperature, not self.fixed)
