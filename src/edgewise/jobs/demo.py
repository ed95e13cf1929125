"""``edgewise demo``: four methods adapt Pocket to handwritten digits, side by side, offline."""

from pathlib import Path
from typing import Any

from edgewise.adapt import METHODS
from edgewise.core.files import write_bytes
from edgewise.core.progress import Listener, Silent
from edgewise.core.runs import RunFolder
from edgewise.data.images import open_image
from edgewise.data.thumbnails import png
from edgewise.jobs.digits import write_digits
from edgewise.jobs.environment import environment
from edgewise.jobs.fit import fit_run
from edgewise.jobs.request import FitRequest
from edgewise.jobs.step_process import in_process
from edgewise.jobs.training_step import StepRequest
from edgewise.report import write_report

SHOWN = ("last", "bias", "repnet", "full")
EPOCHS, SAMPLES = 6, 10


def demo(
    out: Path, seed: int = 0, command: str = "", listener: Listener | None = None, resume: bool = False
) -> dict[str, Any]:
    """Fit every method of `SHOWN`, each a run folder inside ``out``, and compare them in one report.

    With ``resume``, methods that are finished are not run again.
    Returns the record, kind ``demo``, whose ``rows`` hold what the table shows.
    """
    listener = listener or Silent()
    folder = RunFolder(out)
    folder.create({"verb": "demo", "methods": list(SHOWN), "epochs": EPOCHS, "seed": seed}, resume)
    listener.stage("Writing 1,797 handwritten digits as pictures")
    data = write_digits(out / "digits", seed)
    rows, last = [], {}
    for name in SHOWN:
        listener.stage(f"{METHODS[name].title}")
        request = FitRequest(
            str(data), backbone="pocket", method=name, epochs=EPOCHS, flip=False, crop_scale=0.6, seed=seed
        )
        command_of_one = (
            f"edgewise fit {data} --backbone pocket --method {name} --epochs {EPOCHS} --no-flip --crop-scale 0.6 "
            f"--seed {seed}"
        )
        one = RunFolder(out / name)
        if resume and one.record.exists():
            last = one.read_record()
        else:
            last = fit_run(request, one.root, resume, command_of_one, listener)
        rows.append(
            {
                "run": name,
                "method": name,
                "label": METHODS[name].title,
                "test_accuracy": last["metrics"]["test_accuracy"],
                "val_accuracy": last["metrics"]["val_accuracy"],
                "trainable_params": last["sizes"]["trainable_params"],
                "artifact_bytes": last["sizes"]["artifact_bytes"],
                "memory_mb": _memory(name, len(last["data"]["classes"]), listener),
                "seconds": last["seconds"],
            }
        )
    record = {
        "kind": "demo",
        "title": "Handwritten digits",
        "command": command,
        "environment": environment(),
        "seeds": {"seed": seed},
        "data": last["data"],
        "rows": rows,
        "samples": _samples(data, folder),
        "notes": [
            "Memory is the most that a training step of 8 pictures held, weights, pictures and optimizer included, "
            "measured in a process of its own. edgewise profile shows where it goes, and what stock PyTorch takes."
        ],
    }
    folder.write_record(record)
    write_report(out)
    return record


def _memory(method: str, classes: int, listener: Listener) -> float | None:
    """MB that a training step takes; where the heap cannot be counted, the resident size over import."""
    listener.stage("Measuring the memory of a training step")
    found = in_process("measure", StepRequest("pocket", method=method, classes=classes))
    peak: float | None = found["measured_peak_mb"]
    resident: float | None = found["measured_rss_mb"]
    return resident if peak is None else peak


def _samples(data: Path, folder: RunFolder) -> list[str]:
    names = []
    for label in range(SAMPLES):
        source = sorted((data / "test" / str(label)).glob("*.png"))[0]
        picture = folder.assets / f"sample-{label:02d}.png"
        write_bytes(picture, png(open_image(source)))
        names.append(picture.relative_to(folder.root).as_posix())
    return names
