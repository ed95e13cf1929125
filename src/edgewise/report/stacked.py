"""Memory over one training step: what is live after every operation, stacked by kind."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from edgewise.report.scale import Linear, steps
from edgewise.report.section import printable
from edgewise.report.svg import BOLD, clipped, extent, figure, group, hint, label, tag

WIDTH, PLOT = 400, 190  # units; the plot's height is without header, axis and legend
LEFT, RIGHT, TOP, AXIS = 68, 6, 30, 30
ROW, COLUMN = 19, 212  # one entry of the legend


@dataclass(frozen=True)
class Kind:
    """A kind of memory: its ``key`` in a moment, its name, what it means, and the style of its area."""

    key: str
    name: str
    meaning: str
    style: str


# From the bottom up: what never changes lies below what comes and goes.
KINDS = (
    Kind("weights", "weights", "parameters and buffers, frozen ones included", "bar t3"),
    Kind("optimizer", "Adam’s moments", "two numbers for every trained parameter", "bar t4"),
    Kind("input", "photos", "the batch and its labels", "muted"),
    Kind("plan", "plan and code", "an allowance for autograd’s nodes and compiled kernels", "track frame"),
    Kind("kept", "kept for backward", "results that the backward pass will read", "bar t1"),
    Kind("transient", "in work", "results that the next operations use up, gradients and scratch memory", "bar t2"),
)
Moment = Mapping[str, float]


def moments(prediction: Mapping[str, Any]) -> list[Moment]:
    """The ``timeline`` of a prediction in MB by kind, with the plan: so the fullest sums to ``predicted_mb``."""
    plan = max(0.0, prediction["predicted_mb"] - sum(prediction["fullest"]["kinds"].values()))
    return [{**kinds, "plan": plan} for kinds in prediction["timeline"]]


def total(moment: Moment) -> float:
    """All kinds of a moment together, MB."""
    return sum(moment.get(kind.key, 0.0) for kind in KINDS)


def height(measured: bool = False) -> int:
    """How high `stacked` is, in units; its width is `WIDTH` unless another is given."""
    return TOP + PLOT + AXIS + ROW * (len(KINDS) // 2 + 1 + measured) + 4


def stacked(
    title: str,
    line: Sequence[Moment],
    operation: str = "",
    measured: float | None = None,
    ceiling: float = 0.0,
    width: int = WIDTH,
    kind: Literal["chart", "sheet"] = "chart",
) -> str:
    """``line`` (MB by kind, in the order of the step) as areas one upon another, in steps.

    The fullest moment is marked and named after ``operation``; ``measured`` (MB) is a line across.
    The axis reaches at least ``ceiling`` (MB), so that two pictures can have one scale;
    ``width`` is that of the picture, in units.  Raises `ValueError` when there is no moment.
    """
    if not line:
        raise ValueError(f"there is nothing to draw in {title!r}")
    totals = [total(moment) for moment in line]
    fullest = max(range(len(line)), key=totals.__getitem__)
    marks = steps(0.0, max(*totals, measured or 0.0, ceiling))
    across = Linear(0, len(line), LEFT, width - RIGHT)
    up = Linear(0.0, marks[-1], TOP + PLOT, TOP)
    words = _fullest_words(totals[fullest], operation)
    body = [
        *(_mark(up(mark), across, f"{mark:g} MB") for mark in marks),
        *_areas(line, across, up),
        _fullest(across(fullest + 0.5), words, width),
        "" if measured is None else _measured(up(measured), across, measured),
        label((LEFT + width - RIGHT) / 2, TOP + PLOT + 19, "operations of the step, in order", "muted", "middle"),
        _legend(line[fullest], measured),
    ]
    described = f"Memory over one training step in MB. {words}: {_in_words(line[fullest])}."
    if measured is not None:
        described += f" Measured peak: {amount(measured)} MB."
    return figure(width, height(measured is not None), title, described, "".join(body), kind)


def amount(mb: float) -> str:
    """``31.41`` → ``"31.4"``, ``3.476`` → ``"3.48"``: MB with as many digits as are of use."""
    return f"{mb:,.1f}" if mb >= 10 else f"{mb:.2f}"


def _areas(line: Sequence[Moment], across: Linear, up: Linear) -> list[str]:
    """An area for every kind, from the highest edge down: each covers the lower part of the one before."""
    found = []
    for count in range(len(KINDS), 0, -1):
        below, kind = KINDS[:count], KINDS[count - 1]
        if not any(moment.get(kind.key) for moment in line):
            continue
        edge = "".join(
            f"V{up(sum(moment.get(each.key, 0.0) for each in below)):.1f}H{across(index + 1):.1f}"
            for index, moment in enumerate(line)
        )
        path = tag("path", d=f"M{across(0):.1f} {up(0):.1f}{edge}V{up(0):.1f}Z", class_=f"{kind.style} layer")
        found.append(group(hint(f"{kind.name}: {kind.meaning}"), path))
    return found


def _mark(y: float, across: Linear, text: str) -> str:
    line = tag("path", d=f"M{LEFT} {y:.1f}H{across.stop:g}", class_="grid")
    return line + label(LEFT - 8, y + 4, text, "muted", "end")


def _fullest_words(mb: float, operation: str) -> str:
    name = printable(operation).removeprefix("aten.").partition(".")[0]
    return f"Fullest: {amount(mb)} MB" + (f", in {name}" if name else "")


def _fullest(x: float, words: str, width: float) -> str:
    text = clipped(words, width / BOLD - 8)
    half = BOLD * extent(text) / 2
    middle = min(max(x, half), width - half)
    line = tag("path", d=f"M{x:.1f} {TOP - 8}V{TOP + PLOT}", class_="marker")
    return group(hint(words), line, label(middle, TOP - 14, text, "value", "middle"), class_="fullest")


def _measured(y: float, across: Linear, mb: float) -> str:
    line = tag("path", d=f"M{LEFT} {y:.1f}H{across.stop:g}", class_="limit measured", stroke_dasharray="6 4")
    return group(hint(f"measured peak: {amount(mb)} MB"), line)


def _legend(fullest: Moment, measured: float | None) -> str:
    """The kinds as they lie, from the top, in two columns; what each takes at the fullest moment."""
    top = TOP + PLOT + AXIS + ROW
    entries = [label(WIDTH, top - 1, "MB at the fullest moment", "muted small", "end")]
    for index, kind in enumerate(reversed(KINDS)):
        x, y = COLUMN * (index // 3), top + ROW * (1 + index % 3)
        right = x + COLUMN - 22 if x == 0 else WIDTH
        entries += [
            tag("rect", x=x, y=y - 10, width=11, height=11, rx=3, class_=kind.style),
            label(x + 17, y, kind.name),
            label(right, y, amount(fullest.get(kind.key, 0.0)), "value", "end"),
        ]
    if measured is not None:
        y = top + ROW * 4
        entries += [
            tag("path", d=f"M0 {y - 4}h22", class_="limit", stroke_dasharray="6 4"),
            label(28, y, "measured peak"),
            label(COLUMN - 22, y, amount(measured), "value", "end"),
        ]
    return group(*entries, class_="legend")


def _in_words(moment: Moment) -> str:
    return ", ".join(f"{kind.name} {amount(moment[kind.key])} MB" for kind in KINDS if moment.get(kind.key))
