"""MobileTL's Table 4: what the signed gradient of activations costs, and saves.

    python recipes/mobiletl/table4_operators.py --shared DIR --state DIR [--quick] [--list]

MobileTL with the sign in place of the activations' gradient, with their true gradient (``signed=none``), and plain
training of the same blocks.  The paper's table replaces operators of MobileNetV3 Small (it leaves squeeze-and-
excitation out, or takes ReLU for hard-swish) and loses a point by it; no pretrained hard-swish network is at
hand, so accuracies here are about ReLU6, in four networks, and what the sign saves of hard-swish's memory is
measured on MobileNetV3 Small without weights.

Expected (paper, CIFAR-10): plain 95.2, MobileTL 95.0, at 47.4 and 35.8 MB.  A prototype on hand signs: exact ReLU6
96.8, signed 96.3, no difference.

Time: not yet run in full; ``--list`` estimates it.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from arms import NARROW, WIDE, Arm, Costed, arm
from claims import compare, takes_less
from tables import Row, Rows, run

from edgewise.jobs.training_step import StepRequest

NETWORKS = (NARROW, "MCUNet", "MCU-ProxylessNAS", WIDE)
TRUE = "true gradient"
VARIANTS = {"blocks": ("blocks", {}), "mobiletl": ("mobiletl", {}), TRUE: ("mobiletl", {"signed": "none"})}
MORE = {"gates too": ("mobiletl", {"signed": "gates"})}
PRINTED_MB = {"blocks": 47.4, "mobiletl": 35.8}


def arms(quick: bool) -> list[Arm]:
    """Three variants on two sets and four networks; quick: CIFAR-10 and the narrow one."""
    return [
        arm(data, network, method, name, settings=settings)
        for data in (("cifar10",) if quick else ("cifar10", "signdigits"))
        for network in (NETWORKS[:1] if quick else NETWORKS)
        for name, (method, settings) in VARIANTS.items()
    ]


def costs(quick: bool) -> list[Costed]:
    """MobileNetV3 Small, at the paper's size; quick: nothing."""
    return [
        Costed(
            "MobileNetV3 Small, 224 px",
            name,
            StepRequest("mobilenet_v3_small", None, method, settings, image_size=224, threads=1),
            {"published_mb": PRINTED_MB[name]} if name in PRINTED_MB else {},
        )
        for name, (method, settings) in ({} if quick else VARIANTS | MORE).items()
    ]


def claims(rows: Rows, costs: Rows) -> list[Row]:
    both = [*rows, *costs]
    return [
        compare(rows, "mobiletl", TRUE, by=-0.5, needed="all", or_error=True),
        compare(rows, "mobiletl", "blocks", by=-0.6, needed="all", or_error=True),
        takes_less(both, "mobiletl", TRUE, "stored_mb"),
        takes_less(both, "mobiletl", "blocks", "stored_mb", share=0.3),
        takes_less(both, "mobiletl", TRUE, "measured_peak_mb"),
    ]


if __name__ == "__main__":
    run(__file__, __doc__, arms, costs, claims)
