"""MobileTL's Figure 7: does it carry over to other networks?

    python recipes/mobiletl/fig7_architectures.py --shared DIR --state DIR [--quick] [--list]

Three blocks plainly and MobileTL's way on the real networks at hand: MobileNetV2 at two widths, three MCUNets, all on
CIFAR-10 and hand signs, and two CIFAR ResNets on hand signs (they were trained on CIFAR-10), at 32 px.  MobileNetV1
has no residual block and is refused by MobileTL.  The paper's networks without weights here, MobileNetV3 and ResNet-18
and 50, are measured and not trained.

Expected (paper, CIFAR-10): MobileTL moves several networks towards the knee of accuracy against memory, ResNets too;
ProxylessNAS-Mobile with MobileTL is on the front.

Time: not yet run in full; ``--list`` estimates it.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from arms import NARROW, WIDE, Arm, Costed, product
from claims import compare, takes_less
from tables import Row, Rows, run

from edgewise.jobs.training_step import StepRequest

PAIR = ("blocks", "mobiletl")
INVERTED = (NARROW, "MCUNet", "MCU-MobileNetV2", "MCU-ProxylessNAS", WIDE)
RESNETS = ("ResNet-20", "ResNet-56")
WITHOUT_WEIGHTS = ("mobilenet_v3_small", "mobilenet_v3_large", "proxylessnas_mobile", "resnet18", "resnet50")


def arms(quick: bool) -> list[Arm]:
    """All of it; quick: two networks on CIFAR-10."""
    if quick:
        return product(("cifar10",), INVERTED[:2], PAIR)
    return [*product(("cifar10", "signdigits"), INVERTED, PAIR), *product(("signdigits",), RESNETS, PAIR)]


def costs(quick: bool) -> list[Costed]:
    """The paper's networks at its size; quick: nothing."""
    return [
        Costed(f"{backbone}, 224 px", method, StepRequest(backbone, None, method, image_size=224, threads=1))
        for backbone in (() if quick else WITHOUT_WEIGHTS)
        for method in PAIR
    ]


def claims(rows: Rows, costs: Rows) -> list[Row]:
    both = [*rows, *costs]
    return [
        compare(rows, "mobiletl", "blocks", by=-0.6, needed="all", or_error=True),
        compare(rows, "mobiletl", "blocks"),
        takes_less(both, "mobiletl", "blocks", "stored_mb"),
        takes_less(both, "mobiletl", "blocks", "measured_peak_mb", share=0.15),
        takes_less(both, "mobiletl", "blocks", "flops"),
    ]


if __name__ == "__main__":
    run(__file__, __doc__, arms, costs, claims)
