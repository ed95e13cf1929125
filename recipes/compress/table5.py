"""The dissertation's Table 5 in ImageNet's layout: the arms on ResNet-18.

    python recipes/compress/table5.py --data IMAGENET --weights FILE --state DIR [--seeds N]
    python recipes/compress/table5.py --quick --state DIR

As Table 3, with groups of 64 x 3 x 3; its runs of ``float``, ``tern`` and ``wpc`` are Table 4's.

Expected (dissertation; top-1, overall and group sparsity): float 69.75; pruning 68.0, 43, 38; ternary 67.95, 60, none;
naive 65.12, 75, 18; clipped 68.01, 70, 25.
Time: not run in full here, where there is neither ImageNet nor a GPU; --quick under two minutes.
"""

from imagenet import asked, tabled
from trials import claim, gap


def claims(table):
    one = gap(table, "resnet18", "wpc", "naive", "top1")
    more = one["group_sparsity"] - next(row for row in table if row["arm"] == "naive")["group_sparsity_mean"]
    return [
        claim("wpc more accurate than naive", [{**one, "holds": one["below"] < 0}]),
        claim("wpc with more empty groups than naive", [{**one, "more": round(more, 2), "holds": more > 0}]),
    ]


if __name__ == "__main__":
    tabled(__file__, asked(__doc__), "resnet18", ("float", "prune", "tern", "naive", "wpc"), 64, claims)
