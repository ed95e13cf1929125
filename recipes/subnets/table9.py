"""The dissertation's Table 9: sub-nets that lie inside each other (cs) against non-disjoint ones (nd).

    python recipes/subnets/table9.py --shared DIR --state DIR [--quick] [--seeds N]

ResNet-20 on CIFAR-10 (`sparse`), 70, 95 and 98 % sparse, alternating with gradient correction.

Expected (dissertation, Wide ResNet-32, 160 epochs): nd over cs by 0.78, 0.35 and 0.27 points.  Must here: nd at least
cs for every sub-net, within one standard error.
Time: estimated, 6 runs, about 7 minutes each on one core: 0.7 core-hours.
"""

from sparse import arm, asked, at_least, budget, tabled

DENSITIES = (0.3, 0.05, 0.02)


def claims(table):
    return [at_least(table, "nd", "cs", "must: nd at least cs")]


def main() -> None:
    arguments = asked(__doc__)
    size = budget(arguments.quick)
    runs = [
        run
        for name in ("nd", "cs")
        for run in arm(name, arguments.seeds, size, densities=DENSITIES, relation=name, gc=True)
    ]
    tabled(__file__, arguments, runs, claims)


if __name__ == "__main__":
    main()
