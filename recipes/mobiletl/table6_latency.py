"""MobileTL's Table 6: the time of a training step, against fine-tuning everything.

    python recipes/mobiletl/table6_latency.py --shared DIR --state DIR [--quick] [--list]

The paper's setting (MobileNetV3 Small, 224 px, batch 8, ten classes, no weights needed) on this CPU with one and two
threads: stock PyTorch, as the paper's was, and both lean presets.  Every step is measured in a process of its own,
five rounds in which all take turns, the median of nine steps each; a time is the median over rounds.  Run it on an
idle machine.  Nothing is trained.

Expected (paper): full fine-tuning takes 2.06 times MobileTL's time on a Jetson Nano and 1.82 times on a Raspberry Pi 4;
from fastest to slowest MobileTL, FT-Bias, FT-BN, FT-All.  (Our ``bn`` normalises with the backbone's statistics.)

Time: not yet run in full; ``--list`` estimates it.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from arms import Costed
from claims import claim, takes_less
from tables import Row, Rows, run

from edgewise.jobs.training_step import StepRequest

METHODS = ("full", "bn", "bias", "mobiletl")
SECONDS = {  # printed, on a Jetson Nano and on a Raspberry Pi 4
    "full": (0.235, 2.465),
    "bn": (0.138, 1.894),
    "bias": (0.130, 1.818),
    "mobiletl": (0.114, 1.344),
}
RATIOS = {"Jetson Nano": 2.06, "Raspberry Pi 4": 1.82}
WAYS = {"off": "stock PyTorch", "small": "lean small", "fast": "lean fast"}


def costs(quick: bool) -> list[Costed]:
    """Four methods, stored in three ways, with one and two threads; quick: one thread, full and MobileTL."""
    return [
        Costed(
            f"MobileNetV3 Small, 224 px, {WAYS[lean]}, {threads} {'thread' if threads == 1 else 'threads'}",
            method,
            StepRequest("mobilenet_v3_small", None, method, image_size=224, lean=lean, threads=threads),
            dict(zip(("nano_s", "pi_s"), SECONDS[method], strict=True)),
        )
        for threads in ((1,) if quick else (1, 2))
        for lean in WAYS
        for method in (("full", "mobiletl") if quick else METHODS)
    ]


def ratios(costs: Rows) -> list[dict[str, object]]:
    """How many times MobileTL's time full fine-tuning takes, by network, way and threads."""
    times = {(row["network"], row["arm"]): row["step_ms"] for row in costs}
    return [
        {"network": network, "ratio": round(ms / times[network, "mobiletl"], 2)}
        for (network, name), ms in times.items()
        if name == "full"
    ]


def claims(rows: Rows, costs: Rows) -> list[Row]:
    found = ratios(costs)
    return [
        *(
            claim(
                f"full fine-tuning takes at least {least:g} times MobileTL's time, as on the {device}",
                [{**one, "holds": float(str(one["ratio"])) >= least} for one in found],
            )
            for device, least in RATIOS.items()
        ),
        takes_less(costs, "mobiletl", "bias", "step_ms"),
        takes_less(costs, "bias", "bn", "step_ms"),
        takes_less(costs, "bn", "full", "step_ms"),
    ]


if __name__ == "__main__":
    run(__file__, __doc__, costs=costs, claims=claims, rounds=5)
