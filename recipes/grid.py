"""What the accuracy recipes share: real sets as image folders, and a grid of fits that resumes.

A grid is a list of `Job`.  Each runs ``edgewise fit``'s own code in one of a few long-lived
processes (one torch thread each, which on two cores beats one process with two threads) and
leaves ``STATE/jobs/KEY.json``; a job whose file exists is not run again.
"""

import hashlib
import json
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from edgewise.core.files import add_result

RESULTS = Path(__file__).parent / "results"
WEIGHTS = {0.35: "mobilenet_v2_w035_imagenet_backbone.safetensors", 1.0: "mobilenet_v2_w100_imagenet.safetensors"}
FAMILIES = {  # of the other weight files
    "mobilenet_v1_w025_imagenet": "mobilenet_v1",
    "mcunet_5fps_imagenet": "mcunet",
    "mcu_mobilenet_v2_w035_imagenet": "mcunet",
    "mcu_proxyless_w030_imagenet": "mcunet",
    "cifar10_resnet20": "resnet20",
    "cifar10_resnet56": "resnet56",
}
CUT = {  # set: (packed set, photos a class for training, for the test)
    "cifar10": ("cifar10", 100, 200),
    "cifar10_500": ("cifar10", 500, 200),
    "mnist": ("mnist_t10k", 100, 150),
    "pneumonia": ("pneumoniamnist", None, None),
}


@dataclass(frozen=True)
class Job:
    """One fit: a set, MobileNetV2 of a width or the network of a weight file, a method with settings, a seed."""

    data: str
    width: float | None
    method: str
    seed: int
    epochs: int = 6
    val_fraction: float = 0.0
    image_size: int = 128
    lr: float | None = None
    side_lr: float | None = None
    label_smoothing: float = 0.0
    crop_scale: float | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    weights: str = ""
    frozen_bits: int = 32

    def __post_init__(self) -> None:
        if (self.width is None) != (self.weights in FAMILIES):
            raise ValueError(f"width is {self.width} and weights {self.weights!r}: name one of the two")

    @property
    def family(self) -> str:
        return FAMILIES.get(self.weights, "mobilenet_v2")

    def weights_in(self, shared: Path) -> Path:
        """The weight file."""
        name = f"{self.weights}.safetensors" if self.width is None else WEIGHTS[self.width]
        return shared / "data" / "weights" / name

    @property
    def arm(self) -> tuple[Any, ...]:
        """Everything but the seed: what is averaged over."""
        values = {**asdict(self), "settings": json.dumps(dict(self.settings), sort_keys=True)}
        del values["seed"]
        return tuple(values.values())

    @property
    def key(self) -> str:
        values = asdict(self)
        for later, without in (("weights", ""), ("frozen_bits", 32)):
            if values[later] == without:  # so that jobs finished before it came keep their keys
                del values[later]
        text = json.dumps(values, sort_keys=True)
        where = self.width or self.weights
        return f"{self.data}-{where}-{self.method}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def prepare(shared: Path, state: Path, names: Sequence[str]) -> None:
    """Unpack the sets ``names`` below ``state/images`` with the tool that comes with the data."""
    tool = shared / "tools" / "unpack.py"
    for name in names:
        target, part = state / "images" / name, state / "images" / f".{name}.part"
        if target.exists():
            continue
        shutil.rmtree(part, ignore_errors=True)
        packed, train, test = CUT.get(name, (name, None, None))
        _unpack(tool, packed, part, test)
        if train != test:
            shutil.rmtree(part / "train")
            other = part.with_suffix(".train")
            _unpack(tool, packed, other, train)
            (other / "train").rename(part / "train")
            shutil.rmtree(other)
        shutil.rmtree(part / "val", ignore_errors=True)  # pneumonia's: the last epoch counts, as on the other sets
        part.rename(target)


def run_grid(jobs: Sequence[Job], shared: Path, state: Path, processes: int = 2) -> list[dict[str, Any]]:
    """Run what has not run yet; the rows of all jobs, in order."""
    prepare(shared, state, sorted({job.data for job in jobs}))
    todo = _missing(jobs, state)
    print(f"{len(jobs)} jobs, {len(todo)} to run", flush=True)
    if todo:
        with multiprocessing.get_context("spawn").Pool(processes, _one_thread) as pool:
            for row in pool.imap_unordered(_run, [(job, shared, state) for job in todo]):
                # never the test accuracy: whoever is choosing may be watching
                shown = ("data", "width", "weights", "method", "seed", "val", "seconds")
                print(json.dumps({k: row[k] for k in shown}), flush=True)
    return finished(jobs, state)


def finished(jobs: Sequence[Job], state: Path) -> list[dict[str, Any]]:
    """The rows of those jobs that have run, in order; each has its job's ``key``."""
    files = {job.key: state / "jobs" / f"{job.key}.json" for job in jobs}
    return [{**json.loads(path.read_text()), "key": key} for key, path in files.items() if path.exists()]


def write_result(name: str, result: Mapping[str, Any]) -> Path:
    """Add ``result`` to ``recipes/results``."""
    return add_result(RESULTS, name, result)


def newest(name: str) -> Any:
    """The latest result ``NAME_DATE.json`` in ``recipes/results``, or None."""
    parts = {path: path.stem.removeprefix(f"{name}_").split("_") for path in RESULTS.glob(f"{name}_*.json")}
    # a number follows the date from the second of a day on
    files = sorted(parts, key=lambda path: (parts[path][0], int((parts[path][1:] or ["1"])[0])))
    return json.loads(files[-1].read_text()) if files else None


def mean_std(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and sample standard deviation (None for a single value)."""
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None


def _sparsity(artifact: Path) -> dict[str, float]:
    from edgewise.cost.sparsity import sparsity
    from edgewise.jobs.opening import open_artifact

    opened = open_artifact(artifact, lean=None)
    size = opened.preprocess.size
    return asdict(sparsity(opened.model, (3, size, size)))


def _missing(jobs: Sequence[Job], state: Path) -> list[Job]:
    unique = {job.key: job for job in jobs}
    return [job for key, job in unique.items() if not (state / "jobs" / f"{key}.json").exists()]


def _unpack(tool: Path, name: str, target: Path, per_class: int | None) -> None:
    extra = ["--per-class", str(per_class)] if per_class else []
    subprocess.run([sys.executable, str(tool), name, str(target), *extra], check=True, stdout=subprocess.DEVNULL)


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)
    os.nice(10)


def _run(task: tuple[Job, Path, Path]) -> dict[str, Any]:
    from edgewise.jobs.fit import FitRequest, fit_run
    from edgewise.lean import lean_named

    job, shared, state = task
    out = state / "runs" / job.key
    shutil.rmtree(out, ignore_errors=True)
    began = time.monotonic()
    record = fit_run(
        FitRequest(
            str(state / "images" / job.data),
            job.family,
            width=job.width,
            weights=str(job.weights_in(shared)),
            method=job.method,
            method_settings=dict(job.settings),
            epochs=job.epochs,
            image_size=job.image_size,
            lr=job.lr,
            side_lr=job.side_lr,
            label_smoothing=job.label_smoothing,
            val_fraction=job.val_fraction,
            lean=lean_named("fast", job.frozen_bits),  # learns what "small" learns, in less time
            workers=0,
            seed=job.seed,
            **({} if job.crop_scale is None else {"crop_scale": job.crop_scale}),
        ),
        out,
    )
    row = {
        **asdict(job),
        "val": record["metrics"]["val_accuracy"],
        "test": record["metrics"]["test_accuracy"],
        "lr_used": record["config"]["lr"],
        "side_lr_used": record["config"]["side_lr"],
        "crop_scale_used": record["config"]["crop_scale"],
        "trainable_params": record["sizes"]["trainable_params"],
        "artifact_bytes": record["sizes"]["artifact_bytes"],
        "kept_mb": record["cost"]["kept_mb"],
        "history": [{key: row[key] for key in ("epoch", "train_accuracy")} for row in record["history"]],
        "sparsity": _sparsity(out / "artifact") if "mask" in job.method else None,
        "seconds": round(time.monotonic() - began, 1),
    }
    target = state / "jobs" / f"{job.key}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(".part")
    part.write_text(json.dumps(row, indent=1))
    part.replace(target)
    shutil.rmtree(out / "checkpoint", ignore_errors=True)
    return row
