"""Rep-Net's Table 4: a learned mask on the backbone beside Rep-Net, for less arithmetic at inference.

    python recipes/repnet/table4_mask.py --shared DIR --state DIR [--quick] [--list]

Rep-Net, Rep-Net with a kernel-wise mask on the blocks it connects to (``repnet+mask``), the mask alone, and the last
layer.  How much is left out grows with the mask's rate, which validation accuracy need not choose for that: the pair
is trained at higher rates too.  Sparsity is that of the masks, as the paper prints it, and of the whole network;
multiply-adds of one photo are counted with and without the masked-out kernels, and with what a plain runtime can
drop (`edgewise.cost.sparsity`).  Numbers are means over seeds.

Expected (paper, eight sets, ProxylessNAS-Mobile): sparsity of the masks 5.9 to 33.8 %, about 25 % on average; 346.8 to
280.9 million FLOPs on Flowers (-19 %); accuracy -0.8 to +5.1 points, after 50 epochs.  In 6 epochs at the default rate
(one seed, CIFAR-10) nothing is left out: scores start at 0.01 and move by less.

Time: not yet run in full; ``--list`` estimates it.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from arms import NARROW, WIDE, Arm, arm, product
from claims import claim, compare, place
from tables import Row, Rows, run

MASKED = "repnet+mask"
PAIR = ("repnet", MASKED)
SETS = ("signdigits", "cifar10", "flowers5")
RATES = ("1e-3", "3e-3")
LEAST, MOST = 0.05, 0.35  # the paper's 5.9 and 33.8 %


def arms(quick: bool) -> list[Arm]:
    """Four methods on three sets, the pair at width 1.0, masks at higher rates; quick: the pair on CIFAR-10."""
    if quick:
        return product(("cifar10",), (NARROW,), PAIR)
    higher = [(data, NARROW, rate) for data in SETS for rate in RATES] + [(data, WIDE, RATES[0]) for data in SETS[:2]]
    return [
        *product(SETS, (NARROW,), (*PAIR, "mask", "last")),
        *product(SETS[:2], (WIDE,), PAIR),
        *(arm(data, on, MASKED, f"{MASKED}, {rate}", settings={"mask_lr": rate}) for data, on, rate in higher),
    ]


def claims(rows: Rows, costs: Rows) -> list[Row]:
    found = [compare(rows, MASKED, "repnet")]
    for name in dict.fromkeys(row["arm"] for row in rows if row["method"] == MASKED):
        places = [{**place(row), **_left_out(row["sparsity"])} for row in rows if row["arm"] == name]
        plain = "macs_plain_runtime"
        found += [
            compare(rows, name, "repnet", by=-0.8, needed="all"),
            claim(
                f"{name} leaves {100 * LEAST:g} to {100 * MOST:g} % of its kernels out",
                [{**one, "holds": LEAST <= one["of_masked"] <= MOST} for one in places],
            ),
            claim(
                f"{name}: a plain runtime can drop a tenth of the multiply-adds that are left out",
                [{**one, "holds": one[plain] >= 0.1 * one["macs_without_zeros"] > 0} for one in places],
            ),
        ]
    return found


def _left_out(sparse: Row) -> dict[str, float]:
    """Shares: of the kernels with a mask, of all multiply-adds, of those that a plain runtime can drop."""
    macs = {name: 1 - sparse[name] / sparse["macs_dense"] for name in ("macs_without_zeros", "macs_plain_runtime")}
    return {name: round(share, 3) for name, share in {"of_masked": sparse["of_masked"], **macs}.items()}


if __name__ == "__main__":
    run(__file__, __doc__, arms, claims=claims)
