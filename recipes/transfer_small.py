"""Transfer from real MobileNetV2 weights to small sets: last, bias, Rep-Net, full, and connectors.

    python recipes/transfer_small.py --shared DIR --state DIR [--seeds 3]

128 px, batch 8, 6 epochs, the whole training part, the last epoch scored once on the test part
(the prototype's protocol), with the learning rates a user gets who names none; they were chosen on
validation parts by ``recipes/choose_defaults.py``.  ``last`` runs for 15 epochs as well, because
six leave it under-trained.  Finished jobs are kept in
``--state`` and not repeated.  Writes ``recipes/results/transfer_small_DATE.json``.
"""

import argparse
import math
from pathlib import Path
from typing import Any

import torch
from grid import Job, finished, mean_std, run_grid, write_result

TARGETS = {  # (set, width, arm): test accuracy % of a throw-away prototype; +-; seeds
    ("signdigits", 0.35, "last"): (87.5, 0.5, 3),
    ("signdigits", 0.35, "last 15 epochs"): (90.4, None, 1),
    ("signdigits", 0.35, "bias"): (90.5, 0.5, 3),
    ("signdigits", 0.35, "repnet"): (94.5, 0.6, 3),
    ("signdigits", 0.35, "repnet connect=none"): (89.1, 1.4, 2),
    ("signdigits", 0.35, "repnet connect=down"): (91.8, 0.5, 2),
    ("signdigits", 0.35, "repnet connect=up"): (92.5, 0.3, 2),
    ("signdigits", 1.0, "last"): (87.5, None, 1),
    ("signdigits", 1.0, "repnet"): (96.4, None, 1),
    ("cifar10", 1.0, "last"): (66.7, None, 1),
    ("cifar10", 1.0, "bias"): (72.5, None, 1),
    ("cifar10", 1.0, "repnet"): (73.2, None, 1),
}
METHODS = ("last", "bias", "repnet", "full")


def arms(seeds: int, other_seeds: int) -> dict[tuple[str, float, str], list[Job]]:
    """Jobs by (set, width, arm): ``seeds`` for the arms with a target, ``other_seeds`` for the rest."""
    table: dict[tuple[str, float, str], list[Job]] = {}

    def add(data: str, width: float, method: str, arm: str = "", **changes: Any) -> None:
        key = (data, width, arm or method)
        count = seeds if key in TARGETS else other_seeds
        table[key] = [Job(data, width, method, seed, **changes) for seed in range(count)]

    for data in ("signdigits", "cifar10", "flowers5", "hymenoptera"):
        for width in (0.35, 1.0):
            for method in METHODS:
                add(data, width, method, epochs=10 if data == "hymenoptera" else 6)
    for data, width in (("signdigits", 0.35), ("signdigits", 1.0), ("cifar10", 1.0)):
        add(data, width, "last", "last 15 epochs", epochs=15)
    for connect in ("none", "down", "up"):
        add("signdigits", 0.35, "repnet", f"repnet connect={connect}", settings={"connect": connect})
    add("signdigits", 0.35, "repnet", "repnet wiring=paper", settings={"wiring": "paper"})
    return table


def summary(table: dict[tuple[str, float, str], list[Job]], rows: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """One row an arm: mean and standard deviation of the test accuracy in percent, and the target."""
    out = []
    for (data, width, arm), jobs in table.items():
        own = [rows[job.key] for job in jobs if job.key in rows]
        if not own:
            continue
        mean, std = mean_std([100 * row["test"] for row in own])
        target, spread, seeds = TARGETS.get((data, width, arm), (None, None, 1))
        out.append(
            {
                "set": data,
                "width": width,
                "arm": arm,
                "epochs": own[0]["epochs"],
                "lr": own[0]["lr_used"],
                "side_lr": own[0]["side_lr_used"],
                "test_mean": round(mean, 2),
                "test_std": None if std is None else round(std, 2),
                "test": [round(100 * row["test"], 2) for row in own],
                "target": target,
                "target_std": spread,
                "standard_error": _standard_error(std, len(own), spread, seeds) if target is not None else None,
                "trainable_params": own[0]["trainable_params"],
                "artifact_bytes": own[0]["artifact_bytes"],
                "kept_mb": own[0]["kept_mb"],
                "seconds": round(sum(row["seconds"] for row in own) / len(own), 1),
            }
        )
    return out


def _standard_error(std: float | None, n: int, target_std: float | None, target_n: int) -> float | None:
    """Of the difference to the target; one without a spread is taken to have ours."""
    if std is None:
        return None
    return round(math.sqrt(std**2 / n + (target_std or std) ** 2 / target_n), 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, required=True, help="folder with data/ and tools/")
    parser.add_argument("--state", type=Path, required=True, help="where unpacked sets and finished jobs are kept")
    parser.add_argument("--seeds", type=int, default=3, help="seeds of the arms with a target")
    parser.add_argument("--other-seeds", type=int, default=3, help="seeds of the other arms")
    parser.add_argument("--summarise", action="store_true", help="run nothing: write what is finished so far")
    args = parser.parse_args()
    table = arms(args.seeds, args.other_seeds)
    ordered = [
        job
        for arm in sorted(
            table, key=lambda arm: (arm not in TARGETS, arm[2].startswith("last"), arm[0] != "signdigits")
        )
        for job in table[arm]
    ]
    done = finished(ordered, args.state) if args.summarise else run_grid(ordered, args.shared, args.state)
    rows = {row["key"]: row for row in done}
    result = {
        "recipe": "recipes/transfer_small.py",
        "seeds": {"arms with a target": args.seeds, "other arms": args.other_seeds},
        "protocol": "MobileNetV2, 128 px, batch 8, whole training part, last epoch on test",
        "environment": {"torch": torch.__version__, "hardware": "2-core x86-64 CPU, one thread a job"},
        "rows": summary(table, rows),
    }
    write_result("transfer_small", result)
    for row in result["rows"]:
        name = f"{row['set']:<12}{row['width']:<6}{row['arm']:<24}"
        print(f"{name}{row['test_mean']:6.2f} ± {row['test_std']}  target {row['target']} (SE {row['standard_error']})")


if __name__ == "__main__":
    main()
