"""From values to pixels, with round numbers for the axis."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Linear:
    """Values ``low``..``high`` onto pixels ``start``..``stop``."""

    low: float
    high: float
    start: float
    stop: float

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.stop - self.start)


@dataclass(frozen=True)
class Log:
    """Values ``low``..``high`` (both above 0) onto pixels ``start``..``stop``, equal ratios equally far."""

    low: float
    high: float
    start: float
    stop: float

    def __call__(self, value: float) -> float:
        place = math.log(value / self.low) / math.log(self.high / self.low)
        return self.start + place * (self.stop - self.start)


def steps(low: float, high: float, most: int = 6, whole: bool = False) -> list[float]:
    """At most ``most`` round values (1, 2, 2.5 or 5 times a power of ten) covering ``low``..``high``."""
    if high <= low:
        high = low + (1 if whole else abs(low) * 0.1 or 1)
    for step in _round_steps((high - low) / most, whole):
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        if last - first < most:
            return [round(index * step, 10) for index in range(first, last + 1)]
    raise AssertionError("steps grow without end, so one of them fits")


def value_steps(values: Sequence[float], most: int = 6, ceiling: float | None = None) -> list[float]:
    """`steps` covering ``values``, two at least, none above ``ceiling``: a line along it has room below."""
    low, high = min(values), max(values)
    marks = [mark for mark in steps(low, high, most) if ceiling is None or mark <= ceiling]
    if ceiling is None or len(marks) > 1:
        return marks
    return [mark for mark in steps(ceiling - max(0.1 * abs(ceiling), ceiling - low), ceiling, most) if mark <= ceiling]


def ratio_steps(values: Sequence[float]) -> list[float]:
    """1, 2 and 5 (only 1 over three decades) times powers of ten, enclosing ``values`` (all above 0)."""
    low, high = min(values), max(values)
    first, last = math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1
    factors = (1,) if high / low > 1000 else (1, 2, 5)
    marks = [factor * 10.0**power for power in range(first, last + 1) for factor in factors]
    below = max(mark for mark in marks if mark < low)
    above = min(mark for mark in marks if mark > high)
    return [mark for mark in marks if below <= mark <= above]


def _round_steps(least: float, whole: bool) -> list[float]:
    power = math.floor(math.log10(least))
    every = (factor * 10.0**exponent for exponent in range(power, power + 3) for factor in (1, 2, 2.5, 5))
    return [step for step in every if not whole or (step >= 1 and step == int(step))] or [1.0]
