"""The page of the demo: several methods on the same images, side by side."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from edgewise.core.units import duration, megabytes
from edgewise.report.bars import Bar, bars
from edgewise.report.curves import Line, curves
from edgewise.report.fit_page import class_bars, confusion_matrix
from edgewise.report.fit_record import Fit, read_data, read_fit, read_notes
from edgewise.report.page import between, render
from edgewise.report.pictures import picture
from edgewise.report.scatter import Point, scatter
from edgewise.report.section import Section, read_section
from edgewise.report.tables import confusions

MOST_SAMPLES = 40
MOST_MISTAKES = 12


@dataclass(frozen=True)
class Row:
    """One method's line; accuracies 0-1, ``link`` the address of its own page.  ``tone`` 1-4 is its colour."""

    run: str
    method: str
    label: str
    test_accuracy: float
    val_accuracy: float | None
    trainable_params: int
    artifact_bytes: int
    memory_mb: float | None
    seconds: float
    fit: Fit
    tone: int

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the accuracy: (low, high)."""
        return self.fit.results.interval

    @property
    def span(self) -> str:
        return between(*self.interval)

    @property
    def link(self) -> str:
        return f"{quote(self.run)}/report.html"


def demo_page(run: Path, record: Section) -> str:
    """The HTML of the demo in the folder ``run``, whose sub-folders are the runs it compares."""
    rows = [_row(run, section, 1 + index % 4) for index, section in enumerate(record.sections("rows"))]
    if not rows:
        raise record.wrong("rows", "is empty; it must have a line for each run")
    chosen = next((row for row in rows if row.method == "repnet"), max(rows, key=lambda row: row.val_accuracy or 0.0))
    results, data = chosen.fit.results, read_data(record.section("data"))
    return render(
        "demo.html.j2",
        {
            "title": record.text("title"),
            "command": record.text("command"),
            "environment": list(record.section("environment").settings()),
            "data": data,
            "rows": rows,
            "chosen": chosen,
            "best": max(rows, key=lambda row: row.test_accuracy),
            "lightest": min(rows, key=lambda row: row.artifact_bytes),
            "heaviest": max(rows, key=lambda row: row.artifact_bytes),
            "samples": [picture(run, name) for name in record.texts("samples")[:MOST_SAMPLES]],
            "scatter": _scatter(rows),
            "memory": _memory(rows),
            "time": _time(rows),
            "curves": _curves(rows),
            "curves_split": "validation" if _validated(rows) else "training",
            "matrix": confusion_matrix(chosen.fit.data.classes, results),
            "confusions": confusions(chosen.fit.data.classes, results.confusion, 5),
            "class_bars": class_bars(chosen.fit.data.classes, results),
            "mistakes": [
                (mistake, picture(run / chosen.run, mistake.thumbnail))
                for mistake in chosen.fit.mistakes[:MOST_MISTAKES]
            ],
            "notes": read_notes(record),
        },
    )


def _row(run: Path, row: Section, tone: int) -> Row:
    name = row.text("run")
    if name in ("", ".", "..") or Path(name).name != name or "\\" in name:
        raise row.wrong("run", f"is {name!r}; it must be the name of a folder in the run")
    accuracy = row.share("test_accuracy")
    if accuracy is None:
        raise row.wrong("test_accuracy", "is null; it must be between 0 and 1")
    inner = read_section(run / name)
    if inner.text("kind") != "fit":
        raise inner.wrong("kind", f"is {inner.text('kind')!r}; a run that is compared must be a 'fit'")
    return Row(
        run=name,
        method=row.text("method"),
        label=row.text("label"),
        test_accuracy=accuracy,
        val_accuracy=row.share("val_accuracy"),
        trainable_params=row.count("trainable_params"),
        artifact_bytes=row.count("artifact_bytes"),
        memory_mb=row.number_or_none("memory_mb"),
        seconds=row.number("seconds"),
        fit=read_fit(inner),
        tone=tone,
    )


def _scatter(rows: list[Row]) -> str:
    points = [
        Point(row.label, max(row.artifact_bytes, 1), row.test_accuracy, *row.interval, tone=row.tone) for row in rows
    ]
    return scatter(
        "Accuracy against size of the adapter",
        points,
        "size of what is carried away",
        lambda size: megabytes(size).replace(".00 ", " ").replace(".0 ", " "),
        lambda share: f"{100 * share:.4g} %",
    )


def _memory(rows: list[Row]) -> str:
    most = max((row.memory_mb or 0.0) for row in rows) or 1.0
    lines = [
        Bar(row.label, None, "not measured", row.tone)
        if row.memory_mb is None
        else Bar(row.label, row.memory_mb / most, megabytes(1e6 * row.memory_mb), row.tone)
        for row in rows
    ]
    return bars("Memory of a training step", lines)


def _time(rows: list[Row]) -> str:
    most = max(row.seconds for row in rows) or 1.0
    return bars("Time to train", [Bar(row.label, row.seconds / most, duration(row.seconds), row.tone) for row in rows])


def _curves(rows: list[Row]) -> str | None:
    """Validation accuracy of all methods, or training accuracy where one has no validation."""
    validated = _validated(rows)
    lines = [
        Line(
            row.label,
            tuple(
                (
                    epoch.number,
                    epoch.train_accuracy if not validated or epoch.val_accuracy is None else epoch.val_accuracy,
                )
                for epoch in row.fit.history
            ),
            row.tone,
        )
        for row in rows
    ]
    if not any(line.points for line in lines):
        return None
    return curves("Learning curves of all methods", lines, lambda share: f"{100 * share:.4g} %", ceiling=1.0)


def _validated(rows: list[Row]) -> bool:
    return all(epoch.val_accuracy is not None for row in rows for epoch in row.fit.history)
