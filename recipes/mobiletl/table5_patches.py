"""MobileTL's Table 5: do lite-residual patches beside the trained blocks help?

    python recipes/mobiletl/table5_patches.py --shared DIR --state DIR [--quick] [--list]

Plain training of three blocks, MobileTL, MobileTL with patches (``mobiletl+lite``), and patches beside frozen blocks.
The last row is the method ``lite``, which the combination is made of.  It trains at the combination's rates.

Expected (paper, ProxylessNAS-Mobile, CIFAR-10): plain 95.4 at 40.1 MB, MobileTL 95.8 at 33.2, with patches 95.8 at
35.8, blocks frozen 94.4 at 32.3: patches bring nothing beside trained blocks and are worse alone.

Time: not yet run in full; ``--list`` estimates it.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from arms import NARROW, WIDE, Arm, Costed, product
from claims import claim, compare, takes_less
from tables import Row, Rows, run

from edgewise.jobs.training_step import StepRequest

METHODS = ("blocks", "mobiletl", "mobiletl+lite", "lite")
PLACES = (("cifar10", NARROW), ("signdigits", NARROW), ("flowers5", NARROW), ("cifar10", WIDE))
PRINTED = {  # published MB, trained parameters, with ten classes
    "blocks": (40.1, 1_580_682),
    "mobiletl": (33.2, 1_576_074),
    "mobiletl+lite": (35.8, 2_211_466),
    "lite": (32.3, 1_060_362),
}


def arms(quick: bool) -> list[Arm]:
    """Four methods in four places; quick: on CIFAR-10 at width 0.35."""
    places = PLACES[:1] if quick else PLACES
    return [one for data, network in places for one in product((data,), (network,), METHODS)]


def costs(quick: bool) -> list[Costed]:
    """The paper's table; quick: nothing."""
    return [
        Costed(
            "ProxylessNAS-Mobile, 224 px",
            method,
            StepRequest("proxylessnas_mobile", None, method, image_size=224, threads=1),
            {"published_mb": megabytes, "trainable_params": parameters},
        )
        for method, (megabytes, parameters) in ({} if quick else PRINTED).items()
    ]


def claims(rows: Rows, costs: Rows) -> list[Row]:
    counts = [
        {"arm": row["arm"], "trainable_params": row["trainable_params"], "printed": row["printed"]["trainable_params"]}
        for row in costs
    ]
    return [
        compare(rows, "mobiletl", "mobiletl+lite", by=-0.5),
        compare(rows, "mobiletl", "lite"),
        compare(rows, "mobiletl+lite", "lite"),
        takes_less([*rows, *costs], "mobiletl", "mobiletl+lite", "measured_peak_mb"),
        claim(
            "trained parameters are the paper's",
            [{**one, "holds": one["trainable_params"] == one["printed"]} for one in counts],
        ),
    ]


if __name__ == "__main__":
    run(__file__, __doc__, arms, costs, claims)
