"""Choose the methods' default learning rates, Rep-Net's wiring and the training crop, on validation alone.

    python recipes/choose_defaults.py --shared DIR --state DIR

MobileNetV2 0.35, 128 px, batch 8, 6 epochs; a fifth of every class of the training part is the
validation set (another fifth for another seed), and no test accuracy is looked at or printed.
Every arm runs on three sets and the highest mean validation accuracy is the default.  Five rounds,
each with what those before it chose:

1. every method's rates, at the papers' crop of 0.22, one seed;
2. Rep-Net's wiring, three seeds;
3. the crop, one for all methods, by the mean over ``last`` and ``repnet``, three seeds;
4. the rate of ``last`` again, at widths 0.35 and 1.0, three seeds: it has nothing else to tune, and
   a baseline gets the same care as the methods it is compared with;
5. the rates of ``full`` again, at both widths and on hymenoptera (10 epochs) as well: rates chosen
   at width 0.35 alone were too high for the small set at width 1.0.
"""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from grid import Job, mean_std, run_grid, write_result

SETS = ("signdigits", "flowers5", "cifar10")
MORE_EPOCHS = {"hymenoptera": 10}  # 244 photos: as in transfer_small
PAPERS_CROP = 0.22
RATES: tuple[dict[str, Any], ...] = (
    *({"method": "last", "lr": rate} for rate in (1e-3, 2e-3, 3e-3, 5e-3)),
    *({"method": "bn", "lr": rate} for rate in (1e-3, 3e-3)),
    *({"method": "bias", "lr": head, "side_lr": rate} for head, rate in ((1e-3, 1e-3), (1e-3, 3e-3), (3e-3, 3e-3))),
    *({"method": "full", "lr": 1e-3, "side_lr": rate} for rate in (1e-4, 3e-4)),
    *({"method": "repnet", "lr": 1e-3, "side_lr": rate} for rate in (5e-3, 1e-2, 2e-2)),
    {"method": "repnet", "lr": 3e-3, "side_lr": 1e-2},
)
CROPS = (0.22, 0.35, 0.5, 0.7)
WIDTHS, LAST_RATES = (0.35, 1.0), (1e-3, 3e-3, 5e-3)
FULL_RATES = ((1e-3, 3e-5), (1e-3, 1e-4), (1e-3, 3e-4), (3e-3, 1e-4))

Arm = Mapping[str, Any]
Measure = Callable[[Sequence[Arm], int, Sequence[str]], list[dict[str, Any]]]


def choose(measure: Measure) -> dict[str, Any]:
    """The rounds; ``measure`` runs arms for a number of seeds on sets and adds ``mean_val`` to each."""
    rates = measure([{"width": 0.35, "crop_scale": PAPERS_CROP, **arm} for arm in RATES], 1, SETS)
    last, repnet = (_bare(_best([arm for arm in rates if arm["method"] == name])) for name in ("last", "repnet"))
    wirings = measure([repnet, {**repnet, "settings": {"wiring": "paper"}}], 3, SETS)
    repnet = _bare(_best(wirings))

    crops = measure([{**arm, "crop_scale": crop} for arm in (last, repnet) for crop in CROPS], 3, SETS)
    crop = max(CROPS, key=lambda crop: sum(arm["mean_val"] for arm in crops if arm["crop_scale"] == crop))

    again = measure(
        [{"method": "last", "lr": rate, "width": width, "crop_scale": crop} for rate in LAST_RATES for width in WIDTHS],
        3,
        SETS,
    )
    rate = max(LAST_RATES, key=lambda rate: sum(arm["mean_val"] for arm in again if arm["lr"] == rate))
    full = measure(
        [
            {"method": "full", "lr": head, "side_lr": side, "width": width, "crop_scale": crop}
            for head, side in FULL_RATES
            for width in WIDTHS
        ],
        1,
        (*SETS, *MORE_EPOCHS),
    )
    full_rates = max(
        FULL_RATES, key=lambda rates: sum(arm["mean_val"] for arm in full if (arm["lr"], arm["side_lr"]) == rates)
    )
    return {
        "rates": rates,
        "wirings": wirings,
        "crops": crops,
        "rate of last": again,
        "rates of full": full,
        "chosen": {"crop_scale": crop, "last lr": rate, "full lr, side_lr": full_rates},
    }


def _best(arms: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return max(arms, key=lambda arm: arm["mean_val"])


def _bare(arm: Arm) -> dict[str, Any]:
    return {key: value for key, value in arm.items() if key not in ("seeds", "val", "mean_val")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, required=True, help="folder with data/ and tools/")
    parser.add_argument("--state", type=Path, required=True, help="where unpacked sets and finished jobs are kept")
    args = parser.parse_args()

    def measure(arms: Sequence[Arm], seeds: int, sets: Sequence[str]) -> list[dict[str, Any]]:
        jobs = [
            [
                Job(data, seed=seed, epochs=MORE_EPOCHS.get(data, 6), val_fraction=0.2, **arm)
                for data in sets
                for seed in range(seeds)
            ]
            for arm in arms
        ]
        rows = {row["key"]: row for row in run_grid([job for own in jobs for job in own], args.shared, args.state)}
        table = []
        for arm, own in zip(arms, jobs, strict=True):
            val = {data: mean_std([rows[job.key]["val"] for job in own if job.data == data])[0] for data in sets}
            table.append({**arm, "seeds": seeds, "val": val, "mean_val": round(sum(val.values()) / len(val), 4)})
            print(json.dumps(table[-1]), flush=True)
        return table

    print(write_result("choose_defaults", {"recipe": "recipes/choose_defaults.py", **choose(measure)}))


if __name__ == "__main__":
    main()
