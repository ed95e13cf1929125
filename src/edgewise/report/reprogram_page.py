"""The page of one ``reprogram``: the program, how answers are read, how well it does, what was asked and paid."""

from pathlib import Path

from edgewise.core.units import megabytes
from edgewise.report.bars import Bar, bars
from edgewise.report.fit_page import (
    MOST_BARS,
    MOST_MISTAKES,
    class_bars,
    confusion_matrix,
    learning_curves,
)
from edgewise.report.fit_record import SPLITS
from edgewise.report.gauge import gauge
from edgewise.report.page import between, render, whole
from edgewise.report.pictures import picture
from edgewise.report.reprogram_record import Asked, Reprogramming, read_reprogramming
from edgewise.report.section import Section
from edgewise.report.tables import LISTED, class_rows, confusions

CANVAS = 448  # pixels of the longer side, at most
READINGS = 60  # classes whose labels are listed
PURPOSES = {
    "mapping": ("fitting the mapping", "every training photo once for each fit"),
    "training": ("training", "every photo of a batch, as often as a step asks"),
    "validation": ("validation", "the validation photos, after each epoch"),
    "scoring": ("scoring", "the photos it is judged by, with the program and with the mapping alone"),
    "probes": ("fixed samples", "that show whether the model is still the same"),
}


def reprogram_page(run: Path, record: Section) -> str:
    """The HTML of the run in the folder ``run``."""
    found = read_reprogramming(record)
    results, data = found.results, found.data
    low, high = results.interval
    readings = found.readings or ()
    return render(
        "reprogram.html.j2",
        {
            "run": found,
            "low": low,
            "span": between(low, high),
            "where": SPLITS[results.split],
            "gauge": gauge("Accuracy and how sure it is", results.accuracy, low, high, results.guessing),
            "canvas": None if found.canvas is None else picture(run, found.canvas, CANVAS),
            "shown": [(one, picture(run, one.picture, 224)) for one in found.shown],
            "readings": readings[:READINGS],
            "readings_left_out": max(0, len(readings) - READINGS),
            "curves": learning_curves(found.history, results.best_epoch),
            "matrix": confusion_matrix(data.classes, results),
            "class_bars": class_bars(data.classes, results),
            "bars_left_out": max(0, len(data.classes) - MOST_BARS),
            "confusions": confusions(data.classes, results.confusion, 8 if len(data.classes) <= 12 else 16),
            "mistakes": [(one, picture(run, one.thumbnail)) for one in found.mistakes[:MOST_MISTAKES]],
            "query_bars": None if found.asked is None else _query_bars(found.asked),
            "byte_bars": _byte_bars(found),
            "splits": SPLITS,
            "class_rows": class_rows(data, results.per_class),
            "rows_left_out": max(0, len(data.classes) - LISTED),
            "fewest": min(sum(row) for row in results.confusion),
        },
    )


def _query_bars(asked: Asked) -> str:
    """The most queries by what they are for, beside what was paid, and the budget."""
    rows = {name: asked.planned[key] for key, (name, _) in PURPOSES.items() if asked.planned[key]}
    most = max(sum(rows.values()), asked.queries, asked.budget or 0, 1)
    drawn = [
        Bar(name, asked.planned[key] / most, whole(asked.planned[key]), 3, f"{name}: {meaning}")
        for key, (name, meaning) in PURPOSES.items()
        if asked.planned[key]
    ]
    drawn.append(Bar("planned, at most", sum(rows.values()) / most, whole(sum(rows.values())), 3))
    drawn.append(Bar("paid", asked.queries / most, whole(asked.queries)))
    if asked.budget is not None:
        drawn.append(Bar("budget", asked.budget / most, whole(asked.budget), 4))
    return bars("Queries", drawn)


def _byte_bars(run: Reprogramming) -> str | None:
    """What crossed the wire, beside the model that stayed where it is."""
    asked, model = run.asked, run.source.weight_bytes
    if asked is None or asked.sent_bytes is None or asked.received_bytes is None:
        return None
    rows = {"sent": asked.sent_bytes, "received": asked.received_bytes}
    most = max(*rows.values(), model or 0, 1)
    drawn = [Bar(name, count / most, megabytes(count)) for name, count in rows.items()]
    if model is not None:
        drawn.append(Bar("the model itself", model / most, megabytes(model), 3))
    return bars("Bytes that crossed", drawn)
