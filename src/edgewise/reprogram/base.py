"""What reprogramming is made of (Chen, "Model Reprogramming", AAAI 2024; arXiv 2202.10629, Section 3).

A frozen source model f serves another task by what goes in and how its answers are read::

    Reprogrammed(x) = mapping(f(transform(x)))

Four nouns, each with a folder of its own: an `InputTransform` (settings) builds a trained `Program`; a `Source` is the
frozen model, which may be behind an API; a `Mapping` (settings) fits a `Reader` from the source's classes to the
task's; and a trainer moves the program and the reader.  None knows which of the others it meets.
"""

from typing import ClassVar, Literal, Protocol, runtime_checkable

import torch
from torch import Tensor

from edgewise.reprogram.space import Space

Answer = Literal["features", "logits", "probs", "top-k", "label"]
Domain = Literal["logits", "probs"]
Aggregate = Literal["mean", "max"]

LEAST = 1e-12
"""Smallest probability whose logarithm is taken."""


class Program(Protocol):
    """From samples of the task to samples that the source reads; a `torch.nn.Module` whose parameters train."""

    gives: Space

    def __call__(self, samples: Tensor) -> Tensor:
        """(N, …) of the task to (N, ``*gives.shape``) within ``gives``; never changes ``samples``."""

    def penalty(self) -> Tensor:
        """What is added to the loss of a batch; a number, 0 where nothing is."""


@runtime_checkable
class Draws(Protocol):
    """A program that draws what it gives at random while it trains: no gradient passes, its chances are known."""

    def log_chance(self) -> Tensor:
        """Log-probabilities (N,) of what the last call drew, differentiable by the program's parameters."""


@runtime_checkable
class Anneals(Protocol):
    """A program that changes with the progress of its training, other than by its parameters."""

    def anneal(self, progress: float) -> None:
        """``progress`` (0 to 1) of the training is done."""


@runtime_checkable
class Pictured(Protocol):
    """A program that can be looked at."""

    def canvas(self) -> Tensor:
        """The program without a sample (C, H, W), within the range of what the source reads."""


class InputTransform(Protocol):
    """How a sample becomes one of the source's: settings, a frozen dataclass."""

    name: ClassVar[str]

    def build(self, samples: Space, takes: Space) -> Program:
        """A program from ``samples`` to what the source ``takes``, as it is before training.

        Raises `UsageError`, with both sizes, where a sample does not fit.
        """


class Source(Protocol):
    """A frozen model of ``classes`` classes and what it answers with.

    ``fingerprint`` tells it from any other; a program trained on one is refused by another.
    """

    takes: Space
    classes: int
    answers: Answer

    @property
    def fingerprint(self) -> str:
        """Of its weights, or of its answers to fixed samples."""

    def __call__(self, samples: Tensor) -> Tensor:
        """Scores (N, classes), as ``answers`` says; a label alone is a row with a single 1, features have any range."""


class Reader(Protocol):
    """A fitted mapping: a `torch.nn.Module` from the source's scores to the task's."""

    def __call__(self, scores: Tensor) -> Tensor:
        """(N, source's classes), in the mapping's ``domain``, to logits (N, task's classes)."""


class Mapping(Protocol):
    """How the source's classes are read as the task's: settings, a frozen dataclass.

    ``needs_scores`` says whether `fit` looks at scores; where it does, they cost queries.  ``every``
    is after how many epochs it is fitted again, 0 for never.
    """

    name: ClassVar[str]
    needs_scores: ClassVar[bool]

    @property
    def domain(self) -> Domain:
        """What the reader reads."""

    @property
    def every(self) -> int:
        """Epochs between fits."""

    def fit(self, scores: Tensor, targets: Tensor, classes: int) -> Reader:
        """A reader for ``classes`` classes.

        ``scores`` (N, source's classes) are the source's answers to transformed training samples, in
        ``domain``, and ``targets`` (N,) their classes, 0 to ``classes`` - 1, of which some may be missing.
        Where ``needs_scores`` is False, N may be 0.  Raises `UsageError` where the source has too few classes.
        """


def in_domain(scores: Tensor, answers: Answer, domain: Domain) -> Tensor:
    """A source's ``scores`` as probabilities or as logits.

    Logits from probabilities are their logarithms: a softmax gives the same probabilities back.  Features
    are taken for logits.
    """
    as_they_are = answers in ("logits", "features")
    if domain == "probs":
        return scores.softmax(1) if as_they_are else scores
    return scores if as_they_are else scores.clamp_min(LEAST).log()


def counted(scores: Tensor, targets: Tensor, classes: int) -> Tensor:
    """How often the source's first choice was s on class t: (source's classes, ``classes``)."""
    counts = torch.zeros(scores.shape[1], classes, dtype=torch.long)
    if len(scores):
        counts.index_put_((scores.argmax(1), targets), torch.tensor(1), accumulate=True)
    return counts
