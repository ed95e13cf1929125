"""Rep-Net's Table 2: reprogramming the input, and reprogramming features.

    python recipes/repnet/table2_input_reprogramming.py --shared DIR --state DIR [--quick] [--list]

Adv. Rep (``input`` with ``head=map``: one image is learned, the backbone's classes are mapped to the new ones),
Adv. Rep + Last (``input``), the fully trained last layer, and Rep-Net, on MNIST (100 a class of the 10,000 test
images, cut anew), CIFAR-10 and hand signs.  The mapping needs a backbone with its ImageNet classifier:
MobileNetV2 1.0 and MobileNetV1 0.25.  Adv. Rep's rates are its own, chosen on the latter.  The paper's memory
column is measured at its size: 224 px, batch 8.

Expected (paper): Adv. Rep 58 to 63 % on CIFAR-10 and 93 to 94 % on MNIST; Rep-Net about 30 points above it and 3.3 to
9.9 above Adv. Rep + Last on CIFAR-10; Rep-Net takes less memory on the MobileNets, not on ResNet-50.  A prototype:
Adv. Rep + Last *below* the last layer alone on CIFAR-10 (-6.6) and above it on hand signs (+2.7), rates not tuned.

Time: not yet run in full; ``--list`` estimates it.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from arms import LAST, WIDE, Arm, Costed, arm
from claims import compare, takes_less
from tables import Row, Rows, run

from edgewise.jobs.training_step import StepRequest

ADV, ADV_LAST = "Adv. Rep", "Adv. Rep + Last"
SETS = ("cifar10", "mnist", "signdigits")
SMALLEST = "MobileNetV1 0.25"
PRINTED_MB = {
    "resnet50": {ADV: 98, ADV_LAST: 99, "repnet": 119},
    "mobilenet_v2": {ADV: 53, ADV_LAST: 54, "repnet": 51},
    "mobilenet_v3_large": {ADV: 42, ADV_LAST: 46, "repnet": 43},
}
METHODS = {ADV: ("input", {"head": "map"}), ADV_LAST: ("input", {}), "repnet": ("repnet", {})}


def arms(quick: bool) -> list[Arm]:
    """Four methods on every set and network; quick: CIFAR-10 on the smaller network."""
    table = []
    for data in SETS[:1] if quick else SETS:
        for network in (SMALLEST,) if quick else (SMALLEST, WIDE):
            table.append(arm(data, network, "input", ADV, rates=ADV, settings={"head": "map"}))
            table.append(arm(data, network, "input", ADV_LAST))
            table += [arm(data, network, "last"), arm(data, network, "repnet")]
    return table


def costs(quick: bool) -> list[Costed]:
    """The paper's memory column; quick: nothing."""
    return [
        Costed(
            f"{backbone}, 224 px",
            name,
            StepRequest(backbone, None, METHODS[name][0], METHODS[name][1], classes=102, image_size=224, threads=1),
            {"published_mb": megabytes},
        )
        for backbone, printed in ({} if quick else PRINTED_MB).items()
        for name, megabytes in printed.items()
    ]


def claims(rows: Rows, costs: Rows) -> list[Row]:
    return [
        compare(rows, "repnet", ADV, by=20, needed="all", sets=("cifar10",)),
        compare(rows, "repnet", ADV_LAST, by=3, needed="all", sets=("cifar10",)),
        compare(rows, "repnet", ADV_LAST, needed="all"),
        compare(rows, ADV_LAST, ADV, needed="all"),
        compare(rows, ADV_LAST, LAST),
        compare(rows, "repnet", LAST, by=3, needed="all", sets=("signdigits", "cifar10")),
        takes_less([*rows, *costs], "repnet", ADV_LAST, "published_mb"),
        takes_less([*rows, *costs], "repnet", ADV_LAST, "measured_peak_mb"),
    ]


if __name__ == "__main__":
    run(__file__, __doc__, arms, costs, claims)
