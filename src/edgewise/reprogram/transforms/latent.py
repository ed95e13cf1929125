"""A transform of a frozen generator's noise for every class (Lee et al., 2020; Dinh et al., InRep+, 2022)."""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from edgewise.core.errors import UsageError
from edgewise.core.settings import check, setting

MOST_STRETCH = 1.5
"""Largest logarithm by which one coupling stretches a number."""


@dataclass(frozen=True)
class LatentMap:
    """``z' = r_y(z)``: noise that a frozen generator turns into samples of class y; the output mapping is identity.

    ``affine``: ``z' = exp(a_y) * z + b_y``, numbers of each class alone, as simple as such a map can be.  ``flow``:
    ``couplings`` affine couplings (Dinh et al., RealNVP, 2017), of which every second one moves the other half of
    the numbers, by small networks of the resting half and the class; then the same ``affine``.  Both are
    invertible in closed form, so no two draws fall together, which InRep+ wants of r_y for the sake of diversity.
    Deviation: InRep+ takes a residual network with spectral norm and joins the class to the noise as further numbers,
    so that the noise has fewer numbers than the generator reads; a coupling needs neither, and its inverse is exact.

    Being invertible does not keep a map from gathering all its draws about one good sample.  ``hold`` does, and is
    ours: the noise of K equally frequent classes in a good generator strays from N(0, 1) by the mutual information of
    noise and class, at most log K.  What the Kullback-Leibler divergence of r_y's noise from N(0, 1),
    ``E[|z'|^2 / 2 - |z|^2 / 2 - log |det dr_y / dz|]``, has beyond log K is added to the loss, ``hold`` times; 0 is
    InRep+.

    Both forms start as the identity: the generator as it is, whatever the class.
    """

    name: ClassVar[str] = "latent"
    form: Literal["flow", "affine"] = setting("flow", "how noise is moved", choices=("flow", "affine"))
    couplings: int = setting(4, "affine couplings of a flow", low=2, high=64)
    hidden: int = setting(64, "hidden numbers of a coupling's network", low=1, high=4096)
    hold: float = setting(0.1, "times what the noise of classes strays too far is added to the loss", low=0, high=1e3)

    def __post_init__(self) -> None:
        check(self)

    def build(self, noise: int, classes: int) -> "LatentProgram":
        """A program for a generator of ``noise`` numbers, as it is before training.

        Raises `UsageError` where a flow has nothing to part.
        """
        if self.form == "flow" and noise < 2:
            raise UsageError(f"A flow parts the noise, which has {noise} number: take LatentMap(form='affine').")
        couplings = self.couplings if self.form == "flow" else 0
        return LatentProgram(
            [_Coupling(noise, classes, self.hidden, turned=bool(place % 2)) for place in range(couplings)],
            _ClassAffine(noise, classes),
            self.hold,
            classes,
        )


class LatentProgram(nn.Module):
    """The trained transforms of `LatentMap`, one after the other."""

    def __init__(self, couplings: "list[_Coupling]", last: "_ClassAffine", hold: float, classes: int) -> None:
        super().__init__()
        self.couplings, self.last, self.hold, self.fair = nn.ModuleList(couplings), last, hold, math.log(classes)

    def forward(self, noise: Tensor, classes: Tensor) -> Tensor:
        """Noise (N, d) and class numbers (N,) to what the generator reads (N, d)."""
        return self.moved(noise, classes)[0]

    def moved(self, noise: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        """`forward`, and the logarithms (N,) of by how much it stretches a small volume there."""
        stretched = torch.zeros(len(noise), dtype=noise.dtype)
        for part in (*self.couplings, self.last):
            noise, further = part(noise, classes)
            stretched = stretched + further
        return noise, stretched

    def penalty(self, noise: Tensor, latents: Tensor, stretched: Tensor) -> Tensor:
        """``hold`` times how far the latents stray from N(0, 1) beyond log K; of what `moved` made of ``noise``."""
        strays = (latents.square() - noise.square()).sum(1) / 2 - stretched
        return self.hold * (strays.mean() - self.fair).clamp_min(0)

    def inverse(self, latents: Tensor, classes: Tensor) -> Tensor:
        """The noise (N, d) that `forward` takes to ``latents`` (N, d) for ``classes`` (N,)."""
        for part in (self.last, *reversed(self.couplings)):
            assert isinstance(part, (_Coupling, _ClassAffine))
            latents = part.inverse(latents, classes)
        return latents


class _ClassAffine(nn.Module):
    def __init__(self, noise: int, classes: int) -> None:
        super().__init__()
        self.stretch = nn.Parameter(torch.zeros(classes, noise))
        self.shift = nn.Parameter(torch.zeros(classes, noise))

    def forward(self, noise: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        stretch = self.stretch[classes]
        return noise * stretch.exp() + self.shift[classes], stretch.sum(1)

    def inverse(self, latents: Tensor, classes: Tensor) -> Tensor:
        return (latents - self.shift[classes]) * (-self.stretch[classes]).exp()


class _Coupling(nn.Module):
    """One half of the numbers moves by what the other half and the class say; ``turned``: the first half moves."""

    def __init__(self, noise: int, classes: int, hidden: int, turned: bool) -> None:
        super().__init__()
        self.turned, half = turned, noise // 2
        rests, moves = (noise - half, half) if turned else (half, noise - half)
        self.sizes = [half, noise - half]
        self.reads = nn.Linear(rests, hidden)
        self.of_class = nn.Embedding(classes, hidden)
        self.says = nn.Linear(hidden, 2 * moves)
        for parameter in (self.of_class.weight, self.says.weight, self.says.bias):
            nn.init.zeros_(parameter)

    def forward(self, noise: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        rests, moves = self._parted(noise)
        stretch, shift = self._said(rests, classes)
        return self._joined(rests, moves * stretch.exp() + shift), stretch.sum(1)

    def inverse(self, latents: Tensor, classes: Tensor) -> Tensor:
        rests, moves = self._parted(latents)
        stretch, shift = self._said(rests, classes)
        return self._joined(rests, (moves - shift) * (-stretch).exp())

    def _said(self, rests: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        stretch, shift = self.says((self.reads(rests) + self.of_class(classes)).relu()).chunk(2, dim=1)
        return MOST_STRETCH * stretch.tanh(), shift

    def _parted(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        first, second = numbers.split(self.sizes, dim=1)
        return (second, first) if self.turned else (first, second)

    def _joined(self, rests: Tensor, moves: Tensor) -> Tensor:
        return torch.cat([moves, rests] if self.turned else [rests, moves], dim=1)
