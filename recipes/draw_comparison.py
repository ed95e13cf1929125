"""Write the measured parts of ``docs/comparison.md`` and draw its pictures, from the newest results there are.

    python recipes/draw_comparison.py

Reads ``recipes/results`` only.  Between the marks of a recipe that has not been run stands that it was not; the
text around the marks is written by hand.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from arms import SETS
from comparison_pictures import PICTURES as PICTURES
from comparison_pictures import drawn
from draw_results import replaced
from grid import newest

Row = Mapping[str, Any]
Rows = Sequence[Row]
HERE = Path(__file__).resolve().parent
DOCS = HERE.parent / "docs"
RECIPES = (
    "tune_methods",
    *(f"repnet_{name}" for name in ("table1_connect", "table2_input_reprogramming", "table3_sota", "table4_mask")),
    *(f"repnet_{name}" for name in ("fig5_better_backbones", "fig15_parts")),
    *(f"mobiletl_{name}" for name in ("table3_strategies", "table4_operators", "table5_patches", "table6_latency")),
    *(f"mobiletl_{name}" for name in ("fig4_depth", "fig6_norms", "fig7_architectures", "theorem1")),
)
VERDICTS = {True: "holds", False: "**does not hold**", None: "not tried"}
COLUMNS = 100  # of a line


def section(name: str, result: Mapping[str, Any] | None, folder: Path) -> str:
    """What stands between a recipe's marks; its picture goes into ``folder``."""
    if result is None:
        return "*Not run yet.*"
    parts = []
    if drawn(name, result, folder / f"{name}.svg"):
        parts.append(f"![{name}]({folder.name}/{name}.svg)")
    if name == "tune_methods":
        return tuning_table(result)
    if name == "mobiletl_theorem1":
        parts.append(theorem_table(result["rows"]))
    else:
        parts += accuracy_tables(result["rows"])
        parts += [cost_table(result["rows"])] if result["rows"] else []
        parts += [mask_table(result["rows"])] if any(row["sparsity"] for row in result["rows"]) else []
        parts += [printed_table(result["costs"])] if result["costs"] else []
    parts.append("\n".join(claim_line(claim) for claim in result["claims"]))
    environment = result["environment"]
    seeds = f"{result['settings']['seeds']} seeds; " if result["rows"] else ""
    parts.append(f"*{seeds}torch {environment['torch']}, {environment['cpu']}.*")
    return "\n\n".join(parts)


def accuracy_tables(rows: Rows) -> list[str]:
    """Test accuracy, mean and standard deviation: a table for each network, its sets beside each other."""
    networks = list(dict.fromkeys(row["network"] for row in rows))
    return [_accuracies(network, [row for row in rows if row["network"] == network]) for network in networks]


def _accuracies(network: str, rows: Rows) -> str:
    sets = list(dict.fromkeys(row["set"] for row in rows))
    found = {(row["arm"], row["set"]): row for row in rows}
    lines = []
    for arm in dict.fromkeys(row["arm"] for row in rows):
        own = [found.get((arm, data)) for data in sets]
        lines.append([arm, *("" if row is None else with_spread(row["test_mean"], row["test_std"]) for row in own)])
    return f"Test accuracy in percent, {network}:\n\n" + table(["", *(SETS[data] for data in sets)], lines)


def cost_table(rows: Rows) -> str:
    """What a training step of an arm takes, once for every network."""
    heads = ["network", "arm", "trained", "published", "**peak**", "stock", "MFLOPs", "step", "stock"]
    once = {(row["network"], row["arm"]): row for row in rows}
    lines = [
        [
            network, arm, f"{row['trainable_params']:,}", f"{row['published_mb']:.1f}",
            _mb(row["measured_peak_mb"]), _mb(row["stock_measured_peak_mb"]), f"{row['flops'] / 1e6:,.0f}",
            f"{row['step_ms']:.0f}", f"{row['stock_step_ms']:.0f}",
        ]
        for (network, arm), row in once.items()
    ]  # fmt: skip
    alone = len({network for network, _ in once}) == 1
    said = "A training step on 8 photos, one thread: memory in MB, time in ms; *stock*: in stock PyTorch."
    return f"{said}\n\n{table(heads[alone:], [line[alone:] for line in lines])}"


def mask_table(rows: Rows) -> str:
    """Sparsity, and millions of multiply-adds for one photo."""
    heads = ["set", "network", "arm", "of the masks", "of all", "dense", "without zeros", "plain runtime"]
    lines = []
    for row in rows:
        if sparse := row["sparsity"]:
            shares = [f"{100 * sparse[key]:.1f} %" for key in ("of_masked", "of_network")]
            macs = [f"{sparse[key] / 1e6:.1f}" for key in ("macs_dense", "macs_without_zeros", "macs_plain_runtime")]
            lines.append([SETS[row["set"]], row["network"], row["arm"], *shares, *macs])
    return "Left out, and millions of multiply-adds for one photo:\n\n" + table(heads, lines)


def printed_table(rows: Rows) -> str:
    """At the paper's size: ours, and in brackets what the paper prints."""
    heads = ["arm", "trained", "published MB", "MFLOPs", "**peak** MB", "stored MB", "step"]
    blocks = []
    for network in dict.fromkeys(row["network"] for row in rows):
        lines = []
        for row in (row for row in rows if row["network"] == network):
            said = row["printed"]
            lines.append([
                row["arm"],
                beside(f"{row['trainable_params']:,}", said.get("trainable_params"), ",.0f"),
                beside(f"{row['published_mb']:.1f}", said.get("published_mb"), ".1f"),
                beside(f"{row['flops'] / 1e6:,.0f}", said.get("mflops"), ",.0f"),
                _mb(row["measured_peak_mb"]),
                beside(f"{row['stored_mb']:.1f}", said.get("stored_mb"), ".1f"),
                f"{row['step_ms']:.0f} ms",
            ])  # fmt: skip
        blocks.append(f"{network}, batch 8 (in brackets: printed):\n\n" + table(heads, lines))
    return "\n\n".join(blocks)


def theorem_table(rows: Rows) -> str:
    """Means over seeds; the bound and its looseness as the smallest and largest."""
    heads = ["layers", "steps", "psi", "loss, exact", "loss, signed", "bound", "times the distance"]
    lines = []
    for layers, steps in dict.fromkeys((row["layers"], row["steps"]) for row in rows):
        own = [row for row in rows if (row["layers"], row["steps"]) == (layers, steps)]
        exact, signed = (sum(row[key] for row in own) / len(own) for key in ("loss_exact", "loss_signed"))
        spans = [_span([row[key] for row in own]) for key in ("bound", "looseness")]
        psi = max(row["psi"] for row in own)
        lines.append([str(layers), str(steps), f"{psi:.0f}", f"{exact:.3f}", f"{signed:.3f}", *spans])
    return table(heads, lines)


def tuning_table(result: Mapping[str, Any]) -> str:
    """What was tried for every method, by mean validation accuracy, and what was chosen."""
    heads = ["method", "head lr", "other lr", "settings", "epochs", "seeds", "validation %", ""]
    lines = []
    for one in (*result["rates"], *result["epochs"]):
        chosen = result["chosen"][one["name"]]
        same = all(one[key] == chosen[key] for key in ("lr", "side_lr", "settings", "epochs"))
        settings = ", ".join(f"{name}={value}" for name, value in one["settings"].items())
        lines.append([
            one["name"], f"{one['lr']:g}", f"{one['side_lr']:g}", settings, str(one["epochs"]), str(one["seeds"]),
            f"{100 * one['mean_val']:.1f}", "chosen" if same and one in result["epochs"] else "",
        ])  # fmt: skip
    return table(heads, lines)


def claim_line(claim: Row) -> str:
    """One claim, its verdict, in how many places it holds, and the span of the numbers."""
    places = claim["places"]
    span = ""
    for key, sign in (("difference", "+"), ("ratio", ""), ("rank_correlation", "+")):
        values = [place[key] for place in places if key in place]
        if values:
            span = f"; {key.replace('_', ' ')} {min(values):{sign}.2f} to {max(values):{sign}.2f}"
    not_there = [", ".join(str(p[k]) for k in ("set", "network") if k in p) for p in places if not p["holds"]]
    names = f"; not on {' / '.join(filter(None, not_there))}" if any(not_there) and len(not_there) < len(places) else ""
    return wrapped(f"- {claim['claim']}: {VERDICTS[claim['holds']]} ({claim['held_in']}{span}{names}).")


def table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Markdown; numbers, which is all but text columns, stand to the right."""
    text = [any(re.search("[A-Za-z]{3}", line[i]) for line in lines) for i in range(len(heads))]
    rule = ["---" if is_text else "--:" for is_text in text]
    return "\n".join(f"| {' | '.join(line)} |" for line in (heads, rule, *lines))


def wrapped(line: str) -> str:
    """A list item, its lines not wider than the page's."""
    words, lines = line.split(" "), [""]
    for word in words:
        if len(lines[-1]) + len(word) >= COLUMNS:
            lines.append(" ")
        lines[-1] += f"{' ' if lines[-1] else ''}{word}"
    return "\n".join(lines)


def with_spread(mean: float, std: float | None) -> str:
    return f"{mean:.1f}" if std is None else f"{mean:.1f} ± {std:.1f}"


def beside(ours: str, printed: float | None, form: str) -> str:
    return ours if printed is None else f"{ours} ({printed:{form}})"


def _mb(value: float | None) -> str:
    """Nothing where the heap could not be counted."""
    return "" if value is None else f"{value:.1f}"


def _span(values: Sequence[float]) -> str:
    low, high = f"{min(values):.1g}", f"{max(values):.1g}"
    return low if low == high else f"{low} to {high}"


def main() -> None:
    page = DOCS / "comparison.md"
    text = page.read_text()
    for name in RECIPES:
        text = replaced(text, name, section(name, newest(name), DOCS / "comparison"))
    page.write_text(text)


if __name__ == "__main__":
    main()
