"""MobileTL's Figure 6: which of the blocks' norms train whole.

    python recipes/mobiletl/fig6_norms.py --shared DIR --state DIR [--quick] [--list]

The norm behind the projection, the expansion or the depthwise convolution, all of them, or the shifts of all, in the
last 1, 3 and 5 blocks; always with signed activations, and at the rates of ``mobiletl``.  The paper's network,
MobileNetV3 Small, has no weights at hand: accuracies are MobileNetV2's at width 0.35, memory is measured of both.

Expected (paper): proj-bn is on the front of accuracy against memory; all-bn-shift takes least and is worse.
A prototype on hand signs: all norms in eval mode 2 points below (one seed).

Time: not yet run in full; ``--list`` estimates it.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from arms import NARROW, Arm, Costed, arm
from claims import compare, on_front, takes_less
from tables import Row, Rows, run

from edgewise.jobs.training_step import StepRequest

NORMS = ("proj-bn", "exp-bn", "dw-bn", "all-bn", "all-bn-shift")
BLOCKS = (3, 1, 5)
USUAL = {"norms": "proj-bn", "blocks": "3"}


def _variants(quick: bool) -> dict[str, dict[str, str]]:
    """Settings by name; quick: three variants of three blocks."""
    names = ("proj-bn", "all-bn", "all-bn-shift") if quick else NORMS
    return {
        _name(norms, blocks): {"norms": norms, "blocks": str(blocks)}
        for blocks in (BLOCKS[:1] if quick else BLOCKS)
        for norms in names
    }


def _name(norms: str, blocks: int) -> str:
    return f"{norms}, {blocks} {'block' if blocks == 1 else 'blocks'}"


def arms(quick: bool) -> list[Arm]:
    """Every variant on two sets; quick: on CIFAR-10."""
    return [
        # the usual variant without settings: what other recipes train too
        arm(data, NARROW, "mobiletl", name, settings={} if settings == USUAL else settings)
        for data in (("cifar10",) if quick else ("cifar10", "signdigits"))
        for name, settings in _variants(quick).items()
    ]


def costs(quick: bool) -> list[Costed]:
    """The same of MobileNetV3 Small; quick: nothing."""
    return [
        Costed(
            "MobileNetV3 Small, 224 px",
            name,
            StepRequest("mobilenet_v3_small", None, "mobiletl", settings, image_size=224, threads=1),
        )
        for name, settings in ({} if quick else _variants(quick)).items()
    ]


def claims(rows: Rows, costs: Rows) -> list[Row]:
    both, found = [*rows, *costs], []
    for blocks in BLOCKS:
        usual, every, shifts = (_name(norms, blocks) for norms in ("proj-bn", "all-bn", "all-bn-shift"))
        own = [row for row in rows if row["arm"] in {_name(norms, blocks) for norms in NORMS}]
        found += [
            compare(rows, usual, shifts),
            compare(rows, usual, every, by=-0.5),
            takes_less(both, usual, every, "stored_mb"),
            takes_less(both, usual, every, "measured_peak_mb"),
            takes_less(both, shifts, usual, "stored_mb"),
            on_front(own, (usual,)),
        ]
    return [claim for claim in found if claim["holds"] is not None]


if __name__ == "__main__":
    run(__file__, __doc__, arms, costs, claims)
