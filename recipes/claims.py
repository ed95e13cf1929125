"""A paper's claims as comparisons of rows: evaluated, and written down with the numbers, true or false.

A row has a place (``set`` and ``network``, where it has them), an ``arm``, the test accuracies of its runs in
percent (``test``, in the order of their seeds) and their mean, and what its training step takes.

A claim is ``{claim, holds, held_in, places}``; a place adds its own numbers and whether it holds there.
``holds`` is None where nothing was there to try it on.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from grid import mean_std

Row = Mapping[str, Any]
Rows = Sequence[Row]


def compare(
    rows: Rows,
    left: str,
    right: str,
    by: float = 0.0,
    needed: str | int = "mean",
    or_error: bool = False,
    sets: Sequence[str] = (),
) -> dict[str, Any]:
    """The arm ``left`` is at least ``by`` points of test accuracy above ``right``.

    Looked at wherever both ran (on ``sets``, if given).  ``needed``: in the ``mean`` over those places, in ``all``
    of them, or in so many.  With ``or_error`` a place counts too where ``left`` is not more than one
    standard error below.  Runs with equal seeds are paired.
    """
    places = []
    for row, other in _pairs(rows, left, right):
        if sets and row["set"] not in sets:
            continue
        differences = [a - b for a, b in zip(row["test"], other["test"], strict=True)]
        mean, std = mean_std(differences)
        error = None if std is None else std / math.sqrt(len(differences))
        holds = mean >= by or (or_error and error is not None and mean >= -error)
        found = {"difference": round(mean, 2), "error": None if error is None else round(error, 2)}
        places.append({**place(row), **found, "holds": holds})
    points = f" {'+' if by > 0 else '-'} {abs(by):g}" if by else ""
    text = f"{left} >= {right}{points}{', or within one standard error' if or_error else ''}"
    if needed != "mean":
        return claim(text, places, needed)
    over_all = statistics.fmean(one["difference"] for one in places) >= by if places else None
    return {**claim(f"{text} (in the mean)", places), "holds": over_all}


def takes_less(
    rows: Rows, left: str, right: str, key: str, share: float = 0.0, needed: str | int = "all"
) -> dict[str, Any]:
    """The arm ``left`` takes less of ``key`` (such as ``measured_peak_mb``) than ``right``, by ``share`` of that."""
    places = []
    for row, other in _pairs(rows, left, right):
        if row.get(key) is not None and other.get(key) is not None:
            ratio = row[key] / other[key]
            places.append({**place(row), "ratio": round(ratio, 3), "holds": ratio <= 1 - share if share else ratio < 1})
    by = f"at least {100 * share:g} % below" if share else "below"
    return claim(f"{key} of {left} {by} that of {right}", places, needed)


def on_front(rows: Rows, arms: Sequence[str], key: str = "measured_peak_mb") -> dict[str, Any]:
    """``arms`` are all on the front of accuracy against ``key``; each place names its front."""
    places = []
    for where in {tuple(place(row).items()): None for row in rows}:
        own = [row for row in rows if tuple(place(row).items()) == where and row.get(key) is not None]
        if not {row["arm"] for row in own} >= set(arms):
            continue
        names = [row["arm"] for row in front_of(own, key)]
        places.append({**dict(where), "front": names, "holds": set(arms) <= set(names)})
    return claim(f"{' and '.join(arms)} are on the front of accuracy against {key}", places)


def front_of(rows: Rows, key: str) -> list[Row]:
    """The rows that no other beats in accuracy and ``key``, from the least of it up."""
    best = [row for row in rows if not any(_beats(other, row, key) for other in rows)]
    return sorted(best, key=lambda row: float(row[key]))


def claim(text: str, places: Rows, needed: str | int = "all") -> dict[str, Any]:
    """A claim that must hold in ``all`` of ``places``, or in so many of them."""
    held = sum(bool(one["holds"]) for one in places)
    wanted = len(places) if needed == "all" else int(needed)
    said = text if needed == "all" else f"{text} (in {needed} of {len(places)})"
    return {
        "claim": said,
        "holds": held >= wanted if places else None,
        "held_in": f"{held} of {len(places)}",
        "places": list(places),
    }


def place(row: Row) -> dict[str, str]:
    """Where a row was taken."""
    return {key: row[key] for key in ("set", "network") if key in row}


def _pairs(rows: Rows, left: str, right: str) -> list[tuple[Row, Row]]:
    """The rows of both arms, place by place."""
    return [
        (row, other)
        for row in rows
        for other in rows
        if (row["arm"], other["arm"]) == (left, right) and place(row) == place(other)
    ]


def _beats(other: Row, row: Row, key: str) -> bool:
    """Does ``other`` take at most as much and score at least as high, and is better in one?"""
    mine, its = (row[key], -row["test_mean"]), (other[key], -other["test_mean"])
    return mine != its and all(a <= b for a, b in zip(its, mine, strict=True))
