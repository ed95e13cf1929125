"""Rep-Net's Table 1 and Figure 4: how side network and backbone are connected.

    python recipes/repnet/table1_connect.py --shared DIR --state DIR [--quick] [--list]

Adv. Rep + Last (the method ``input``), the four connections of Figure 3 at the rates of ``repnet``, a connector at
every block (``dual-all``), and the fully trained last layer.  The paper's five sets are not at hand; here they are
hand signs, CIFAR-10 (100 a class) and flowers, from MobileNetV2's weights.  The paper's memory column is that of
ProxylessNAS-Mobile at 224 px, batch 8, which is measured too.

Expected (paper, five sets): none < down < up < dual everywhere but for down on Flowers, dual-all level with dual,
Adv. Rep + Last level with none.  A prototype on hand signs, width 0.35, 6 epochs: none 89.1, down 91.8,
up 92.5, dual 94.5, last (15 epochs) 90.4, Adv. Rep + Last 90.2; the order of up and down was noise.  With all
modules at zero, ``down`` starts slowly: part of its deficit may be the start.

Time: not yet run in full; ``--list`` estimates it.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from arms import LAST, NARROW, WIDE, Arm, Costed, arm
from claims import compare
from tables import Row, Rows, run

from edgewise.jobs.training_step import StepRequest

PLACES = (("cifar10", NARROW), ("signdigits", NARROW), ("flowers5", NARROW), ("signdigits", WIDE))
CONNECT = ("none", "down", "up", "dual", "dual-all")
ADV = "Adv. Rep + Last"
PRINTED_MB = {ADV: 36, "none": 34, "down": 34, "up": 34, "dual": 34, "dual-all": 37}


def arms(quick: bool) -> list[Arm]:
    """All connections in every place; quick: CIFAR-10 without ``dual-all``."""
    table = []
    for data, network in PLACES[:1] if quick else PLACES:
        for connect in CONNECT[:-1] if quick else CONNECT:
            settings = {} if connect == "dual" else {"connect": connect}  # dual is what repnet is: trained once for all
            table.append(arm(data, network, "repnet", connect, settings=settings))
        table += [arm(data, network, "last"), arm(data, network, "input", ADV)]
    return table


def costs(quick: bool) -> list[Costed]:
    """The paper's memory column; quick: nothing."""
    settings = {ADV: ("input", {}), **{name: ("repnet", {"connect": name}) for name in CONNECT}}
    return [
        Costed(
            "ProxylessNAS-Mobile, 224 px",
            name,
            StepRequest("proxylessnas_mobile", None, method, chosen, classes=102, image_size=224, threads=1),
            {"published_mb": PRINTED_MB[name]},
        )
        for name, (method, chosen) in ({} if quick else settings).items()
    ]


def claims(rows: Rows, costs: Rows) -> list[Row]:
    return [
        compare(rows, "dual", "up"),
        compare(rows, "dual", "down"),
        compare(rows, "up", "down"),
        compare(rows, "down", "none"),
        compare(rows, "dual", LAST, by=3, needed="all", sets=("signdigits", "cifar10")),
        compare(rows, "dual", ADV, needed="all"),
        compare(rows, "dual", "dual-all", by=-0.5),
    ]


if __name__ == "__main__":
    run(__file__, __doc__, arms, costs, claims)
