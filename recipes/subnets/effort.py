"""The dissertation's "Table 13", a figure: alternating training with more epochs against sub-nets trained one by one.

    python recipes/subnets/effort.py --shared DIR --state DIR [--quick] [--seeds N]

ResNet-20 on CIFAR-10 (`sparse`), 90, 95 and 98 % sparse.  In one run each sub-net sees a third of the batches; efforts
of 1, 1.5 and 2 runs stand against 3 runs of GraNet, one a sub-net.

Expected (dissertation, Wide ResNet-32): at about twice the effort of one run AST is as accurate as GraNet at three
times.  Claimed here: at 2, every sub-net is within one standard error of GraNet's.
Time: estimated, 18 runs of 6 to 12 minutes on one core: 2.2 core-hours, of which table10.py shares 12.
"""

from sparse import DENSITIES, arm, asked, budget, claim, standard_error, tabled

from edgewise.subnets import name_of

EFFORTS = (1.0, 1.5, 2.0)


def claims(table):
    found = {row["arm"]: row for row in table}
    places = []
    for density in DENSITIES:
        name, alone = name_of(density), f"granet {density:g}"
        if {"effort 2", alone} <= found.keys():
            one, other = found["effort 2"], found[alone]
            difference = one[f"test {name}_mean"] - other[f"test {name}_mean"]
            error = standard_error(one, name, other, name)
            places.append({"sub_net": name, "difference": round(difference, 2), "holds": difference >= -error})
    return [claim("AST+GC at twice the effort at least GraNet at three times", places)]


def main() -> None:
    arguments = asked(__doc__)
    size, efforts = budget(arguments.quick), EFFORTS[:1] if arguments.quick else EFFORTS
    runs = [
        run
        for effort in efforts
        for run in arm(f"effort {effort:g}", arguments.seeds, size, effort, densities=DENSITIES, relation="nd", gc=True)
    ]
    for density in () if arguments.quick else DENSITIES:
        runs += arm(f"granet {density:g}", arguments.seeds, size, training="granet", densities=(density,))
    tabled(__file__, arguments, runs, claims)


if __name__ == "__main__":
    main()
