"""The dissertation's Table 6: the fewer weights in a group, the more groups are empty.

    python recipes/compress/table6.py --shared DIR --state DIR [--quick] [--seeds N]

ResNet-20 on CIFAR-10 with groups of 16, 8, 4, 2 and 1 input channels, all else equal (`trials`).  lambda is the same
for all, as the dissertation has it; a smaller group has a smaller norm, so it is pulled to 0 sooner.

Expected (dissertation; accuracy, overall and group sparsity): 16: 90.89, 50, 25; 8: 90.56, 70.8, 35.6; 4: 90.29, 78.7,
42.8; 2: 89.93, 82.0, 50.1; 1: 89.66, 85.0, 63.2.  Must here: from 16 to 1 group sparsity rises and accuracy falls.
Time: estimated, 15 runs, about 25 minutes each on one core, of which 3 are Table 3's: 5 core-hours.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from trials import arm, asked, budget, by_place, chosen, claim, tabled

NETWORK, SIZES = "resnet20", (16, 8, 4, 2, 1)


def claims(table: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """From 16 to 1; and whether it goes step by step."""
    places = [by_place(table)[NETWORK, name] for name in map(label, SIZES) if (NETWORK, name) in by_place(table)]
    found = []
    for key, text, sign in (("group_sparsity", "more groups are empty", 1), ("test", "less is right", -1)):
        values = [row[f"{key}_mean"] for row in places]
        steps = [round(sign * (b - a), 2) for a, b in pairwise(values)]
        whole = {"network": NETWORK, "difference": round(values[-1] - values[0], 2)}
        found += [
            claim(f"PE-16 to PE-1: {text}", [{**whole, "holds": sum(steps) > 0}]),
            claim(f"PE-16 to PE-1: {text} at every step", [{**whole, "steps": steps, "holds": min(steps) > 0}]),
        ]
    return found


def label(size: int) -> str:
    return "wpc" if size == SIZES[0] else f"wpc, PE-{size}"


def main() -> None:
    arguments = asked(__doc__)
    size, settings = budget(arguments.quick), chosen()
    sizes = (SIZES[0], SIZES[-1]) if arguments.quick else SIZES
    fields = {pe: {} if pe == SIZES[0] else {"pe": pe} for pe in sizes}  # so that 16 are the runs of Table 3
    runs = [
        run
        for pe, own in fields.items()
        for run in arm(NETWORK, label(pe), arguments.seeds, size, arm="wpc", **settings, **own)
    ]
    tabled(__file__, arguments, runs, settings, claims)


if __name__ == "__main__":
    main()
