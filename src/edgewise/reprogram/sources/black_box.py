"""A source that only answers: a Python function, a scikit-learn estimator, or (`http`) an endpoint, behind a ledger."""

import hashlib
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgewise.core.errors import EdgewiseError, UsageError
from edgewise.reprogram.base import Answer
from edgewise.reprogram.sources.ledger import Ledger, Scores
from edgewise.reprogram.space import Space

Samples = NDArray[Any]
Ask = Callable[[Samples], NDArray[Any]]
SUM = 0.01
"""By how much probabilities may miss 1 in sum: answers are often rounded."""
PROBES, DIGITS = 4, 3


class Estimator(Protocol):
    """What scikit-learn's classifiers have."""

    classes_: Any

    def predict_proba(self, X: Any) -> Any:
        """Probabilities (N, classes)."""

    def predict(self, X: Any) -> Any:
        """Labels (N,)."""


class BlackBox:
    """``ask`` behind a ledger, as a source of ``classes`` classes.

    ``ask`` gets samples as they would cross a wire, (N, ``*takes.shape``): whole numbers 0 to 255 for images from
    0 to 1, whole numbers for symbols, 32-bit floats otherwise; and answers with probabilities (N, classes),
    with labels and probabilities of the likeliest k (N, k, 2), or with labels (N,), as ``answers`` says.

    At most ``most`` samples go into one call.  A sample that was scored before costs nothing; equal samples of a
    call cost one query.  A call that would break the ledger's budget is not made.  ``name`` tells this source's
    answers from another's in the same ledger.  No gradient passes.
    """

    def __init__(
        self, ask: Ask, takes: Space, classes: int, answers: Answer, ledger: Ledger, most: int = 64, name: str = ""
    ) -> None:
        if answers == "logits":
            raise UsageError("A black box answers with probs, top-k or label; logits are a white box's.")
        self.answers: Answer = answers
        self.takes, self.classes = takes, classes
        self.ledger, self._ask, self._most, self._name = ledger, ask, most, name
        self._fingerprint: str | None = None

    def __call__(self, samples: Tensor) -> Tensor:
        self.takes.check(samples, "What the source would be asked")
        wire = on_wire(samples, self.takes)
        keys = [self._key(one) for one in wire]
        known = self.ledger.known(keys)
        new = list({key: place for place, key in enumerate(keys) if key not in known}.values())
        self.ledger.hits += len(keys) - len(new)
        self.ledger.allow(len(new))
        for start in range(0, len(new), self._most):
            places = new[start : start + self._most]
            found = self._scores(wire[places])
            answered = {keys[place]: scores for place, scores in zip(places, found, strict=True)}
            self.ledger.paid(len(places), answered)
            known |= answered
        return torch.from_numpy(np.stack([known[key] for key in keys])) if keys else torch.empty(0, self.classes)

    def __deepcopy__(self, memo: Any) -> "BlackBox":
        """Itself: one ledger pays for all copies."""
        return self

    @property
    def fingerprint(self) -> str:
        """Of its answers to four fixed samples, rounded to three digits; costs four queries the first time."""
        if self._fingerprint is None:
            self._fingerprint = self._probed(remembered=True)
        return self._fingerprint

    def check_unchanged(self) -> None:
        """Ask the fixed samples again (four queries); raises `EdgewiseError` where other answers come than before."""
        before = self.fingerprint
        if self._probed(remembered=False) != before:
            raise EdgewiseError(
                "The source gives other answers to the same samples than before: the model was changed."
            )

    @property
    def probed(self) -> bool:
        """Does the ledger know its answers to the fixed samples?"""
        keys = [self._key(one) for one in on_wire(self._probes(), self.takes)]
        return len(self.ledger.known(keys)) == len(set(keys))

    def _probes(self) -> Tensor:
        random = torch.Generator().manual_seed(0)
        low, high = max(self.takes.low, -1.0), min(self.takes.high, 1.0)
        shape = (PROBES, *self.takes.shape)
        if self.takes.symbols:
            return torch.randint(self.takes.symbols, shape, generator=random)
        return low + (high - low) * torch.rand(shape, generator=random)

    def _probed(self, remembered: bool) -> str:
        probes = self._probes()
        if remembered:
            answers = self(probes).numpy()
        else:
            self.ledger.allow(PROBES)
            answers = self._scores(on_wire(probes, self.takes))
            self.ledger.paid(PROBES, {})
        return hashlib.sha256(np.round(answers, DIGITS).tobytes() + self.answers.encode()).hexdigest()

    def _key(self, sample: Samples) -> bytes:
        head = f"{self._name}|{self.answers}|{sample.dtype}|{sample.shape}|".encode()
        return hashlib.sha256(head + sample.tobytes()).digest()

    def _scores(self, wire: Samples) -> Scores:
        return scores_of(np.asarray(self._ask(wire)), len(wire), self.classes, self.answers)


def of_estimator(estimator: Estimator, features: int, ledger: Ledger, answers: Answer = "probs") -> BlackBox:
    """A fitted scikit-learn classifier of ``features`` numbers as a black box (``probs`` or ``label``)."""
    labels = list(estimator.classes_)

    def ask(samples: Samples) -> NDArray[Any]:
        if answers == "label":
            return np.array([labels.index(label) for label in estimator.predict(samples)])
        return np.asarray(estimator.predict_proba(samples))

    return BlackBox(ask, Space((features,)), len(labels), answers, ledger, most=1024)


def wire_type(takes: Space) -> np.dtype[Any]:
    """What a sample's numbers are sent as, little-endian: bytes for images from 0 to 1, whole numbers for symbols."""
    if takes.symbols:
        return np.dtype("<i8")
    picture = (takes.low, takes.high) == (0.0, 1.0) and len(takes.shape) == 3
    return np.dtype(np.uint8) if picture else np.dtype("<f4")


def on_wire(samples: Tensor, takes: Space) -> Samples:
    """Samples as they are sent: what the source sees differs by the rounding, and costs a quarter of the bytes."""
    kind = wire_type(takes)
    numbers = (samples.detach() * 255).round() if kind == np.uint8 else samples.detach()
    return numbers.numpy().astype(kind)


def samples_of(wire: Samples, takes: Space) -> Tensor:
    """What the source reads, from what was sent; raises `UsageError` where it lies outside of ``takes``."""
    if wire_type(takes) == np.uint8:
        return torch.from_numpy(wire / np.float32(255))
    samples = torch.from_numpy(wire.astype(np.int64 if takes.symbols else np.float32))
    takes.check(samples, "What was sent")
    return samples


def answers_of(probabilities: NDArray[Any], answers: Answer, top: int) -> NDArray[Any]:
    """What a source that tells ``answers`` says of ``probabilities`` (N, classes); of top-k the ``top`` likeliest."""
    if answers == "probs":
        return probabilities
    if answers == "label":
        return np.asarray(probabilities.argmax(1))
    places = np.argsort(-probabilities, 1, kind="stable")[:, :top]
    return np.stack([places, np.take_along_axis(probabilities, places, 1)], 2)


def scores_of(answer: NDArray[Any], count: int, classes: int, answers: Answer) -> Scores:
    """Scores (``count``, ``classes``) from what a source sent; raises `EdgewiseError` where it cannot be that.

    Of the likeliest k the rest of the probability is spread evenly over the other classes.
    """
    wanted = {"probs": (count, classes), "label": (count,)}.get(answers)
    shape = answer.shape
    right = (
        shape == wanted
        if wanted
        else len(shape) == 3 and shape[0] == count and 0 < shape[1] <= classes and shape[2] == 2
    )
    if not right:
        needed = wanted or f"({count}, k, 2) with k from 1 to {classes}"
        raise EdgewiseError(f"The source answered with shape {shape}; {answers} of {count} samples are {needed}.")
    try:
        numbers = answer.astype(np.float64)
    except (TypeError, ValueError):
        raise EdgewiseError(f"The source answered with {answer.dtype}, not with numbers.") from None
    if not np.isfinite(numbers).all():
        raise EdgewiseError("The source answered with numbers that are not finite.")
    if answers == "probs":
        return _probabilities(numbers)
    labels = numbers if answers == "label" else numbers[:, :, 0]
    if (labels != np.round(labels)).any() or (labels < 0).any() or (labels >= classes).any():
        raise EdgewiseError(
            f"The source answered with labels {labels.min():g} to {labels.max():g}; it has 0 to {classes - 1}."
        )
    places = labels.astype(np.int64).reshape(count, -1)
    given = np.ones((count, 1)) if answers == "label" else numbers[:, :, 1]
    if (given < 0).any() or (given.sum(1) > 1 + SUM).any():
        raise EdgewiseError(
            f"The source's likeliest classes have {given.sum(1).max():.4g} in sum; it can be 1 at most."
        )
    others = classes - places.shape[1]
    rest = np.clip(1 - given.sum(1, keepdims=True), 0, None) / max(1, others)
    scores = np.repeat(rest if others else np.zeros_like(rest), classes, 1)
    np.put_along_axis(scores, places, given, 1)
    return scores.astype(np.float32)


def _probabilities(numbers: NDArray[np.float64]) -> Scores:
    sums = numbers.sum(1)
    if numbers.size and (numbers.min() < -SUM or abs(sums - 1).max() > SUM):
        worst = sums[abs(sums - 1).argmax()]
        raise EdgewiseError(
            f"The source's probabilities are {worst:.4g} in sum, the least is {numbers.min():.4g}: not probabilities."
        )
    return numbers.clip(0).astype(np.float32)
