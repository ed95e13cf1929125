"""Choose the methods' default learning rates and Rep-Net's wiring by mean validation accuracy.

    python recipes/choose_defaults.py --shared DIR --state DIR

MobileNetV2 0.35 (``last``, the cheapest, at 1.0 too), 128 px, batch 8, 6 epochs; a fifth of every
class of the training part is the validation set, and test accuracies are not looked at here.
Every arm runs on all three sets and the arm with the highest mean validation accuracy is the
default.
"""

import argparse
import datetime
import json
from pathlib import Path
from typing import Any

from grid import Job, mean_std, run_grid

SETS = ("signdigits", "flowers5", "cifar10")
# Rep-Net's two wirings were within a photo of each other after one seed, so they got three.
TIED = {"lr": 1e-3, "side_lr": 1e-2}
ARMS: dict[str, list[dict[str, Any]]] = {
    "last": [{"lr": rate, "width": width} for rate in (1e-3, 2e-3, 3e-3, 5e-3) for width in (0.35, 1.0)],
    "bn": [{"lr": rate} for rate in (1e-3, 3e-3)],
    "bias": [{"lr": head, "side_lr": rate} for head, rate in ((1e-3, 1e-3), (1e-3, 3e-3), (3e-3, 3e-3))],
    "full": [{"lr": 1e-3, "side_lr": rate} for rate in (1e-4, 3e-4)],
    "repnet": [
        *({"lr": 1e-3, "side_lr": rate} for rate in (5e-3, 1e-2, 2e-2)),
        {"lr": 3e-3, "side_lr": 1e-2},
        {**TIED, "settings": {"wiring": "paper"}},
    ],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, required=True, help="folder with data/ and tools/")
    parser.add_argument("--state", type=Path, required=True, help="where unpacked sets and finished jobs are kept")
    args = parser.parse_args()
    jobs = {
        (method, number): [
            Job(data, method=method, seed=seed, val_fraction=0.2, **{"width": 0.35, **arm})
            for seed in range(3 if TIED.items() <= arm.items() else 1)
            for data in SETS
        ]
        for method, arms in ARMS.items()
        for number, arm in enumerate(arms)
    }
    flat = [job for own in sorted(jobs.values(), key=len, reverse=True) for job in own]
    rows = {row["key"]: row for row in run_grid(flat, args.shared, args.state)}
    table = []
    for (method, number), own in jobs.items():
        by_set = {data: mean_std([rows[j.key]["val"] for j in own if j.data == data])[0] for data in SETS}
        mean = sum(by_set.values()) / len(by_set)
        arm = {"method": method, **ARMS[method][number], "seeds": len(own) // len(SETS)}
        table.append({**arm, "val": by_set, "mean_val": round(mean, 4)})
        print(json.dumps(table[-1]))
    out = Path(__file__).parent / "results" / f"choose_defaults_{datetime.date.today()}.json"
    out.write_text(json.dumps({"recipe": "recipes/choose_defaults.py", "arms": table}, indent=1) + "\n")


if __name__ == "__main__":
    main()
