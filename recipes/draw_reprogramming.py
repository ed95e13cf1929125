"""Write the measured parts of ``docs/reprogramming_results.md`` from the newest results there are.

    python recipes/draw_reprogramming.py

Reads ``recipes/results`` only.  Between the marks of a recipe that has not been run stands that it was not; the
text around the marks is written by hand.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from draw_comparison import VERDICTS, table, with_spread, wrapped
from draw_results import replaced
from grid import newest

Row = Mapping[str, Any]
Rows = Sequence[Row]
PAGE = Path(__file__).resolve().parent.parent / "docs" / "reprogramming_results.md"
MEASURES = {  # of each recipe, in the order of the page
    "elsayed": ("accuracy",),
    "bar": ("auc", "accuracy", "queries", "sent_bytes", "received_bytes"),
    "series": ("accuracy",),
    "speakers": ("accuracy",),
    "language": ("accuracy", "balanced", "auc"),
    "characters": ("accuracy", "balanced", "auc", "queries"),
    "cross_modal": ("accuracy",),
    "generator": ("asked", "distance", "draws"),
    "automata": ("asked", "distance"),
}
SAID = {
    "accuracy": "Test accuracy, percent",
    "balanced": "Mean of the classes' recalls, percent",
    "auc": "Area under the ROC curve, percent",
    "asked": "Read as what was asked for, percent",
    "distance": "Distance",
    "draws": "Draws for one sample",
    "queries": "Queries",
    "sent_bytes": "Sent, MB",
    "received_bytes": "Received, MB",
}
SCALES = {"distance": 1, "draws": 1, "queries": 1, "sent_bytes": 1e-6, "received_bytes": 1e-6}
PERCENT = 100


def section(recipe: str, result: Mapping[str, Any] | None) -> str:
    """What stands between a recipe's marks."""
    if result is None:
        return "*Not run yet.*"
    rows = result["rows"]
    parts = [_table(rows, measure) for measure in MEASURES[recipe] if any(f"{measure}_mean" in row for row in rows)]
    if claims := result.get("claims"):
        parts.append("\n".join(map(claim_text, claims)))
    environment = result["environment"]
    parts.append(f"*{result['settings']['seeds']} seeds; torch {environment['torch']}, {environment['cpu']}.*")
    return "\n\n".join(parts)


def _table(rows: Rows, measure: str) -> str:
    """One number of all arms, a column a task."""
    rows = [row for row in rows if f"{measure}_mean" in row]
    found = {(row["arm"], row["task"]): row for row in rows}
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    lines = []
    for arm in dict.fromkeys(row["arm"] for row in rows):
        own = [found.get((arm, task)) for task in tasks]
        lines.append([arm, *("" if row is None else _number(row, measure) for row in own)])
    return f"{SAID[measure]}:\n\n{table(['', *tasks], lines)}"


def _number(row: Row, measure: str) -> str:
    scale, std = SCALES.get(measure, PERCENT), row[f"{measure}_std"]
    mean = scale * row[f"{measure}_mean"]
    if measure == "queries":
        return f"{mean:,.0f}"
    if measure == "distance":
        return f"{mean:.3g}" if std is None else f"{mean:.3g} ± {std:.1g}"
    return with_spread(mean, None if std is None or scale != PERCENT else scale * std)


def claim_text(claim: Row) -> str:
    """One claim, its verdict, in how many places it holds, and where it does not."""
    places = claim["places"]
    ahead = [place["ahead"] for place in places if "ahead" in place]
    share = [place["share"] for place in places if "share" in place]
    span = f"; by {min(ahead):+.1f} to {max(ahead):+.1f}" if ahead else ""
    span += f"; {', '.join(f'{one:.0%}' for one in share)}" if share else ""
    missed = [str(place.get("set", place.get("task", ""))) for place in places if not place["holds"]]
    names = f"; not on {', '.join(missed)}" if missed and len(missed) < len(places) and all(missed) else ""
    return wrapped(f"- {claim['claim']}: {VERDICTS[claim['holds']]} ({claim['held_in']}{span}{names}).")


def main() -> None:
    text = PAGE.read_text()
    for recipe in MEASURES:
        text = replaced(text, recipe, section(recipe, newest(f"reprogram_{recipe}")))
    PAGE.write_text(text)


if __name__ == "__main__":
    main()
