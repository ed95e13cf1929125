"""Choose the methods' default learning rates and Rep-Net's wiring by mean validation accuracy.

    python recipes/choose_defaults.py --shared DIR --state DIR

MobileNetV2 0.35 at 128 px, batch 8, 6 epochs; a fifth of every class of the training part is the
validation set; the test parts are not looked at here.  Every arm runs on all three sets and the
arm with the highest mean validation accuracy is the default.
"""

import argparse
import datetime
import json
from pathlib import Path
from typing import Any

from grid import Job, mean_std, run_grid

SETS = ("signdigits", "flowers5", "cifar10")
ARMS: dict[str, list[dict[str, Any]]] = {
    "last": [{"lr": rate} for rate in (1e-3, 3e-3)],
    "bn": [{"lr": rate} for rate in (1e-3, 3e-3)],
    "bias": [{"lr": head, "side_lr": rate} for head, rate in ((1e-3, 1e-3), (1e-3, 3e-3), (3e-3, 3e-3))],
    "full": [{"lr": 1e-3, "side_lr": rate} for rate in (1e-4, 3e-4, 1e-3)],
    "repnet": [
        *({"lr": 1e-3, "side_lr": rate} for rate in (5e-3, 1e-2, 2e-2)),
        {"lr": 3e-3, "side_lr": 1e-2},
        {"lr": 1e-3, "side_lr": 1e-2, "settings": {"wiring": "paper"}},
        {"lr": 1e-3, "side_lr": 1e-2, "settings": {"train_bias": "true"}},
        {"lr": 1e-3, "side_lr": 1e-2, "label_smoothing": 0.1},
    ],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, required=True, help="folder with data/ and tools/")
    parser.add_argument("--state", type=Path, required=True, help="where unpacked sets and finished jobs are kept")
    parser.add_argument("--seeds", type=int, default=1)
    args = parser.parse_args()
    arms = [(method, arm) for method, choices in ARMS.items() for arm in choices]
    jobs = [
        Job(data, 0.35, method, seed, val_fraction=0.2, **arm)
        for seed in range(args.seeds)
        for method, arm in arms
        for data in SETS
    ]
    rows = run_grid(jobs, args.shared, args.state)
    table = []
    for method, arm in arms:
        own = [r for j, r in zip(jobs, rows, strict=True) if (j.method, _settings(j)) == (method, _settings(Job("", 0.35, method, 0, **arm)))]
        by_set = {data: [r["val"] for r in own if r["data"] == data] for data in SETS}
        mean, _ = mean_std([value for values in by_set.values() for value in values])
        table.append({"method": method, **arm, "val": {d: mean_std(v)[0] for d, v in by_set.items()}, "mean_val": round(mean, 4)})
    for row in table:
        print(json.dumps(row))
    out = Path(__file__).parent / "results" / f"choose_defaults_{datetime.date.today()}.json"
    out.write_text(json.dumps({"recipe": "recipes/choose_defaults.py", "seeds": args.seeds, "arms": table}, indent=1) + "\n")


def _settings(job: Job) -> tuple:
    return (job.lr, job.side_lr, job.label_smoothing, tuple(sorted(job.settings.items())))


if __name__ == "__main__":
    main()
