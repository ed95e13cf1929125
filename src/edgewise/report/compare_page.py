"""The page of ``compare``: every method on the same photos, what it reached and what it took."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from edgewise.core.units import duration, megabytes, percent
from edgewise.report.curves import Line
from edgewise.report.fit_record import SPLITS, read_data, read_notes
from edgewise.report.front import Bubble, front, pareto
from edgewise.report.multiples import multiples
from edgewise.report.page import render, unbroken
from edgewise.report.section import Section, without_folders

COSTS = (
    "measured_peak_mb", "predicted_mb", "published_mb", "step_ms", "macs_forward", "macs_backward", "macs_again",
    "trainable_params", "adapter_bytes",
)  # fmt: skip


@dataclass(frozen=True)
class Run:
    """One run of a method, ``METHOD/seed-K``."""

    seed: int
    name: str

    @property
    def link(self) -> str:
        """The address of its own page."""
        return f"{quote(self.name)}/report.html"


@dataclass(frozen=True)
class Row:
    """A method's line.  ``reason`` says why it has no runs; then only its ``cost`` may be known.

    Accuracies are 0-1, means over the runs; ``cost`` is in MB, ms, bytes and multiply-accumulates for
    one photo, None where it is not known.
    """

    method: str
    title: str
    grade: str
    reason: str | None
    accuracy: float | None
    deviation: float | None
    val_accuracy: float | None
    cost: Mapping[str, float | None]
    curve: tuple[tuple[float, float], ...]
    runs: tuple[Run, ...]

    @property
    def macs(self) -> float:
        """What a photo takes in a training step, all of it."""
        return sum(self.cost[key] or 0.0 for key in ("macs_forward", "macs_backward", "macs_again"))


def compare_page(run: Path, record: Section) -> str:
    """The HTML of the comparison in the folder ``run``."""
    sections = record.sections("rows")
    validated = all(_validated(section) for section in sections)
    rows = [_row(section, validated) for section in sections]
    done = [row for row in rows if row.runs]
    if not done:
        raise record.wrong("rows", "has no method with a run; it must have one at least")
    split = record.section("metrics").text("split")
    if split not in SPLITS:
        raise record.section("metrics").wrong("split", f"is {split!r}; it must be one of {', '.join(SPLITS)}")
    memory = "measured_peak_mb" if all(row.cost["measured_peak_mb"] is not None for row in done) else "predicted_mb"
    bubbles = [_bubble(row, memory) for row in done if row.cost[memory] is not None]
    on_front = [one.name for one in pareto(bubbles)]
    config = record.section("config")
    best = _best(done, record.section("best"))
    return render(
        "compare.html.j2",
        {
            "command": record.text("command"),
            "backbone": config.text("backbone") + (f" {config.value['width']:g}" if config.value.get("width") else ""),
            "config": [pair for pair in config.settings() if pair[0] != "methods"],
            "environment": list(record.section("environment").settings()),
            "data": read_data(record.section("data")),
            "images": record.section("metrics").count("n"),
            "split": SPLITS[split],
            "seeds": max(len(row.runs) for row in done),
            "rows": rows,
            "done": done,
            "best": best,
            "chosen_by": "validation" if best.val_accuracy is not None else SPLITS[split],
            "on_front": [row for row in done if row.title in on_front],
            "tiles": _tiles(done, memory),
            "measured": memory == "measured_peak_mb",
            "front": _front(bubbles, memory, SPLITS[split]) if bubbles else None,
            "curves": multiples(
                "Learning curve", [Line(row.title, row.curve, 1) for row in done], _short_percent, ceiling=1.0
            ),
            "curves_split": "validation" if validated else "training",
            "left_out": [row for row in rows if row.reason is not None],
            "notes": read_notes(record),
            "seconds": duration(record.number("seconds")),
            "next": f"edgewise predict {_typed(run, best)} PHOTO",
        },
    )


def _best(rows: Sequence[Row], best: Section) -> Row:
    method = best.text("method")
    found = next((row for row in rows if row.method == method), None)
    if found is None:
        raise best.wrong("method", f"is {method!r}; it must be one of those with runs")
    return found


def _typed(run: Path, best: Row) -> str:
    """The first run of ``best`` as it is typed; in which folder of the machine it lies is not told."""
    place = Path(run.name) if run.is_absolute() else run
    return shlex.quote((place / best.runs[0].name).as_posix())


def _row(row: Section, validated: bool) -> Row:
    key = "val_accuracy" if validated else "train_accuracy"
    runs = [_run(section) for section in row.sections("runs")]
    accuracy = row.share("accuracy")
    if runs and accuracy is None:
        raise row.wrong("accuracy", "is null, although there are runs")
    reason = row.raw("reason")
    return Row(
        method=row.text("method"),
        title=row.text("title"),
        grade=row.text("grade"),
        reason=None if reason is None else without_folders(row.text("reason")),
        accuracy=accuracy,
        deviation=row.number_or_none("accuracy_std"),
        val_accuracy=row.share("val_accuracy"),
        cost={name: row.number_or_none(name) for name in COSTS},
        curve=tuple(
            (section.number("epoch"), share)
            for section in row.sections("curve")
            if (share := section.share(key)) is not None
        ),
        runs=tuple(runs),
    )


def _run(section: Section) -> Run:
    name = section.text("run")
    parts = name.split("/")
    if len(parts) != 2 or any(part in ("", ".", "..") or "\\" in part for part in parts):
        raise section.wrong("run", f"is {name!r}; it must be METHOD/seed-K, a folder in the comparison")
    return Run(section.count("seed"), name)


def _validated(row: Section) -> bool:
    return all(section.share("val_accuracy") is not None for section in row.sections("curve"))


def _tiles(rows: Sequence[Row], memory: str) -> list[tuple[str, str, str]]:
    """Who leads in what: (in what, value, method)."""
    best = max(rows, key=lambda row: row.accuracy or 0.0)
    tiles = [("Most accurate", percent(best.accuracy), best.title)]
    for name, key, show in (
        ("Least memory", memory, lambda value: megabytes(1e6 * value)),
        ("Fastest step", "step_ms", lambda value: f"{value:,.0f} ms"),
        ("Smallest adapter", "adapter_bytes", megabytes),
    ):
        known = {row.title: value for row in rows if (value := row.cost[key]) is not None}
        if known:
            least = min(known, key=lambda title: known[title])
            tiles.append((name, unbroken(show(known[least])), least))
    return tiles


def _bubble(row: Row, memory: str) -> Bubble:
    accuracy, spread = row.accuracy or 0.0, row.deviation or 0.0
    return Bubble(
        row.title, row.cost[memory] or 0.0, accuracy, max(0.0, accuracy - spread), min(1.0, accuracy + spread), row.macs
    )


def _front(bubbles: Sequence[Bubble], memory: str, split: str) -> str:
    word = "measured" if memory == "measured_peak_mb" else "predicted"
    return front(
        "Accuracy against memory",
        bubbles,
        f"{word} peak of a training step",
        f"accuracy on the {split} photos",
        lambda size: f"{size:.4g} MB",
        _short_percent,
    )


def _short_percent(share: float) -> str:
    return f"{100 * share:.4g} %"
