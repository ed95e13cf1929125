"""Draw ``docs/memory_step.svg``: the memory of one training step, stock PyTorch beside Edgewise.

    python recipes/draw_memory.py

Predicts MobileNetV2 with Rep-Net at 224 px, batch 8, 100 classes and one thread, without the lean pass
and with it; every number in the picture comes from these two predictions.  Takes about 15 seconds.
"""

import dataclasses
from pathlib import Path

from edgewise.core.files import write_text
from edgewise.jobs.step_process import in_process
from edgewise.jobs.training_step import StepRequest
from edgewise.report.stacked import WIDTH, amount, height, moments, stacked, total
from edgewise.report.standalone import EDGE, Placed, standalone

OUT = Path(__file__).parent.parent / "docs" / "memory_step.svg"
NAMES = {"off": "stock PyTorch", "small": "Edgewise"}


def main() -> None:
    request = StepRequest("mobilenet_v2", method="repnet", image_size=224, batch_size=8, classes=100, threads=1)
    found = {lean: in_process("predict", dataclasses.replace(request, lean=lean)) for lean in NAMES}
    lines = {lean: moments(prediction) for lean, prediction in found.items()}
    highest = max(total(moment) for line in lines.values() for moment in line)

    def placed(lean: str, heading: str, ceiling: float, width: int = WIDTH) -> Placed:
        operation = found[lean]["fullest"]["operation"]
        svg = stacked(NAMES[lean], lines[lean], operation, ceiling=ceiling, width=width, kind="sheet")
        return Placed(heading, svg, width, height())

    stock, ours = (f"{name}: {amount(found[lean]['predicted_mb'])} MB" for lean, name in NAMES.items())
    rows = [
        [placed("off", stock, highest), placed("small", f"{ours}, at the same scale", highest)],
        [placed("small", f"{ours}, enlarged", 0.0, 2 * (WIDTH + EDGE))],
    ]
    title = "Memory of one training step: MobileNetV2, Rep-Net, 224 px, batch 8, 100 classes"
    write_text(OUT, standalone(title, rows))
    print(f"{OUT.name}: {stock}; {ours}")


if __name__ == "__main__":
    main()
