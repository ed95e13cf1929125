"""Records of comparisons made of plausible numbers, for the tests of their page."""

import math
import random
from pathlib import Path
from typing import Any

from report_samples import DIGITS, fit_record, write_run

# method, title, accuracy, peak MB, published MB, step ms, M forward, M backward, trained
MANY = (
    ("mobiletl", "MobileTL", 0.958, 16.9, 9.8, 74, 19.9, 9.9, 301_978),
    ("blocks", "Last blocks + head", 0.961, 19.4, 12.2, 81, 19.9, 11.2, 303_994),
    ("full", "Full fine-tuning", 0.966, 36.4, 31.5, 180, 19.9, 39.5, 408_938),
    ("repnet", "Rep-Net", 0.945, 13.3, 5.6, 62, 22.4, 15.4, 53_522),
    ("bn", "Norms + head", 0.927, 12.1, 9.0, 95, 19.9, 19.6, 26_890),
    ("bias", "Biases + head", 0.905, 12.0, 5.0, 71, 19.9, 19.1, 19_850),
    ("last", "Last layer", 0.875, 10.4, 2.2, 22, 19.9, 0.03, 12_810),
    ("tinytl", "TinyTL", 0.934, 16.1, 8.1, 110, 27.0, 24.4, 154_626),
    ("input", "Input program + head", 0.902, 15.4, 8.8, 120, 19.9, 19.9, 61_962),
    ("mask", "Masks + head", 0.94, 17.2, 15.2, 88, 19.9, 29.4, 330_000),
    ("repnet+mask", "Rep-Net + masks + head", 0.951, 18.0, 16.9, 140, 22.4, 41.0, 380_000),
    ("mobiletl+lite", "MobileTL + lite residual patches", 0.959, 18.4, 11.1, 90, 21.0, 12.4, 420_000),
)


def row(
    method: str, title: str, accuracy: float, peak: float, published: float, step: float, ahead: float, back: float,
    trained: int, seeds: int = 3, epochs: int = 6,
) -> dict[str, Any]:  # fmt: skip
    """The line of a method that was trained."""
    draw = random.Random(method)
    curve = [
        {
            "epoch": epoch,
            "train_accuracy": min(1.0, accuracy * (1 - math.exp(-2.4 * epoch / epochs)) / 0.9),
            "val_accuracy": accuracy * (1 - math.exp(-3 * epoch / epochs)) + 0.02 * draw.random(),
        }
        for epoch in range(1, epochs + 1)
    ]
    return {
        "method": method, "title": title, "grade": "for comparison", "reason": None, "seeds": seeds,
        "accuracy": accuracy, "accuracy_std": draw.uniform(0.002, 0.009) if seeds > 1 else None,
        "val_accuracy": curve[-1]["val_accuracy"], "val_accuracy_std": 0.004 if seeds > 1 else None,
        "measured_peak_mb": peak, "measured_rss_mb": peak + 4, "predicted_mb": peak - 0.2, "published_mb": published,
        "kept_mb": peak / 6, "step_ms": step, "macs_forward": 1e6 * ahead, "macs_backward": 1e6 * back,
        "macs_again": 0, "trainable_params": trained, "adapter_bytes": 4 * trained + 900, "seconds": 30.0,
        "curve": curve,
        "runs": [
            {"run": f"{method}/seed-{seed}", "seed": seed, "accuracy": accuracy, "val_accuracy": accuracy}
            for seed in range(seeds)
        ],
    }  # fmt: skip


def left_out(method: str, title: str, reason: str, **known: Any) -> dict[str, Any]:
    """The line of a method that was not."""
    empty = dict.fromkeys(row(*MANY[0]))
    return {**empty, "method": method, "title": title, "grade": "for comparison", "reason": reason, "seeds": 0,
            "curve": [], "runs": [], **known}  # fmt: skip


def compare_record(rows: list[dict[str, Any]] | None = None, seeds: int = 3) -> dict[str, Any]:
    """A record of a comparison: by default of twelve methods."""
    rows = [row(*one, seeds=seeds) for one in MANY] if rows is None else rows
    rows.sort(key=lambda one: one["accuracy"] or -1.0, reverse=True)
    fit = fit_record(DIGITS)
    return {
        "kind": "compare",
        "command": "edgewise compare photos/signs --backbone mobilenet_v2 --width 0.35 --weights "
        "mobilenet_v2_w035.safetensors --methods all --epochs 6 --seeds 3 --image-size 128 --no-flip",
        "config": {
            "data": "photos/signs", "backbone": "mobilenet_v2", "width": 0.35,
            "weights": "mobilenet_v2_w035.safetensors", "methods": [one["method"] for one in rows], "epochs": 6,
            "seeds": seeds, "seed": 0, "batch_size": 8, "image_size": 128, "flip": False, "budget_mb": None,
        },
        "environment": fit["environment"],
        "seeds": {"first": 0, "runs": seeds},
        "data": fit["data"],
        "metrics": {"split": "test", "n": fit["metrics"]["n"]},
        "best": {"method": "repnet", "run": "repnet/seed-0"},
        "rows": rows,
        "notes": [],
        "seconds": 1123.0,
    }  # fmt: skip


def write_compare(folder: Path, record: dict[str, Any]) -> Path:
    """The comparison's folder, without its runs: the page needs none."""
    return write_run(folder, record)
