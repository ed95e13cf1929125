"""MobileTL's Figure 4: memory and operations against the number of blocks that train.

    python recipes/mobiletl/fig4_depth.py --shared DIR --state DIR [--quick] [--list]

MobileNetV3 Small, 224 px, batch 8, ten classes: the last 1 to 11 blocks plainly and MobileTL's way, and everything.
Stored activations and FLOPs as MobileTL's profiler counts them (`edgewise.cost.mobiletl_profile`), what the papers'
formula counts, and the measured peak of the lean step.  Nothing is trained, no weights are needed.

Expected (paper): everything stores 129.7 MB (met to the digit) and takes 1000.6 million FLOPs forward and 1934.9
backward (met to 0.2 and 0.9 %); MobileTL of 5 blocks takes 36 % fewer FLOPs than everything; the knee is near 3.

Time: not yet run in full; ``--list`` estimates it.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from arms import Costed
from claims import claim, takes_less
from tables import Row, Rows, run

from edgewise.jobs.training_step import StepRequest

NETWORK = "MobileNetV3 Small, 224 px"
DEPTHS = tuple(range(1, 12))
FULL = {"stored_mb": 129.7, "mflops_forward": 1000.6, "mflops_backward": 1934.92}


def costs(quick: bool) -> list[Costed]:
    """Every depth, and everything; quick: three depths."""
    found = [Costed(NETWORK, "full", StepRequest("mobilenet_v3_small", None, "full", image_size=224, threads=1), FULL)]
    for method in ("blocks", "mobiletl"):
        for depth in (1, 3, 5) if quick else DEPTHS:
            settings = {"blocks": str(depth)}
            step = StepRequest("mobilenet_v3_small", None, method, settings, image_size=224, threads=1)
            found.append(Costed(NETWORK, f"{method} {depth}", step))
    return found


def claims(rows: Rows, costs: Rows) -> list[Row]:
    full = next(row for row in costs if row["arm"] == "full")
    five = next(row for row in costs if row["arm"] == "mobiletl 5")
    saved = 1 - five["flops"] / full["flops"]
    depths = [int(row["arm"].split()[1]) for row in costs if row["method"] == "mobiletl"]
    growing = [row["stored_mb"] for row in costs if row["method"] == "mobiletl"]
    return [
        claim(
            "everything stores the printed 129.7 MB",
            [{"stored_mb": full["stored_mb"], "holds": round(full["stored_mb"], 1) == FULL["stored_mb"]}],
        ),
        claim(
            "MobileTL of 5 blocks takes 36 % fewer FLOPs than everything, to 2 points",
            [{"saved": round(saved, 3), "holds": abs(saved - 0.36) <= 0.02}],
        ),
        claim("what is stored grows with every block", [{"stored_mb": growing, "holds": growing == sorted(growing)}]),
        *(takes_less(costs, f"mobiletl {n}", f"blocks {n}", "stored_mb", share=0.3) for n in depths),
        *(takes_less(costs, f"mobiletl {n}", f"blocks {n}", "measured_peak_mb") for n in depths),
    ]


if __name__ == "__main__":
    run(__file__, __doc__, costs=costs, claims=claims)
