"""The lines of a comparison: what the runs of a method come to."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from edgewise.adapt import METHODS

COSTS = (
    "measured_peak_mb", "measured_rss_mb", "predicted_mb", "published_mb", "kept_mb", "step_ms",
    "macs_forward", "macs_backward", "macs_again", "trainable_params",
)  # fmt: skip
IN_PICTURES = ("curve", "runs")  # what a row has and a line of a table has not


def row(
    method: str, cost: Mapping[str, Any], reason: str | None, records: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """The line of ``method``, from what its step takes and the records of its runs.

    What is not known is None; ``reason`` says why there are no runs.  Accuracies (0-1) are means over the
    runs, ``…_std`` the sample's standard deviations (None for a single run).
    """
    scores = [record["metrics"]["accuracy"] for record in records]
    chosen = [record["metrics"]["val_accuracy"] for record in records]
    mean, deviation = _mean(scores), _deviation(scores)
    return {
        "method": method,
        "title": METHODS[method].title,
        "grade": METHODS[method].grade,
        "reason": reason,
        "seeds": len(records),
        "accuracy": mean,
        "accuracy_std": deviation,
        "val_accuracy": _mean(chosen),
        "val_accuracy_std": _deviation(chosen),
        **{key: cost.get(key) for key in COSTS},
        "adapter_bytes": max((record["sizes"]["artifact_bytes"] for record in records), default=None),
        "seconds": _mean([record["seconds"] for record in records]),
        "curve": _curve(records),
        "runs": [
            {
                "run": f"{method}/seed-{record['seeds']['seed']}",
                "seed": record["seeds"]["seed"],
                "accuracy": score,
                "val_accuracy": val,
            }
            for record, score, val in zip(records, scores, chosen, strict=True)
        ],
    }


def in_order(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The most accurate first; methods without runs, as they come, at the end."""
    return sorted(rows, key=lambda one: -1.0 if one["accuracy"] is None else one["accuracy"], reverse=True)


def best(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """``method`` and first ``run`` to go on with: the best on validation photos, of equals the one that takes less.

    Test photos choose nothing.
    """
    chosen = max(
        (one for one in rows if one["runs"]), key=lambda one: (one["val_accuracy"] or 0.0, -one["predicted_mb"])
    )
    return {"method": chosen["method"], "run": chosen["runs"][0]["run"]}


def _mean(values: Sequence[float | None]) -> float | None:
    """None where there are no values, or one of them is not known."""
    known = [value for value in values if value is not None]
    return statistics.mean(known) if known and len(known) == len(values) else None


def _deviation(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.stdev(known) if len(known) > 1 and len(known) == len(values) else None


def _curve(records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Accuracies by epoch, the means over the runs."""
    return [
        {
            "epoch": epoch[0]["epoch"],
            "train_accuracy": _mean([one["train_accuracy"] for one in epoch]),
            "val_accuracy": _mean([one["val_accuracy"] for one in epoch]),
        }
        for epoch in zip(*(record["history"] for record in records), strict=True)
    ]
