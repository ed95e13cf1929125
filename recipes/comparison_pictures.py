"""The figures of the papers, drawn from our results, as SVG pictures for ``docs/comparison.md``."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
from arms import NARROW, SETS
from claims import front_of
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullLocator
from repnet.fig5_better_backbones import imagenet
from repnet.fig15_parts import epoch_minutes

Row = Mapping[str, Any]
Result = Mapping[str, Any]
COLOURS = ("#cc6633", "#4477aa", "#228855", "#aa4499", "#ddaa33", "#66aacc", "#882255", "#8a8f98", "#333333")
STYLE = {"font.family": "sans-serif", "font.size": 9, "svg.fonttype": "none", "svg.hashsalt": "edgewise"}
LARGEST = 500  # of a circle, in square points


def drawn(name: str, result: Result, out: Path) -> bool:
    """Draw the picture of the recipe that wrote ``result``; False where the paper has none, or there is too little."""
    picture = PICTURES.get(name)
    if picture is None:
        return False
    with plt.rc_context(STYLE):
        figure = picture(result)
        if figure is None:
            return False
        out.parent.mkdir(exist_ok=True)
        figure.savefig(out, metadata={"Date": None})
        plt.close(figure)
    return True


def curves(result: Result) -> Any:
    """Accuracy on the training photos after every epoch (Rep-Net, Figure 4)."""
    rows = [row for row in result["rows"] if row["train_curve"] and row["network"] == NARROW]
    sets = list(dict.fromkeys(row["set"] for row in rows))
    if not sets:
        return None
    figure, panels = _panels(len(sets))
    for panel, data in zip(panels, sets, strict=True):
        for row, colour in zip((row for row in rows if row["set"] == data), COLOURS, strict=False):
            curve = row["train_curve"]
            panel.plot(range(1, len(curve) + 1), curve, color=colour, marker="o", ms=3, label=row["arm"])
        _named(panel, SETS[data], "epoch", "training accuracy, %")
    _legend(figure, panels[0])
    return figure


def backbones(result: Result) -> Any:
    """Transfer accuracy against ImageNet accuracy (Rep-Net, Figure 5)."""
    top1, rows = imagenet(), result["rows"]
    sets = list(dict.fromkeys(row["set"] for row in rows))
    figure, panels = _panels(len(sets))
    for panel, data in zip(panels, sets, strict=True):
        for arm, colour in zip(dict.fromkeys(row["arm"] for row in rows), COLOURS, strict=False):
            own = sorted((r for r in rows if (r["set"], r["arm"]) == (data, arm)), key=lambda r: top1[r["network"]])
            places = [(top1[row["network"]], row["test_mean"]) for row in own]
            panel.errorbar(
                *zip(*places, strict=True), [row["test_std"] or 0 for row in own],
                fmt="o-", lw=0.8, color=colour, capsize=3, ms=5, label=arm,
            )  # fmt: skip
        _named(panel, SETS[data], "ImageNet top-1 on 1,000 photos, %", "test accuracy, %")
    _legend(figure, panels[0])
    return figure


def against_memory(result: Result) -> Any:
    """Accuracy against the measured peak, with the front; a circle's area stands for FLOPs (MobileTL, Figure 5)."""
    rows = [row for row in result["rows"] if row["set"] in ("signdigits", "cifar10")]
    places = list(dict.fromkeys((row["set"], row["network"]) for row in rows))
    if not places:
        return None
    figure, panels = _panels(len(places))
    most = max(row["flops"] for row in rows)
    colours = dict(zip(dict.fromkeys(row["arm"] for row in rows), COLOURS * 2, strict=False))
    for panel, (data, network) in zip(panels, places, strict=True):
        own = [row for row in rows if (row["set"], row["network"]) == (data, network)]
        best = [(row["measured_peak_mb"], row["test_mean"]) for row in front_of(own, "measured_peak_mb")]
        panel.step(*zip(*best, strict=True), where="post", color=COLOURS[7], ls="--", lw=0.8)
        for row in own:
            point, colour = (row["measured_peak_mb"], row["test_mean"]), colours[row["arm"]]
            panel.errorbar(*point, row["test_std"] or 0, fmt=".", color=colour, capsize=3)
            panel.scatter(*point, s=LARGEST * row["flops"] / most, color=colour, alpha=0.4, lw=0)
            panel.annotate(row["arm"], point, xytext=(6, 5), textcoords="offset points", fontsize=7)
        panel.margins(x=0.2)
        _logarithmic(panel)
        _named(panel, f"{SETS[data]}, {network}", "measured peak, MB", "test accuracy, %")
    return figure


def norms(result: Result) -> Any:
    """Accuracy against stored activations, a line for each choice of norms (MobileTL, Figure 6)."""
    rows = result["rows"]
    sets = list(dict.fromkeys(row["set"] for row in rows))
    figure, panels = _panels(len(sets))
    for panel, data in zip(panels, sets, strict=True):
        kinds = dict.fromkeys(row["arm"].split(",")[0] for row in rows)
        for kind, colour in zip(kinds, COLOURS, strict=False):
            own = [row for row in rows if row["set"] == data and row["arm"].split(",")[0] == kind]
            own.sort(key=lambda row: row["stored_mb"])
            points = [(row["stored_mb"], row["test_mean"]) for row in own]
            panel.plot(*zip(*points, strict=True), "o-", color=colour, ms=5, lw=0.8, label=kind)
        _named(panel, SETS[data], "stored activations, MB", "test accuracy, %")
    _legend(figure, panels[0])
    return figure


def depth(result: Result) -> Any:
    """FLOPs, stored activations and measured peak against the number of trained blocks (MobileTL, Figure 4)."""
    rows = {row["arm"]: row for row in result["costs"]}
    kinds = (("FLOPs of a step, 10^9", lambda row: row["flops"] / 1e9), ("stored activations, MB", _of("stored_mb")))
    figure, panels = _panels(3)
    for panel, (title, value) in zip(panels, (*kinds, ("measured peak, MB", _of("measured_peak_mb"))), strict=True):
        for method, colour in zip(("blocks", "mobiletl"), COLOURS[1::-1], strict=True):
            own = sorted((int(name.split()[1]), value(row)) for name, row in rows.items() if name.startswith(method))
            panel.plot(*zip(*own, strict=True), "o-", color=colour, ms=4, lw=0.8, label=method)
        panel.axhline(value(rows["full"]), color=COLOURS[7], ls="--", lw=0.8, label="full")
        _named(panel, title, "trained blocks", "")
        panel.set_ylim(bottom=0)
    _legend(figure, panels[0])
    return figure


def architectures(result: Result) -> Any:
    """Plain blocks and MobileTL, joined for every network: accuracy against measured peak (MobileTL, Figure 7)."""
    rows = result["rows"]
    sets = list(dict.fromkeys(row["set"] for row in rows))
    figure, panels = _panels(len(sets))
    for panel, data in zip(panels, sets, strict=True):
        for network, colour in zip(dict.fromkeys(row["network"] for row in rows), COLOURS, strict=False):
            own = {row["arm"]: row for row in rows if (row["set"], row["network"]) == (data, network)}
            points = [(own[arm]["measured_peak_mb"], own[arm]["test_mean"]) for arm in ("blocks", "mobiletl") if own]
            if points:
                panel.plot(*zip(*points, strict=True), "-", color=colour, lw=0.8)
                panel.plot(*points[0], "o", color=colour, mfc="white", ms=6)
                panel.plot(*points[1], "o", color=colour, ms=6)
                panel.annotate(network, points[1], xytext=(5, 5), textcoords="offset points", fontsize=7)
        panel.margins(x=0.25)
        _logarithmic(panel)
        _named(panel, SETS[data], "measured peak, MB (hollow: plain, filled: MobileTL)", "test accuracy, %")
    return figure


def parts(result: Result) -> Any:
    """Parameters, activations and the time of an epoch, as bars (dissertation, Figure 15)."""
    rows = result["costs"]
    kinds: tuple[tuple[str, Callable[[Row], float]], ...] = (
        ("parameters, MB", lambda row: row["total_params"] * 4e-6),
        ("kept activations, MB", _of("kept_mb")),
        ("minutes an epoch", epoch_minutes),
    )
    figure, panels = _panels(3)
    methods = list(dict.fromkeys(row["arm"] for row in rows))
    for panel, (title, value) in zip(panels, kinds, strict=True):
        for shift, (way, colour) in enumerate(
            zip(dict.fromkeys(r["lean"] for r in rows), COLOURS[1::-1], strict=False)
        ):
            own = {row["arm"]: value(row) for row in rows if row["lean"] == way}
            places = [index + 0.4 * shift for index in range(len(methods))]
            label = "stock PyTorch" if way == "off" else f"lean {way}"
            panel.bar(places, [own[name] for name in methods], 0.38, color=colour, label=label)
        panel.set_xticks([index + 0.2 for index in range(len(methods))], methods)
        _named(panel, title, "", "")
    _legend(figure, panels[0])
    return figure


PICTURES: dict[str, Callable[[Result], Any]] = {
    "repnet_table1_connect": curves,
    "repnet_table3_sota": against_memory,
    "repnet_fig5_better_backbones": backbones,
    "repnet_fig15_parts": parts,
    "mobiletl_table3_strategies": against_memory,
    "mobiletl_fig4_depth": depth,
    "mobiletl_fig6_norms": norms,
    "mobiletl_fig7_architectures": architectures,
}


def _of(key: str) -> Callable[[Row], float]:
    return lambda row: float(row[key])


def _panels(number: int) -> tuple[Any, Sequence[Axes]]:
    """As many panels as are asked for, two in a row (three, where there are three)."""
    across = 3 if number == 3 else min(2, number)
    down = -(-number // across)
    figure, panels = plt.subplots(
        down, across, figsize=(9.6 if across == 3 else 3.8 * across, 3.2 * down), constrained_layout=True, squeeze=False
    )
    for panel in panels.flat[number:]:
        panel.set_visible(False)
    return figure, list(panels.flat[:number])


def _legend(figure: Any, panel: Axes) -> None:
    """Of all panels, which have the same lines, above them."""
    handles, labels = panel.get_legend_handles_labels()
    figure.legend(handles, labels, ncols=min(len(labels), 5), loc="outside upper center", frameon=False, fontsize=8)


def _logarithmic(panel: Axes) -> None:
    """A logarithmic axis of memory, with plain numbers at 1, 2, 5, 10 and so on."""
    panel.set_xscale("log")
    panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    panel.xaxis.set_major_formatter("{x:g}")
    panel.xaxis.set_minor_locator(NullLocator())


def _named(panel: Axes, title: str, across: str, up: str) -> None:
    panel.set_title(title, fontsize=10, loc="left")
    panel.set_xlabel(across)
    panel.set_ylabel(up)
    panel.grid(alpha=0.3)
    panel.spines[["top", "right"]].set_visible(False)
