"""How long one photo takes: the exported C kernel against PyTorch, ONNX Runtime, and itself without skipping groups.

    python benchmarks/ternary_kernel.py (--run RUN | --weights FILE) [--onnxruntime PYTHON] [--rounds 15] [--write]

One thread, one photo, ``-O3 -march=native``, all in one run in which the contenders take turns.  Subjects: ResNet-20
(of a run of ``edgewise compress``; else of FILE, ternarised, the quarter of its groups with the smallest norms left
out) and the three layers of the dissertation's Table 7, with as many groups as it says.  "All stored" is the same
network with every absent group replaced by one with as many zeros as those that are there.  PYTHON is one with onnx and
onnxruntime (a virtual environment of its own; they are no dependency of ours).  Values do not matter for time: photos
are noise.
Prints a table; ``--write`` adds ``benchmarks/results/ternary_kernel_DATE.json``.
"""

import argparse
import ctypes
import dataclasses
import json
import platform
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from edgewise.backbones import load
from edgewise.compress import Add, Conv, Network, Packed, Pool, Step, Subsample, Ternary, lowered, read_network, shapes
from edgewise.compress.ternary import ternary
from edgewise.core.artifacts import find_artifact
from edgewise.core.files import add_result
from edgewise.core.preprocess import Preprocess
from edgewise.export.following import weight_of
from edgewise.export.library import FAST, FLOAT, compiled, write_sources
from edgewise.export.quantise import quantised
from edgewise.export.source import sources
from edgewise.native.build import LINK

HERE = Path(__file__).parent
SLAB, EMPTY = 16, 0.25
LAYERS = {"stage 1": (16, 32, 9), "stage 2": (32, 16, 33), "stage 3": (64, 8, 119)}  # channels, side, groups stored
MODES = {"int8": (8, ()), "int16": (16, ()), "float": (8, (FLOAT,))}
COUNT = 40  # single runs of a contender in one round

# Times single steps and whole runs, and keeps Python's part of a call out of them.
TIMED = """
#define _POSIX_C_SOURCE 199309L
#include <time.h>
#include "edgewise.c"
void edgewise_time(int32_t step, int32_t count, const uint8_t *photo, double *ms)
{
    static edgewise_number logits[EW_CLASSES];
    for (int32_t i = 0; i < count; i++) {
        struct timespec a, b;
        clock_gettime(CLOCK_MONOTONIC, &a);
        if (step < 0)
            edgewise_run(photo, logits);
        else
            convolve(ew_steps + step, logits);
        clock_gettime(CLOCK_MONOTONIC, &b);
        ms[i] = (double)(b.tv_sec - a.tv_sec) * 1e3 + (double)(b.tv_nsec - a.tv_nsec) * 1e-6;
    }
}
"""

Contender = Callable[[], list[float]]  # milliseconds of COUNT single runs


@dataclasses.dataclass(frozen=True)
class Subject:
    """A network of which the whole is timed, or its step number ``step``."""

    name: str
    network: Network
    step: int = -1

    def groups(self) -> tuple[float, float]:
        """All groups and those that are stored, times the pixels they are computed for."""
        known, every, stored = shapes(self.network), 0, 0
        for number, step in enumerate(self.network.steps):
            if isinstance(step.op, Conv) and isinstance(step.op.weight, Packed) and self.step in (-1, number):
                there = _slabs(step.op.weight).any((2, 3, 4))
                pixels = known[number + 1][1] * known[number + 1][2]
                every, stored = every + there.size * pixels, stored + int(there.sum()) * pixels
        return every, stored


def resnet20(run: Path | None, weights: Path) -> Network:
    if run is not None:
        return read_network(find_artifact(run) / "network.ew3")
    backbone = load("resnet20", weights=str(weights))
    network = lowered(backbone.module.eval(), backbone.input, tuple(map(str, range(10))))
    return with_packed(network)


def with_packed(network: Network) -> Network:
    """``network`` with its inner 3 x 3 convolutions ternarised, in each the groups with the smallest norms left out."""
    steps = []
    for step in network.steps:
        op = step.op
        if isinstance(op, Conv) and isinstance(op.weight, Tensor) and op.weight.shape[2] == 3 < op.weight.shape[1]:
            weight = op.weight.clone()
            groups = weight.view(len(weight), -1, SLAB, 3, 3)
            norms = groups.flatten(2).norm(dim=2)
            groups[norms <= norms.flatten().kthvalue(int(EMPTY * norms.numel())).values] = 0
            step = dataclasses.replace(step, op=dataclasses.replace(op, weight=Packed(ternary(weight), SLAB)))
        steps.append(step)
    return dataclasses.replace(network, steps=tuple(steps))


def layer(channels: int, side: int, stored: int) -> Network:
    """Some channels from the photo, the layer (step 1), and what the program needs behind it."""
    rng = np.random.default_rng(channels)
    codes = rng.integers(-1, 2, (channels * channels // SLAB, SLAB, 3, 3))
    codes[rng.permutation(len(codes))[stored:]] = 0
    weight = Packed(Ternary(torch.from_numpy(codes.reshape(channels, channels, 3, 3)).to(torch.int8), 1.0), SLAB)
    ones, zeros = torch.ones(channels), torch.zeros(channels)
    wide = torch.from_numpy(rng.normal(size=(channels, 3, 1, 1))).float()
    last = torch.from_numpy(rng.normal(size=(2, channels, 1, 1))).float()
    no_padding = (0, 0, 0, 0)
    ops = (
        Conv(wide, (1, 1), no_padding, 1, ones, zeros, "relu"),
        Conv(weight, (1, 1), (1, 1, 1, 1), 1, ones / channels, zeros, "relu"),
        Pool("mean", (side, side), (1, 1), (0, 0)),
        Conv(last, (1, 1), no_padding, 1, torch.ones(2), torch.zeros(2), "none"),
    )
    steps = tuple(Step(op, (number,), f"step{number + 1}") for number, op in enumerate(ops))
    return Network(Preprocess(side), ("a", "b"), steps)


def table_7() -> list[Subject]:
    """The dissertation's three layers."""
    return [Subject(name, layer(*settings), 1) for name, settings in LAYERS.items()]


def all_stored(network: Network) -> Network:
    """Every absent group replaced by one that is stored in the same layer, its codes shuffled."""
    rng, steps = np.random.default_rng(0), []
    for step in network.steps:
        if isinstance(step.op, Conv) and isinstance(step.op.weight, Packed):
            packed = step.op.weight
            slabs = _slabs(packed).copy()
            groups = slabs.reshape(-1, *slabs.shape[2:])
            there = np.flatnonzero(groups.any((1, 2, 3)))
            for absent in np.flatnonzero(~groups.any((1, 2, 3))):
                groups[absent] = rng.permutation(groups[rng.choice(there)].ravel()).reshape(groups.shape[1:])
            codes = torch.from_numpy(groups.reshape(packed.ternary.codes.shape))
            weight = Packed(Ternary(codes, packed.ternary.alpha), packed.slab)
            step = dataclasses.replace(step, op=dataclasses.replace(step.op, weight=weight))
        steps.append(step)
    return dataclasses.replace(network, steps=tuple(steps))


def _slabs(packed: Packed) -> np.ndarray:
    """(N, C / slab, slab, K, K)."""
    codes = packed.ternary.codes.numpy()
    return codes.reshape(len(codes), -1, packed.slab, *codes.shape[2:])


def kernel(subject: Subject, mode: str, folder: Path) -> Contender:
    bits, flags = MODES[mode]
    side = subject.network.preprocess.size
    photos = np.random.default_rng(0).integers(0, 256, (8, side, side, 3), dtype=np.uint8)
    folder.mkdir()
    write_sources(folder, sources(quantised(subject.network, photos, bits)), program=False)
    (folder / "timed.h").write_text((folder / "edgewise.c").read_text())
    (folder / "edgewise.c").write_text(TIMED.replace("edgewise.c", "timed.h"))
    library = ctypes.CDLL(str(compiled(folder, folder / "timed.so", (*FAST, "-fPIC", *LINK, *flags))))
    taken, photo = (ctypes.c_double * COUNT)(), photos[0].tobytes()
    library.edgewise_time(-1, 1, photo, taken)

    def run() -> list[float]:
        library.edgewise_time(subject.step, COUNT, photo, taken)
        return list(taken)

    return run


def eager(subject: Subject) -> Contender:
    """The float network as torch modules, or the one convolution."""
    if subject.step >= 0:
        op = subject.network.steps[subject.step].op
        assert isinstance(op, Conv)
        module: nn.Module = nn.Conv2d(*reversed(weight_of(op).shape[:2]), 3, padding=1).eval()
        image = torch.randn(1, *shapes(subject.network)[subject.step])
    else:
        backbone = load("resnet20", weights="none")
        module, image = backbone.module.eval(), torch.randn(1, 3, backbone.input.size, backbone.input.size)

    @torch.inference_mode()
    def run() -> list[float]:
        taken = []
        for _ in range(COUNT):
            began = time.perf_counter()
            module(image)
            taken.append(1e3 * (time.perf_counter() - began))
        return taken

    return run


def onnx(subject: Subject, python: str, folder: Path) -> tuple[dict[str, Contender], dict[str, str]]:
    """Contenders by name, and what their process says of itself."""
    steps, arrays, known = list(subject.network.steps), {}, shapes(subject.network)
    shape = known[0]
    if subject.step >= 0:
        shape = known[subject.step]
        steps = [dataclasses.replace(steps[subject.step], operands=(0,))]
    described = []
    for number, step in enumerate(steps, 1):
        op = step.op
        row: dict[str, Any] = {"operands": step.operands, "curve": op.curve if isinstance(op, Conv | Add) else "none"}
        if isinstance(op, Conv):
            row |= {"kind": "conv", "stride": op.stride, "padding": op.padding}
            arrays[f"{number}_weight"], arrays[f"{number}_offset"] = weight_of(op).numpy(), op.offset.numpy()
        elif isinstance(op, Subsample):
            row |= {"kind": "subsample", "subsample": (op.stride, op.before, op.after)}
        else:
            row["kind"] = "add" if isinstance(op, Add) else "mean"
        described.append(row)
    file = folder / "network.npz"
    np.savez(file, steps=json.dumps({"steps": described, "shape": shape}), **arrays)
    process = subprocess.Popen(
        [python, str(HERE / "ternary_kernel_onnx.py"), str(file)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    asked, told = process.stdin, process.stdout

    def contender(name: str) -> Contender:
        def run() -> list[float]:
            print(name, COUNT, file=asked, flush=True)
            return list(json.loads(told.readline()))

        return run

    first = told.readline()
    while first and not first.startswith("{"):
        first = told.readline()
    if not first:
        raise SystemExit(f"{python} cannot run ternary_kernel_onnx.py: it needs onnx and onnxruntime.")
    return {f"onnxruntime {name}": contender(name) for name in ("float", "int8")}, json.loads(first)


def measured(subject: Subject, folder: Path, rounds: int, onnx_python: str | None = None) -> dict[str, Any]:
    """The row of one subject: medians over rounds of medians of single runs, and what skipping groups gains."""
    folder.mkdir()
    contenders = {f"ours {mode}": kernel(subject, mode, folder / mode) for mode in MODES}
    whole = dataclasses.replace(subject, network=all_stored(subject.network))
    contenders |= {f"ours {mode}, all stored": kernel(whole, mode, folder / f"{mode}_all") for mode in MODES}
    contenders["torch float"] = eager(subject)
    versions: dict[str, str] = {}
    if onnx_python:
        peers, versions = onnx(subject, onnx_python, folder)
        contenders |= peers
    for run in contenders.values():
        run()
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            taken[name].append(statistics.median(run()))
    every, stored = subject.groups()
    ms = {name: statistics.median(values) for name, values in taken.items()}
    speedup = {mode: ms[f"ours {mode}, all stored"] / ms[f"ours {mode}"] for mode in MODES}
    return {
        "subject": subject.name,
        "ms": ms,
        "ms_least": {name: min(values) for name, values in taken.items()},
        "ideal": every / stored,
        "speedup": speedup,
        "of_ideal": {mode: value * stored / every for mode, value in speedup.items()},
        **versions,
    }


def show(row: dict[str, Any]) -> None:
    print(f"\n{row['subject']}")
    for name, ms in row["ms"].items():
        print(f"  {name:<24}{ms:9.4f} ms{row['ms_least'][name]:9.4f} least{row['ms']['torch float'] / ms:8.2f} x torch")
    for mode, value in row["speedup"].items():
        print(
            f"  skipping groups, {mode:<7}{value:9.2f} x, ideal {row['ideal']:.2f}: {row['of_ideal'][mode]:.2f} of it"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    network = parser.add_mutually_exclusive_group(required=True)
    network.add_argument("--run", type=Path, help="a run of edgewise compress")
    network.add_argument("--weights", type=Path, help="of ResNet-20, made ternary as they are")
    parser.add_argument("--onnxruntime", metavar="PYTHON")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    subjects = [Subject("resnet20", resnet20(arguments.run, arguments.weights)), *table_7()]
    rows = []
    with tempfile.TemporaryDirectory(prefix="edgewise-") as folder:
        for number, subject in enumerate(subjects):
            rows.append(measured(subject, Path(folder, str(number)), arguments.rounds, arguments.onnxruntime))
            show(rows[-1])
    if arguments.write:
        environment = {
            "torch": torch.__version__,
            "python": platform.python_version(),
            "cpu": torch.backends.cpu.get_cpu_capability(),
        }
        of = arguments.run or arguments.weights
        settings = {"network": of.name, "onnxruntime": bool(arguments.onnxruntime), "rounds": arguments.rounds}
        result = {"benchmark": "benchmarks/ternary_kernel.py", "settings": settings, "environment": environment}
        print(add_result(HERE / "results", "ternary_kernel", {**result, "rows": rows}))


if __name__ == "__main__":
    main()
