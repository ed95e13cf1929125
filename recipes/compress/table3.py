"""The dissertation's Table 3: ternary weights, group lasso, both at once, and both with weight penalty clipping.

    python recipes/compress/table3.py --shared DIR --state DIR [--quick] [--seeds N]

ResNet-20 on CIFAR-10, groups of 16 x 3 x 3, all arms from the same weights, on the same photos, equally long
(`trials`); lambda and a are the sweep's for all arms.  ``float`` is the same fine-tuning without compression.

Expected (dissertation, 200 epochs from scratch; accuracy, overall and group sparsity): ternary 91.62,
49, none; pruning 91.1, 61, 44; naive 90.01, 70, 18; clipped 90.89, 50, 25.  Must here: at equal lambda, clipped is more
accurate than naive with more empty groups.
Time: estimated, 15 runs, about 25 minutes each on one core: 6.3 core-hours.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from trials import arm, asked, budget, by_place, chosen, claim, tabled

ARMS = ("float", "tern", "prune", "naive", "wpc")
NETWORK = "resnet20"


def claims(table: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Clipped against naive; the others have nothing to prove."""
    places = by_place(table)
    if not {(NETWORK, "wpc"), (NETWORK, "naive")} <= places.keys():
        return []
    ours, naive = places[NETWORK, "wpc"], places[NETWORK, "naive"]
    found = []
    for key, text in (("test", "more accurate"), ("group_sparsity", "with more empty groups")):
        difference = round(ours[f"{key}_mean"] - naive[f"{key}_mean"], 2)
        one = {"network": NETWORK, "difference": difference, "holds": difference > 0}
        found.append(claim(f"wpc than naive at equal lambda: {text}", [one]))
    return found


def main() -> None:
    arguments = asked(__doc__)
    size, settings = budget(arguments.quick), chosen()
    names = ("float", "wpc") if arguments.quick else ARMS
    runs = [run for name in names for run in arm(NETWORK, name, arguments.seeds, size, arm=name, **settings)]
    tabled(__file__, arguments, runs, settings, claims)


if __name__ == "__main__":
    main()
