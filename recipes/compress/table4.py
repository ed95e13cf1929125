"""The dissertation's Table 4 in ImageNet's layout: ResNet-18, ternary with and without empty groups.

    python recipes/compress/table4.py --data IMAGENET --weights FILE --state DIR [--seeds N]
    python recipes/compress/table4.py --quick --state DIR

Groups of 64 x 3 x 3 (64 x 1 x 1 in the shortcuts); the first convolution and the head stay in floats.

Expected (dissertation, top-1): float 69.75; ternary (its [45]) 67.95 at 16x; clipped group lasso 68.01 at 21.3x.
Time: not run in full here, where there is neither ImageNet nor a GPU; --quick under a minute.
"""

from imagenet import asked, tabled
from trials import claim, gap


def claims(table):
    one = gap(table, "resnet18", "wpc", "tern", "top1")
    return [
        claim("wpc at least as accurate as ternary alone", [{**one, "holds": one["below"] <= 0}]),
        claim("21.3x by Eq. 2.8", [{**one, "holds": one["eq_2_8"] >= 21.3}]),
    ]


if __name__ == "__main__":
    tabled(__file__, asked(__doc__), "resnet18", ("float", "tern", "wpc"), 64, claims)
