"""The page of one ``compress``: how small, how accurate, what is left of every layer, and how it came about."""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, median_low, pstdev

from edgewise.core.units import megabytes
from edgewise.report.areas import areas
from edgewise.report.bars import Bar, bars
from edgewise.report.compress_record import ARMS, Compression, Layer, read_compression
from edgewise.report.curves import Line, curves
from edgewise.report.depth import Column, depth
from edgewise.report.evolution import evolutions
from edgewise.report.fit_page import MOST_BARS, MOST_MISTAKES, class_bars, confusion_matrix, learning_curves
from edgewise.report.fit_record import SPLITS
from edgewise.report.gauge import gauge
from edgewise.report.histogram import histogram
from edgewise.report.page import between, render
from edgewise.report.pictures import picture
from edgewise.report.section import Section
from edgewise.report.tables import LISTED, class_rows, confusions
from edgewise.report.tiles import left_out, tiles

SMALLER = 1.05  # times, to speak of it


def compress_page(run: Path, record: Section) -> str:
    """The HTML of the run in the folder ``run``."""
    found = read_compression(record)
    results, data, layers = found.results, found.data, found.layers
    low, high = results.interval
    accuracy, entropy = learning_curves(found.history, found.kept_epoch) or (None, None)
    return render(
        "compress.html.j2",
        {
            "run": found,
            "arm": ARMS[found.arm],
            "low": low,
            "span": between(low, high),
            "where": SPLITS[results.split],
            "gauge": gauge("Accuracy and how sure it is", results.accuracy, low, high, results.guessing),
            "rate": _headline(found),
            "rate_bars": _rate_bars(found),
            "areas": _areas(found),
            "stored": sum(layer.stored for layer in layers),
            "groups": sum(layer.groups for layer in layers),
            "depth": depth("Stored groups of every layer", [Column(x.name, x.groups, x.stored) for x in layers])
            if layers
            else None,
            "tiles": None if found.tiles is None else tiles(f"Codes of {found.tiles[0]}", found.tiles[1]).svg,
            "tiles_left_out": "" if found.tiles is None else left_out(found.tiles[1]),
            "accuracy_curve": accuracy,
            "entropy_curve": entropy,
            "penalty_curve": _penalty_curve(found),
            "sparsity_curve": _sparsity_curve(found),
            "evolution": list(zip(layers, evolutions(found.evolution), strict=True)) if found.history else [],
            "clipped": any(layer.delta is not None for layer in layers),
            "norms": [(layer, _norms(layer), spread(layer.norms)) for layer in telling(layers)],
            "matrix": confusion_matrix(data.classes, results),
            "class_bars": class_bars(data.classes, results),
            "bars_left_out": max(0, len(data.classes) - MOST_BARS),
            "confusions": confusions(data.classes, results.confusion, 8 if len(data.classes) <= 12 else 16),
            "mistakes": [(one, picture(run, one.thumbnail)) for one in found.mistakes[:MOST_MISTAKES]],
            "splits": SPLITS,
            "class_rows": class_rows(data, results.per_class),
            "rows_left_out": max(0, len(data.classes) - LISTED),
        },
    )


def telling(layers: Sequence[Layer]) -> list[Layer]:
    """The layer with the largest and that with the smallest share of absent groups, in the network's order.

    Among those with as many groups as half the layers have at least: with few, a histogram says little.
    """
    if not layers:
        return []
    usual = median_low(layer.groups for layer in layers)
    many = [layer for layer in layers if layer.groups >= usual]
    order = sorted(range(len(many)), key=lambda index: many[index].group_sparsity)
    return [many[index] for index in sorted({order[0], order[-1]})]


def spread(values: Sequence[float]) -> float:
    """Standard deviation over mean: how well norms tell the important groups from the others; 0 where all are 0."""
    mean = fmean(values)
    return pstdev(values) / mean if mean else 0.0


def _headline(run: Compression) -> float | None:
    """The rate that the page begins with: the file's, where it is smaller at all."""
    rate = run.rates.file if run.layers else None
    return rate if rate is not None and rate >= SMALLER else None


def _rate_bars(run: Compression) -> str | None:
    rates = run.rates
    rows = [("Eq. 2.8", rates.eq_2_8), ("with the rest", rates.with_ends), ("the file", rates.file)]
    known = [(name, rate) for name, rate in rows if rate is not None]
    if not known or not run.layers:
        return None
    most = max(rate for _, rate in known)
    drawn = [Bar(name, rate / most, f"{rate:.2f}×", 1 if name == rows[-1][0] else 3) for name, rate in known]
    return bars("How many times smaller, counted three ways", drawn)


def _areas(run: Compression) -> str | None:
    if run.file_bytes is None or not run.layers or run.file_bytes > run.float_bytes:
        return None
    whole = (float(run.float_bytes), megabytes(run.float_bytes), "as float32")
    return areas("The file beside the float network", whole, (run.file_bytes, megabytes(run.file_bytes), "this file"))


def _penalty_curve(run: Compression) -> str | None:
    if not any(value for _, value in run.penalties):
        return None
    return curves("Penalty", [Line("penalty", run.penalties, 2)], lambda value: f"{value:.3g}", run.kept_epoch)


def _sparsity_curve(run: Compression) -> str | None:
    """The share of absent groups in all layers together."""
    groups = [layer.groups for layer in run.layers]
    if not groups or not run.history:
        return None
    rows = zip(*(one.sparsity for one in run.evolution), strict=True)
    points = tuple(
        (row[0][0], sum(share * count for (_, share), count in zip(row, groups, strict=True)) / sum(groups))
        for row in rows
    )
    line = Line("absent", points, 1)
    return curves("Absent groups", [line], lambda value: f"{100 * value:.4g} %", run.kept_epoch, ceiling=1.0)


def _norms(layer: Layer) -> str:
    return histogram(f"Norms of the groups of {layer.name}", layer.norms, "norm of a group", "groups", layer.delta)
