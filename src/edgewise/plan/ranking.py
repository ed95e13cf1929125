"""From predictions to a ranked plan: what fits a budget, the best first.

**Grade.**  *A*, recommended: the method that leads in our own comparison (``docs/results.md``, mean
accuracy over the sets without a ceiling).  *B*: within three points of it.  *C*: the head alone, and
whatever has not been compared there.  Frozen weights in 8 bits change the forward pass by design and cost
half a grade (*A-* stands between *A* and *B*); everything else a plan chooses from is exact.

**Step time** is estimated from the arithmetic (multiply-adds forward, backward and computed again) and
the number of calls, with assumed rates; only its order is meant.  A machine's own times are what
`edgewise profile --measure` says.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from edgewise.lean.work import Work
from edgewise.plan.options import Option

# signdigits and CIFAR-10, both widths: repnet 83.9, full 81.9, bias 81.8, last 77.6 %.
GRADES = {"repnet": "A", "full": "B", "bias": "B", "last": "C"}
ORDER = ("A", "A-", "B", "B-", "C", "C-")
# Multiply-adds a second, and the seconds that a call takes beside them: round numbers of a desktop's order,
# not measured.  They only weigh arithmetic against calls.
RATE, CALL = 30e9, 25e-6


@dataclass(frozen=True)
class Prediction:
    """An option with what its training step on ``images`` photos will take, in bytes."""

    option: Option
    images: int
    peak: int
    trainable_params: int
    work: Work
    fullest: dict[str, int]

    @property
    def grade(self) -> str:
        whole = GRADES.get(self.option.method, "C")
        return whole if self.option.lean.frozen_bits == 32 else f"{whole}-"

    @property
    def seconds(self) -> float:
        """The estimated time of a step."""
        multiplies = self.work.forward + self.work.backward + self.work.again
        return self.images * multiplies / RATE + self.work.calls * CALL

    @property
    def binds(self) -> str:
        """The kind that takes most at the fullest moment."""
        return max(self.fullest, key=lambda kind: self.fullest[kind])


def methods_by_grade() -> tuple[str, ...]:
    """The methods that have been compared, the best grade first."""
    return tuple(sorted(GRADES, key=lambda method: ORDER.index(GRADES[method])))


def ranked(predictions: Sequence[Prediction], budget: int) -> tuple[Prediction, ...]:
    """What fits ``budget`` bytes: by grade, then by step time, then by peak."""
    fitting = (p for p in predictions if p.peak <= budget)
    return tuple(sorted(fitting, key=lambda p: (ORDER.index(p.grade), round(p.seconds, 4), p.peak)))


def smallest(predictions: Sequence[Prediction]) -> Prediction:
    """The prediction with the lowest peak: the smallest budget that would do."""
    return min(predictions, key=lambda p: p.peak)
