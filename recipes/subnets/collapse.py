"""What private norms and masked updates are worth: the same training with shared norms, and with all weights moving.

    python recipes/subnets/collapse.py --shared DIR --state DIR [--quick] [--seeds N]

ResNet-20 on CIFAR-10 (`sparse`), 90, 95 and 98 % sparse, alternating with gradient correction.  ``all move``: weight
decay and momentum move weights that the present sub-net does not have, as in the authors' released code.

Expected (slimmable networks): with one set of statistics for all, accuracy collapses.  Must here: private norms are at
least as accurate as shared ones for every sub-net.
Time: estimated, 9 runs, about 7 minutes each on one core: 1 core-hour, of which table10.py shares 3.
"""

from sparse import DENSITIES, arm, asked, at_least, budget, tabled

ARMS = {"AST+GC": {}, "shared norms": {"norms": "shared"}, "all move": {"only_active": False}}


def claims(table):
    return [
        at_least(table, "AST+GC", "shared norms", "must: private norms at least shared ones"),
        at_least(table, "AST+GC", "all move", "only active weights moving at least all of them"),
    ]


def main() -> None:
    arguments = asked(__doc__)
    size, own = budget(arguments.quick), {"densities": DENSITIES, "relation": "nd", "gc": True}
    names = ("AST+GC", "shared norms") if arguments.quick else tuple(ARMS)
    runs = [run for name in names for run in arm(name, arguments.seeds, size, **own, **ARMS[name])]
    tabled(__file__, arguments, runs, claims)


if __name__ == "__main__":
    main()
