"""The dissertation's Figure 15: what three kinds of adaptation take in parameters, activations and time.

    python recipes/repnet/fig15_parts.py --shared DIR --state DIR [--quick] [--list]

ResNet-50, 224 px, batch 8, 102 classes (Flowers), as in Chapter 4: fine-tuning (``full``), an adapter (``tinytl``), a
mask on every weight (Piggyback: ``mask`` with where=all, granularity=weight), and Rep-Net beside them.  Parameters
of the model, activations that wait for the backward pass, and the time of one epoch of Flowers' 2,040 training
photos: with stock PyTorch, as in the figure, and lean.  One thread; medians over three rounds in turns.
Nothing is trained, no weights are needed.  Where the figure's platforms were GPUs, this is one CPU.

Expected (text; the figure's numbers are not in our copy): activations take at least three times the model; Piggyback
takes the longest, since a mask needs its layer's input, the weight and one product more.

Time: not yet run in full; ``--list`` estimates it.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from arms import Costed
from claims import claim, takes_less
from tables import Row, Rows, run

from edgewise.jobs.training_step import StepRequest

METHODS = {
    "full": ("full", {}),
    "tinytl": ("tinytl", {}),
    "mask": ("mask", {"where": "all", "granularity": "weight"}),
    "repnet": ("repnet", {}),
}
WAYS = {"stock PyTorch": "off", "lean": "small"}
PHOTOS, BATCH = 2_040, 8


def costs(quick: bool) -> list[Costed]:
    """Four methods in two ways; quick: stock PyTorch alone."""
    return [
        Costed(
            f"ResNet-50, 224 px, {way}",
            name,
            StepRequest(
                "resnet50", None, method, settings, classes=102, image_size=224, batch_size=BATCH, lean=lean, threads=1
            ),
        )
        for way, lean in WAYS.items()
        if not quick or lean == "off"
        for name, (method, settings) in METHODS.items()
    ]


def epoch_minutes(row: Row) -> float:
    """Of Flowers' training photos."""
    return float(row["step_ms"]) * PHOTOS / BATCH / 60e3


def claims(rows: Rows, costs: Rows) -> list[Row]:
    stock = [row for row in costs if row["lean"] == "off"]
    times = {row["arm"]: round(epoch_minutes(row), 2) for row in stock}
    return [
        claim(
            "activations take at least three times the model's parameters (stock PyTorch)",
            [
                {"arm": row["arm"], "ratio": round(row["kept_mb"] / (row["total_params"] * 4e-6), 2)}
                | {"holds": row["kept_mb"] >= 3 * row["total_params"] * 4e-6}
                for row in stock
            ],
        ),
        claim("the mask takes the longest", [{"minutes": times, "holds": times["mask"] == max(times.values())}]),
        takes_less(costs, "repnet", "tinytl", "kept_mb"),
        takes_less(costs, "repnet", "full", "kept_mb", share=0.5),
        takes_less(costs, "repnet", "full", "step_ms"),
    ]


if __name__ == "__main__":
    run(__file__, __doc__, costs=costs, claims=claims, rounds=3)
