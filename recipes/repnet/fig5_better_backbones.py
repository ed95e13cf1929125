"""Rep-Net's Figure 5: do better ImageNet models transfer better?

    python recipes/repnet/fig5_better_backbones.py --shared DIR --state DIR [--quick] [--list]

Rep-Net and the fully trained last layer on the five real ImageNet networks at hand, against the networks' top-1 on
1,000 ImageNet photos as ``recipes/check_weights.py`` measured it (mostly training photos, shorter side 160: the
order is what counts).  The sixth, MobileNetV2 0.35, has no classifier and so no top-1.  Everything is transferred
at 128 px.  Spearman's rank correlation of five networks has few possible values: 0.9 is one exchange of neighbours.

Expected (paper, four networks): the order of ImageNet accuracy is that of transfer on Flowers, CUB and CIFAR-10, and
not on Aircraft, whose images are far from ImageNet's, as hand signs are here.

Time: not yet run in full; ``--list`` estimates it.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from arms import NETWORKS, WIDE, Arm, product
from claims import claim
from grid import newest
from tables import Row, Rows, run

FILES = {
    **{name: values["weights"] for name, values in NETWORKS.items() if values.get("weights", "").endswith("_imagenet")},
    WIDE: "mobilenet_v2_w100_imagenet",
}
SETS = ("cifar10", "flowers5", "signdigits")
ENOUGH = 0.5
SMALLEST = ("MobileNetV1 0.25", "MCU-MobileNetV2", "MCU-ProxylessNAS")


def arms(quick: bool) -> list[Arm]:
    """Both methods on every set and network; quick: Rep-Net on CIFAR-10 on the smallest three."""
    return product(SETS[:1], SMALLEST, ("repnet",)) if quick else product(SETS, FILES, ("repnet", "last"))


def imagenet() -> dict[str, float]:
    """Top-1 in percent of the networks, by name."""
    measured = {row["file"]: row["top1"] for row in newest("check_weights")["rows"]}
    return {name: measured[file] for name, file in FILES.items()}


def rank_correlation(xs: Sequence[float], ys: Sequence[float]) -> float:
    """Spearman's; equal values share their mean rank."""
    a, b = _ranks(xs), _ranks(ys)
    middle = (len(xs) + 1) / 2
    together = sum((x - middle) * (y - middle) for x, y in zip(a, b, strict=True))
    alone = [sum((x - middle) ** 2 for x in ranks) for ranks in (a, b)]
    return together / (alone[0] * alone[1]) ** 0.5 if all(alone) else 0.0


def _ranks(values: Sequence[float]) -> list[float]:
    return [sum(other < value for other in values) + (1 + values.count(value)) / 2 for value in list(values)]


def claims(rows: Rows, costs: Rows) -> list[Row]:
    top1 = imagenet()
    places = []
    for data in dict.fromkeys(row["set"] for row in rows):
        own = [row for row in rows if (row["set"], row["arm"]) == (data, "repnet")]
        known = [top1[row["network"]] for row in own]
        rank = rank_correlation(known, [row["test_mean"] for row in own])
        best = max(own, key=lambda row: row["test_mean"])["network"]
        places.append({"set": data, "rank_correlation": round(rank, 2), "best": best, "holds": rank >= ENOUGH})
    best = max((row["network"] for row in rows), key=lambda name: top1[name])
    return [
        claim(
            f"a better ImageNet network transfers better with Rep-Net (rank correlation >= {ENOUGH}; natural images)",
            [one for one in places if one["set"] != "signdigits"],
        ),
        claim("the same on hand signs", [one for one in places if one["set"] == "signdigits"]),
        claim("the best ImageNet network transfers best", [{**one, "holds": one["best"] == best} for one in places]),
    ]


if __name__ == "__main__":
    run(__file__, __doc__, arms, claims=claims)
