"""The page of ``profile``: the memory of one training step, and what it grows with."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgewise.core.units import duration, megabytes
from edgewise.report.curves import Line
from edgewise.report.growth import growth
from edgewise.report.page import render, unbroken
from edgewise.report.section import Section, printable
from edgewise.report.stacked import KINDS, amount, moments, stacked, total

NAMES = {"off": "stock PyTorch", "small": "lean small", "fast": "lean fast"}
# Kinds of arithmetic: name, key of a prediction, tone.
WORK = (("forward", "macs_forward", 1), ("backward", "macs_backward", 2), ("computed again", "macs_again", 3))
Prediction = Mapping[str, Any]  # what `edgewise profile --json` prints


@dataclass(frozen=True)
class Grown:
    """Predictions at values of one setting: ``ours`` as asked for, ``other`` with the other lean setting."""

    ours: Mapping[int, Prediction]
    other: Mapping[int, Prediction]


@dataclass(frozen=True)
class Depth:
    """One photo on its way through the layers with weights, in order of execution, summed up layer by layer.

    ``macs`` are multiply-accumulates, ``kept_mb`` what stock PyTorch has kept for the backward pass.
    """

    macs: tuple[int, ...]
    kept_mb: tuple[float, ...]


@dataclass(frozen=True)
class MemoryRecord:
    """All that the page shows.  ``settings`` are the request's, ``size`` the side of the input in pixels."""

    command: str
    settings: Mapping[str, Any]
    environment: Mapping[str, Any]
    size: int
    found: Prediction
    other_lean: str
    other: Prediction
    batch_sizes: Grown
    image_sizes: Grown
    depth: Depth
    notes: tuple[str, ...] = ()
    seconds: float = 0.0


def memory_page(record: MemoryRecord) -> str:
    """The HTML of the page."""
    found, other, settings = record.found, record.other, record.settings
    notes = [*(f"Not covered by the lean pass: {name}" for name in found["uncovered"]), *record.notes]
    ours, theirs = moments(found), moments(other)
    names = lean_name(settings["lean"]), lean_name(record.other_lean)
    highest = max(map(total, (*ours, *theirs)), default=0.0)
    at_once = settings["batch_size"]
    return render(
        "memory.html.j2",
        {
            "command": printable(record.command),
            "settings": list(Section(settings, "", "the request").settings()),
            "environment": list(Section(record.environment, "", "the record").settings()),
            "backbone": printable(settings["backbone"]),
            "method": printable(settings["method"]),
            "size": record.size,
            "batch_size": at_once,
            "found": found,
            "names": names,
            "exact": settings["frozen_bits"] == 32,
            "tiles": _tiles(found, other, names[1]),
            "times": _times(other["predicted_mb"], found["predicted_mb"], names),
            "picture": _picture(f"Memory of a step, {names[0]}", ours, found, found["measured_peak_mb"]),
            "kinds": _kinds(found, other),
            "pictures": [
                (f"{names[1]}: {_mb(other['predicted_mb'])}", _picture(names[1], theirs, other, None, highest)),
                (f"{names[0]}: {_mb(found['predicted_mb'])}", _picture(names[0], ours, found, None, highest)),
            ],
            "grown": [
                ("batch size", _peaks("batch size", record.batch_sizes, names, at_once),
                 _work("batch size", record.batch_sizes.ours, at_once, lambda batch: batch)),
                ("resolution", _peaks("side of the photo in pixels", record.image_sizes, names, record.size),
                 _work("side of the photo in pixels", record.image_sizes.ours, record.size, lambda _: at_once)),
            ],
            "depth": _depth(record.depth),
            "layers": len(record.depth.macs),
            "notes": [printable(text) for text in notes],
            "seconds": duration(record.seconds),
        },
    )  # fmt: skip


def lean_name(lean: str) -> str:
    """``"off"`` → ``"stock PyTorch"``."""
    return NAMES.get(lean, f"lean {printable(lean)}")


def _tiles(found: Prediction, other: Prediction, other_name: str) -> list[tuple[str, str, str]]:
    """The three numbers and what they are compared with: (name, value, small print)."""
    measured = found["measured_peak_mb"]
    counted = "the highest live heap of a real step"
    if measured is None:
        counted = f"not counted: {found['heap_counter']}" if found.get("heap_counter") else "add --measure to count it"
    tiles = [
        ("Published", _mb(found["published_mb"]), "the papers’ rule"),
        ("Predicted", _mb(found["predicted_mb"]), "the real code, run on shapes alone"),
        ("Measured", "–" if measured is None else _mb(measured), printable(counted)),
        (f"Predicted, {other_name}", _mb(other["predicted_mb"]), "the same step"),
    ]
    if found["step_ms"] is not None:
        tiles.append(
            ("One step", f"{found['step_ms']:,.0f} ms", f"on {found['threads']} thread" + "s" * (found["threads"] != 1))
        )
    return tiles


def _times(other: float, ours: float, names: tuple[str, str]) -> str:
    """In words how the two predictions compare."""
    less, more = (names, (ours, other)) if ours <= other else (names[::-1], (other, ours))
    return f"{less[1]} takes {more[1] / max(more[0], 0.01):.1f} times what {less[0]} takes"


def _picture(
    title: str, line: Sequence[Mapping[str, float]], found: Prediction, measured: float | None, ceiling: float = 0.0
) -> str | None:
    """None where the prediction has no moment: then there is nothing to draw."""
    return stacked(title, line, found["fullest"]["operation"], measured, ceiling) if line else None


def _kinds(found: Prediction, other: Prediction) -> list[tuple[str, str, str, str]]:
    """The kinds from the top of the picture down: name, meaning, and MB at the fullest moment of each."""
    columns = [max(moments(each), key=total, default={}) for each in (found, other)]
    return [
        (kind.name, kind.meaning, *(amount(moment.get(kind.key, 0.0)) for moment in columns))  # type: ignore[misc]
        for kind in reversed(KINDS)
    ]


def _peaks(name: str, grown: Grown, names: tuple[str, str], marked: float) -> str:
    lines = [
        Line(title, tuple((x, each["predicted_mb"]) for x, each in sorted(points.items())), tone)
        for title, points, tone in ((names[0], grown.ours, 1), (names[1], grown.other, 2))
    ]
    return growth(f"Predicted peak against {name}", lines, name, "MB", marked)


def _work(name: str, points: Mapping[int, Prediction], marked: float, photos: Callable[[int], int]) -> str:
    """Multiply-accumulates of a step over ``points``, where a step takes ``photos(x)`` photos."""
    lines = [
        Line(
            title, tuple((x, photos(x) * each[key] / 1e9) for x, each in sorted(points.items()) if each.get(key)), tone
        )
        for title, key, tone in WORK
    ]
    return growth(f"Multiply-adds of a step against {name}", _sized(lines), name, _unit(lines), marked)


def _depth(depth: Depth) -> list[str]:
    """Work and memory summed up along the network."""
    name = "layers with weights, from the photo on"
    macs = [Line("forward", tuple((i, done / 1e9) for i, done in enumerate(depth.macs, 1)), 1)]
    kept = [Line("kept by stock PyTorch", tuple(enumerate(depth.kept_mb, 1)), 2)]
    return [
        growth("Memory kept along the network", kept, name, "MB"),
        growth("Multiply-adds along the network", _sized(macs), name, _unit(macs)),
    ]


def _unit(lines: Sequence[Line]) -> str:
    """``"G"`` or, where all values (10^9) are small, ``"M"``."""
    return "G" if max((y for line in lines for _, y in line.points), default=0.0) >= 1 else "M"


def _sized(lines: Sequence[Line]) -> list[Line]:
    """The lines in the unit that `_unit` chooses."""
    factor = 1.0 if _unit(lines) == "G" else 1e3
    return [Line(line.name, tuple((x, factor * y) for x, y in line.points), line.tone) for line in lines]


def _mb(size: float) -> str:
    return unbroken(megabytes(1e6 * size))
