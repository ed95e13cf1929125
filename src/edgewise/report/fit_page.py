"""The page of one ``fit``: what was learned, how well, where it errs, what it took."""

from collections.abc import Sequence
from pathlib import Path

from edgewise.core.units import megabytes, percent
from edgewise.report.bars import Bar, bars
from edgewise.report.curves import Line, curves
from edgewise.report.fit_record import SPLITS, Epoch, Fit, Results, read_fit
from edgewise.report.gauge import gauge
from edgewise.report.matrix import matrix
from edgewise.report.page import between, render, whole
from edgewise.report.pictures import picture
from edgewise.report.section import Section
from edgewise.report.tables import LISTED, class_rows, confusions, memory_rows, work_rows

MOST_BARS = 30
MOST_CLASSES_DRAWN = 300
MOST_MISTAKES = 24


def fit_page(run: Path, record: Section) -> str:
    """The HTML of the run in the folder ``run``."""
    fit = read_fit(record)
    results, data = fit.results, fit.data
    low, high = results.interval
    shown = fit.mistakes[:MOST_MISTAKES]
    return render(
        "fit.html.j2",
        {
            "fit": fit,
            "environment": [*fit.environment, *fit.seeds],
            "low": low,
            "span": between(low, high),
            "where": SPLITS[results.split],
            "gauge": gauge("Accuracy and how sure it is", results.accuracy, low, high, results.guessing),
            "curves": learning_curves(fit.history, results.best_epoch),
            "matrix": confusion_matrix(data.classes, results),
            "class_bars": class_bars(data.classes, results),
            "bars_left_out": max(0, len(data.classes) - MOST_BARS),
            "confusions": confusions(data.classes, results.confusion, 8 if len(data.classes) <= 12 else 16),
            "mistakes": [(mistake, picture(run, mistake.thumbnail)) for mistake in shown],
            "size_bars": _size_bars(fit),
            "memory": memory_rows(fit.cost),
            "work": work_rows(fit.cost),
            "splits": SPLITS,
            "class_rows": class_rows(data, results.per_class),
            "rows_left_out": max(0, len(data.classes) - LISTED),
            "fewest": min(sum(row) for row in results.confusion),
        },
    )


def learning_curves(history: Sequence[Epoch], best: int | None) -> list[str]:
    """Loss and accuracy over the epochs, the ``best`` pointed out; nothing for a run without epochs."""
    if not history:
        return []
    loss = [
        Line("training", tuple((row.number, row.train_loss) for row in history), 2),
        Line("validation", tuple((row.number, row.val_loss) for row in history if row.val_loss is not None), 1),
    ]
    accuracy = [
        Line("training", tuple((row.number, row.train_accuracy) for row in history), 2),
        Line(
            "validation",
            tuple((row.number, row.val_accuracy) for row in history if row.val_accuracy is not None),
            1,
        ),
    ]
    return [
        curves("Accuracy", accuracy, lambda value: f"{100 * value:.4g} %", best, ceiling=1.0),
        curves("Loss", loss, lambda value: f"{value:.3g}", best),
    ]


def confusion_matrix(classes: tuple[str, ...], results: Results) -> str | None:
    """The matrix, or None where there are too many classes for a picture to tell anything."""
    return matrix("Confusion matrix", classes, results.confusion) if len(classes) <= MOST_CLASSES_DRAWN else None


def class_bars(classes: tuple[str, ...], results: Results) -> str:
    """The worst classes first; classes without images at the end."""
    known = [(name, accuracy) for name, accuracy in zip(classes, results.per_class, strict=True)]
    known.sort(key=lambda one: (one[1] is None, one[1] or 0.0, one[0]))
    rows = [
        Bar(name, accuracy, "no images" if accuracy is None else percent(accuracy))
        for name, accuracy in known[:MOST_BARS]
    ]
    return bars("Accuracy of each class", rows, "Worst first:")


def _size_bars(fit: Fit) -> str:
    """What was learned beside what it stands on, in numbers and in bytes."""
    params, size = max(fit.total_params, 1), max(fit.backbone_bytes, fit.artifact_bytes, 1)
    rows = [
        Bar("parameters trained", fit.trainable_params / params, whole(fit.trainable_params)),
        Bar("parameters in all", fit.total_params / params, whole(fit.total_params), 3),
        Bar("your adapter", fit.artifact_bytes / size, megabytes(fit.artifact_bytes)),
        Bar("the backbone", fit.backbone_bytes / size, megabytes(fit.backbone_bytes), 3),
    ]
    return bars("What was trained and what is carried away", rows)
