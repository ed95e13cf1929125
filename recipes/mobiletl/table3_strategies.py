"""MobileTL's Table 3 (and Figure 5): what to train, by accuracy, memory, operations and time.

    python recipes/mobiletl/table3_strategies.py --shared DIR --state DIR [--quick] [--list]

The last layer, biases, norms, three blocks plainly and MobileTL's way, TinyTL with lite modules (random ones) and
with biases, all parameters; MobileTL and Rep-Net also with the frozen weights in 8 bits, corrected on 64 training
photos.  Hand signs and CIFAR-10 at both widths; blocks and MobileTL also on 500 a class and on flowers.
Steps are measured on one thread, three rounds in turns.  The paper's own table, ProxylessNAS-Mobile at 224 px
with 100 classes, is measured beside what it prints: with stock PyTorch, lean, and lean with 8-bit weights.

Expected (paper): MobileTL 0.5 points above plain training of the same blocks on CIFAR-10 and 1.1 on CIFAR-100, at
16.7 % less memory and half of full fine-tuning's FLOPs.  A prototype at width 0.35: MobileTL within -0.5 to +1.1
points of the plain blocks on four sets; 8 bits with correction within 0 to 1 point.

Time: not yet run in full; ``--list`` estimates it.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from arms import NARROW, WIDE, Arm, Costed, arm, product
from claims import compare, on_front, takes_less
from tables import Row, Rows, run

from edgewise.jobs.training_step import StepRequest

SETS = ("cifar10", "signdigits")
EIGHT = ", 8 bit"
PRINTED = {  # name: method, settings; published MB, million FLOPs, trained parameters (None: not in our copy)
    "full": ("full", {}, 382.7, 16_205.0, 2_927_612),
    "bn": ("bn", {}, 189.9, 11_066.1, 162_596),
    "bias": ("bias", {}, 30.6, 10_446.5, 145_348),
    "blocks": ("blocks", {}, 40.5, 7_728.0, 1_695_972),
    "last": ("last", {}, 29.0, 5_325.9, 128_100),
    "tinytl lite": ("tinytl", {"train": "lite"}, 32, 13_505.9, 1_944_516),
    "tinytl": ("tinytl", {}, 37, 14_087.6, 1_959_748),
    "mobiletl": ("mobiletl", {}, 33.7, None, 1_691_364),
}
WAYS = {"stock PyTorch": ("off", 32), "lean": ("small", 32), "lean, 8 bit": ("small", 8)}


def arms(quick: bool) -> list[Arm]:
    """All of it; quick: four methods on CIFAR-10 at width 0.35."""
    if quick:
        return product(SETS[:1], (NARROW,), ("last", "bias", "blocks", "mobiletl"))
    table = product(SETS, (NARROW,), ("last", "bias", "bn", "blocks", "mobiletl", "tinytl", "full", "repnet"))
    for data in SETS:
        table.append(arm(data, NARROW, "tinytl", "tinytl lite", settings={"train": "lite"}))
        table += [arm(data, NARROW, method, method + EIGHT, frozen_bits=8) for method in ("repnet", "mobiletl")]
    table += product(SETS, (WIDE,), ("last", "bias", "blocks", "mobiletl", "tinytl", "full"))
    return table + product(("cifar10_500", "flowers5"), (NARROW,), ("blocks", "mobiletl"))


def costs(quick: bool) -> list[Costed]:
    """The paper's table, stored in three ways; quick: nothing."""
    rows = []
    for way, (lean, bits) in ({} if quick else WAYS).items():
        for name, (method, settings, megabytes, flops, parameters) in PRINTED.items():
            step = StepRequest(
                "proxylessnas_mobile", None, method, settings, classes=100, image_size=224, lean=lean,
                frozen_bits=bits, threads=1,
            )  # fmt: skip
            printed = {"published_mb": megabytes, "mflops": flops, "trainable_params": parameters}
            given = {key: value for key, value in printed.items() if value is not None}
            rows.append(Costed(f"ProxylessNAS-Mobile, 224 px, {way}", name, step, given))
    return rows


def claims(rows: Rows, costs: Rows) -> list[Row]:
    both = [*rows, *costs]
    return [
        compare(rows, "mobiletl", "blocks", by=-0.6, needed="all", or_error=True),
        takes_less(both, "mobiletl", "blocks", "measured_peak_mb", share=0.15),
        takes_less(both, "mobiletl", "blocks", "step_ms"),
        takes_less(rows, "mobiletl", "blocks", "stock_measured_peak_mb", share=0.15),
        takes_less(rows, "mobiletl", "blocks", "stock_step_ms"),
        takes_less(both, "mobiletl", "full", "flops", share=0.5),
        on_front(rows, ("mobiletl",)),
        *(compare(rows, method + EIGHT, method, by=-0.5, needed="all") for method in ("repnet", "mobiletl")),
    ]


if __name__ == "__main__":
    run(__file__, __doc__, arms, costs, claims, rounds=3)
