"""Draw ``docs/results.svg`` and write the measured parts of the documentation from the newest results.

    python recipes/draw_results.py

Reads ``recipes/results`` only; every number in the page comes from a file there.
"""

import json
from pathlib import Path
from typing import Any

import matplotlib

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


def newest(name: str) -> Any:
    """The latest file ``NAME_DATE.json``, or None."""
    files = sorted((HERE / "results").glob(f"{name}_*.json"))
    return json.loads(files[-1].read_text()) if files else None


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
                    (x, row["test_mean"]),
                    xytext=(7, -3),
                    textcoords="offset points",
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
    for name in ("rates", "wirings", "crops", "rate of last"):
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


def pocket_line(result: dict[str, Any]) -> str:
    """One sentence: Pocket's test accuracy."""
    epochs = result["settings"]["epochs"]
    top1 = 100 * result["cifar10_test_top1"]
    return f"Top-1 on the 10,000 CIFAR-10 test images (JPEG copy): **{top1:.1f} %** after {epochs} epochs."


def replaced(page: str, name: str, content: str) -> str:
    """``page`` with what stands between the marks ``name`` replaced."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
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
    measured = sorted((HERE.parent / "benchmarks" / "results").glob("memory_vs_eager_mobilenet_v2_224_1t_*.json"))
    memory = replaced(
        (DOCS / "memory.md").read_text(), "memory", memory_table(json.loads(measured[-1].read_text())["rows"])
    )
    (DOCS / "memory.md").write_text(memory)


if __name__ == "__main__":
    main()
