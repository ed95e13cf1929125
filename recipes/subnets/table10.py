"""The dissertation's Table 10, reduced: sub-nets trained in turns, jointly, and one by one.

    python recipes/subnets/table10.py --shared DIR --state DIR [--quick] [--seeds N]

ResNet-20 on CIFAR-10 (`sparse`), 90, 95 and 98 % sparse.  Joint training gets a third of the epochs: its steps pass
every batch through all three sub-nets, so its training FLOPs are those of the others.  Sub-nets that are trained one
by one take a whole run each, three times as much.  ``90 %`` arms start at that sparsity, others dense.

Expected (dissertation, CIFAR-10, 160 epochs): GraNet 94.12, 94.02, 92.98; MEST+EM&S 93.27, 92.44, 90.51; joint (at
3 times the cost) 92.59, 92.58, 92.48; AST 93.51, 93.44, 92.44; AST+GC 93.88, 93.70, 92.69; from 90 %, AST 92.32, 92.19,
91.34 and AST+GC 92.90, 92.88, 91.97; dense 94.88.  Must here: AST+GC at least joint at equal FLOPs for every sub-net,
within one standard error; its cost at most 1.1 times one dense run's.
Time: estimated, 36 runs, about 6 minutes each on one core: 3.6 core-hours.
"""

from sparse import DENSITIES, arm, asked, at_least, budget, claim, tabled

FROM_90 = {"start": 0.1}


def arms(quick: bool):
    """Name, share of the epochs, settings."""
    together = {"densities": DENSITIES, "relation": "nd"}
    found = [
        ("AST+GC", 1.0, {**together, "gc": True}),
        ("AST", 1.0, {**together, "gc": False}),
        ("joint", 1 / 3, {**together, "training": "joint"}),
        ("dense", 1.0, {"training": "dense", "densities": (1.0,)}),
    ]
    if quick:
        return found
    found += [
        ("AST+GC, 90 %", 1.0, {**together, "gc": True, **FROM_90}),
        ("AST, 90 %", 1.0, {**together, "gc": False, **FROM_90}),
    ]
    for training in ("granet", "mest"):
        found += [(f"{training} {d:g}", 1.0, {"training": training, "densities": (d,)}) for d in DENSITIES]
    return found


def claims(table):
    cost = {row["arm"]: row for row in table}
    places = []
    if {"AST+GC", "dense"} <= cost.keys():
        one, dense = cost["AST+GC"], cost["dense"]
        ratio, seconds = (one[key] / dense[key] for key in ("macs_mean", "train_seconds_mean"))
        places = [{"ratio": round(ratio, 3), "of_seconds": round(seconds, 3), "holds": ratio <= 1.1}]
    return [
        at_least(table, "AST+GC", "joint", "must: AST+GC at least joint training at equal FLOPs"),
        claim("must: AST+GC costs at most 1.1 times one dense run", places),
        at_least(table, "AST+GC", "AST", "AST+GC at least AST"),
        at_least(table, "AST+GC, 90 %", "AST, 90 %", "from 90 %: AST+GC at least AST"),
    ]


def main() -> None:
    arguments = asked(__doc__)
    size = budget(arguments.quick)
    runs = [
        run
        for name, effort, settings in arms(arguments.quick)
        for run in arm(name, arguments.seeds, size, effort, **settings)
    ]
    tabled(__file__, arguments, runs, claims)


if __name__ == "__main__":
    main()
