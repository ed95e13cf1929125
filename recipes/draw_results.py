"""Draw ``docs/results.svg`` and write the measured parts of the documentation from the newest results.

    python recipes/draw_results.py

Reads ``recipes/results`` only; every number in the page comes from a file there.
"""

import json
from pathlib import Path
from typing import Any

import matplotlib
from grid import newest

matplotlib.use("svg")
import matplotlib.pyplot as plt

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs"
TITLES = {
    "signdigits": "hand signs 0–9, 1,500 photos",
    "cifar10": "CIFAR-10, 100 a class",
    "flowers5": "5 flowers, 900 photos",
    "hymenoptera": "ants and bees, 244 photos",
}
SHOWN = {"last": "#8a8f98", "bias": "#4477aa", "repnet": "#cc6633", "full": "#228855"}


def draw(rows: list[dict[str, Any]], out: Path) -> None:
    """One panel a set: mean test accuracy of every method at both widths, ± std over seeds."""
    plt.rcParams.update(
        {"font.family": "sans-serif", "font.size": 9, "svg.fonttype": "none", "svg.hashsalt": "edgewise"}
    )
    figure, panels = plt.subplots(2, 2, figsize=(7.6, 5.2), constrained_layout=True)
    for panel, (name, title) in zip(panels.flat, TITLES.items(), strict=True):
        for w, width in enumerate((0.35, 1.0)):
            for m, (arm, colour) in enumerate(SHOWN.items()):
                row = next((r for r in rows if (r["set"], r["width"], r["arm"]) == (name, width, arm)), None)
                if row is None:
                    continue
                x = 7 * w + 1.5 * m
                panel.errorbar(x, row["test_mean"], row["test_std"] or 0, fmt="o", color=colour, capsize=3, ms=6)
                panel.annotate(
                    f"{row['test_mean']:.1f}",
                    (x, row["test_mean"] + (row["test_std"] or 0)),
                    xytext=(0, 4),
                    textcoords="offset points",
                    ha="center",
                    fontsize=8,
                )
        panel.set_title(title, fontsize=10, loc="left")
        panel.set_xticks([2.25, 9.25], ["MobileNetV2 0.35", "MobileNetV2 1.0"])
        panel.set_xlim(-0.8, 13.2)
        panel.margins(y=0.2)
        panel.grid(axis="y", alpha=0.3)
        panel.spines[["top", "right"]].set_visible(False)
        panel.set_ylabel("test accuracy, %")
    marks = [plt.Line2D([], [], marker="o", ls="", color=colour, label=arm) for arm, colour in SHOWN.items()]
    figure.legend(handles=marks, ncols=4, loc="outside upper center", frameon=False)
    figure.savefig(out, metadata={"Date": None})


def accuracy_table(rows: list[dict[str, Any]]) -> str:
    """Markdown: one line an arm, with the prototype's number beside ours."""
    lines = [
        "| set | width | method | epochs | test accuracy % | prototype % | trained | adapter |",
        "| --- | --: | --- | --: | --: | --: | --: | --: |",
    ]
    for r in rows:
        ours = f"{r['test_mean']:.1f}" + (f" ± {r['test_std']:.1f}" if r["test_std"] is not None else "")
        target = "" if r["target"] is None else f"{r['target']:.1f}"
        target += f" ± {r['target_std']:.1f}" if r["target_std"] else ""
        lines.append(
            f"| {r['set']} | {r['width']} | {r['arm']} | {r['epochs']} | {ours} | {target} "
            f"| {r['trainable_params']:,} | {r['artifact_bytes'] / 1e6:.2f} MB |"
        )
    return "\n".join(lines)


def defaults_table(result: dict[str, Any]) -> str:
    """Markdown: mean validation accuracy of every arm that was tried, round by round."""
    lines = [
        "| round | method | head lr | other lr | crop | settings | seeds | mean validation accuracy % |",
        "| --- | --- | --: | --: | --: | --- | --: | --: |",
    ]
    for name in ("rates", "wirings", "crops", "rate of last", "rates of full"):
        for arm in result[name]:
            chosen = {"width": arm["width"], **arm.get("settings", {})}
            settings = ", ".join(f"{k}={v}" for k, v in chosen.items())
            lines.append(
                f"| {name} | {arm['method']} | {arm['lr']:g} | {arm.get('side_lr', '')} | {arm['crop_scale']:g} "
                f"| {settings} | {arm['seeds']} | {100 * arm['mean_val']:.1f} |"
            )
    return "\n".join(lines)


def weights_table(rows: list[dict[str, Any]]) -> str:
    """Markdown: what every real weight file scores, and what was expected."""
    lines = ["| file | images | top-1 % | expected % |", "| --- | --- | --: | --: |"]
    for r in rows:
        expected = f"{r['expected']} ± {r['within']}" if r.get("expected") else f"at least {r['at_least']:g}"
        number = r["n"] if "n" in r else r["n_test"]
        lines.append(f"| {r['file']} | {r['images']} ({number:,}) | {r['top1']:.1f} | {expected} |")
    return "\n".join(lines)


OTHERS = {
    "Pocket, 32 px": "pocket_32",
    "MobileNetV3-large, 224 px": "mobilenet_v3_large_224",
    "ProxylessNAS-Mobile, 224 px": "proxylessnas_mobile_224",
    "ProxylessNAS-Mobile, 320 px": "proxylessnas_mobile_320",
    "ResNet-50, 224 px": "resnet50_224",
}


def memory_table(rows: list[dict[str, Any]]) -> str:
    """Markdown: the three numbers of every method and setting, and time against stock PyTorch in the same run."""
    lines = [
        "| method | lean | published | predicted | **measured peak** | resident | kept | step | against *off* |",
        "| --- | --- | --: | --: | --: | --: | --: | --: | --: |",
    ]
    stock = {row["method"]: row["step_ms"] for row in rows if row["lean"] == "off"}
    for r in rows:
        sizes = " | ".join(
            f"{r[name]:.1f}"
            for name in ("published_mb", "predicted_mb", "measured_peak_mb", "measured_rss_mb", "kept_mb")
        )
        ratio = r["step_ms"] / stock[r["method"]]
        lines.append(f"| {r['method']} | {r['lean']} | {sizes} | {r['step_ms']:.0f} ms | {ratio:.2f} |")
    return "\n".join(lines)


def others_table(named: dict[str, list[dict[str, Any]]]) -> str:
    """Markdown: the same of other networks, shorter."""
    lines = [
        "| network | method | lean | predicted | **measured peak** | resident | against *off* |",
        "| --- | --- | --- | --: | --: | --: | --: |",
    ]
    for network, rows in named.items():
        stock = {row["method"]: row["step_ms"] for row in rows if row["lean"] == "off"}
        for r in rows:
            sizes = " | ".join(f"{r[name]:.1f}" for name in ("predicted_mb", "measured_peak_mb", "measured_rss_mb"))
            ratio = f"{r['step_ms'] / stock[r['method']]:.2f}" if r["method"] in stock else ""
            lines.append(f"| {network} | {r['method']} | {r['lean']} | {sizes} | {ratio} |")
    return "\n".join(lines)


def peers_table(rows: list[dict[str, Any]]) -> str:
    """Markdown: other ways, and what each idea takes away."""
    lines = [
        "| method | way | **measured peak** | resident | kept | against stock |",
        "| --- | --- | --: | --: | --: | --: |",
    ]
    stock = {row["method"]: row["step_ms"] for row in rows if row["way"] == "stock"}
    for r in rows:
        sizes = " | ".join(f"{r[name]:.1f}" for name in ("measured_peak_mb", "measured_rss_mb", "kept_mb"))
        lines.append(f"| {r['method']} | {r['way']} | {sizes} | {r['step_ms'] / stock[r['method']]:.2f} |")
    return "\n".join(lines)


def budget_table(result: dict[str, Any]) -> str:
    """Markdown: fits within a budget and without one."""
    lines = [
        "| budget | test accuracy % | peak of the live heap | resident over import |",
        "| --- | --: | --: | --: |",
    ]
    for budget in dict.fromkeys(row["budget"] for row in result["rows"]):
        rows = [row for row in result["rows"] if row["budget"] == budget]
        mean, std = result["test_accuracy_percent"][str(budget)]
        heap, top = (max(row[name] for row in rows) for name in ("heap_peak_mb", "resident_over_import_mb"))
        lines.append(f"| {budget or 'none'} | {mean:.1f} ± {std:.1f} | {heap:.1f} MB | {top:.1f} MB |")
    return "\n".join(lines)


def benched(name: str) -> list[dict[str, Any]]:
    """Rows of the newest result of a benchmark whose file begins with ``name`` and a date."""
    files = (HERE.parent / "benchmarks" / "results").glob(f"{name}_20*.json")
    newest_of = max(files, key=lambda path: (path.stem.split("_20")[1].split("_")[0], len(path.stem), path.stem))
    rows: list[dict[str, Any]] = json.loads(newest_of.read_text())["rows"]
    return rows


def pocket_line(result: dict[str, Any]) -> str:
    """One sentence: Pocket's test accuracy."""
    epochs = result["settings"]["epochs"]
    top1 = 100 * result["cifar10_test_top1"]
    return f"Top-1 on the 10,000 CIFAR-10 test images (JPEG copy): **{top1:.1f} %** after {epochs} epochs."


def replaced(page: str, name: str, content: str) -> str:
    """``page`` with what stands between the marks ``name`` replaced; raises `ValueError` where they are missing."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    if begin not in page or end not in page:
        raise ValueError(f"the page has no marks {begin} and {end}")
    before, _, rest = page.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}\n{content}\n{end}{after}"


def main() -> None:
    backbones = (DOCS / "backbones.md").read_text()
    backbones = replaced(backbones, "weights", weights_table(newest("check_weights")["rows"]))
    backbones = replaced(backbones, "pocket", pocket_line(newest("pretrain_pocket")))
    (DOCS / "backbones.md").write_text(backbones)
    page = (DOCS / "results.md").read_text()
    transfer, defaults = newest("transfer_small"), newest("choose_defaults")
    draw(transfer["rows"], DOCS / "results.svg")
    page = replaced(page, "transfer", accuracy_table(transfer["rows"]))
    page = replaced(page, "defaults", defaults_table(defaults))
    (DOCS / "results.md").write_text(page)
    memory = (DOCS / "memory.md").read_text()
    memory = replaced(memory, "memory", memory_table(benched("memory_vs_eager_mobilenet_v2_224_1t")))
    memory = replaced(memory, "threads", memory_table(benched("memory_vs_eager_mobilenet_v2_224_2t")))
    memory = replaced(memory, "peers", peers_table(benched("memory_vs_peers_mobilenet_v2_224_1t")))
    memory = replaced(memory, "bits", memory_table(benched("memory_vs_eager_mobilenet_v2_224_1t_8bit_adam8")))
    others = {name: benched(f"memory_vs_eager_{file}_1t") for name, file in OTHERS.items()}
    (DOCS / "memory.md").write_text(replaced(memory, "others", others_table(others)))
    plan = replaced((DOCS / "plan.md").read_text(), "within", budget_table(newest("fit_within_budget")))
    (DOCS / "plan.md").write_text(plan)


if __name__ == "__main__":
    main()
