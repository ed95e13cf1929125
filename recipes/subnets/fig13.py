"""The dissertation's Figure 13: how often the gradients of consecutive sub-nets are in conflict, before and after.

    python recipes/subnets/fig13.py --shared DIR --state DIR [--quick] [--seeds N]

The runs AST+GC and AST of ``table10.py``.  Counted for every pair of consecutive sub-nets in a group, layer by layer,
over the weights of the later one: the share of pairs with a negative product in each epoch, and the smallest cosine
that is left after correction.

Expected (dissertation): a considerable share is negative through the whole training.  Must here: with correction no
pair is left with a cosine below -1e-6.
Time: estimated, 6 runs, all shared with table10.py.
"""

from dataclasses import asdict

from sparse import DENSITIES, arm, asked, budget, by_arm, claim, done, write


def curves(runs):
    """By epoch, over seeds and pairs: shares of negative products before and after, and the smallest cosine left."""
    found = []
    for rows in zip(*(run["negative_products"] for run in runs), strict=True):
        pairs = [pair for row in rows for pair in row["products"].values()]
        total = sum(pair["pairs"] for pair in pairs)
        shares = {key: sum(pair[f"negative_{key}"] for pair in pairs) / total for key in ("before", "after")}
        found.append({"epoch": rows[0]["epoch"], **shares, "worst_cosine": min(row["worst_cosine"] for row in rows)})
    return found


def claims(found):
    left = [row["worst_cosine"] for row in found["AST+GC"]]
    place = {"worst_cosine": min(left), "holds": min(left) >= -1e-6}
    return [claim("must: after correction no cosine over the present mask is below -1e-6", [place])]


def main() -> None:
    arguments = asked(__doc__)
    size, own = budget(arguments.quick), {"densities": DENSITIES, "relation": "nd"}
    runs = [
        run for name, gc in (("AST+GC", True), ("AST", False)) for run in arm(name, arguments.seeds, size, **own, gc=gc)
    ]
    all_runs = done(runs, arguments)
    found = {name: curves(by_arm(all_runs, name)) for name in ("AST+GC", "AST")}
    write(__file__, arguments, {"budget": asdict(size), "curves": found, "claims": claims(found)})


if __name__ == "__main__":
    main()
