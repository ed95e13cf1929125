"""Records of compressions made of plausible numbers, for the tests of their page."""

import base64
import math
import random
from collections.abc import Sequence
from typing import Any

from report_samples import DIGITS, fit_record

BITS = {0: 0, 1: 1, -1: 2}


def resnet(blocks: int = 3) -> list[tuple[str, tuple[int, int, int, int]]]:
    """The compressed layers of the CIFAR ResNet with so many blocks in a stage: names and shapes."""
    found = []
    for stage, width in enumerate((16, 32, 64), 1):
        for block in range(blocks):
            before = width // 2 if stage > 1 and block == 0 else width
            found.append((f"layer{stage}.{block}.conv1", (width, before, 3, 3)))
            found.append((f"layer{stage}.{block}.conv2", (width, width, 3, 3)))
    return found


def packed(codes: Sequence[int]) -> str:
    """Two bits a code, four codes to a byte, the first in the lowest bits; as base64."""
    padded = [BITS[code] for code in codes] + [0] * (-len(codes) % 4)
    quads = (padded[start : start + 4] for start in range(0, len(padded), 4))
    return base64.b64encode(bytes(sum(pair << 2 * place for place, pair in enumerate(quad)) for quad in quads)).decode()


def compress_record(
    layers: Sequence[tuple[str, tuple[int, int, int, int]]] | None = None,
    pe: int = 16,
    arm: str = "wpc",
    epochs: int = 12,
    shown: int = 1,
    seed: int = 0,
    **fit: Any,
) -> dict[str, Any]:
    """A run whose numbers agree with one another; ``shown`` is the index of the layer with its codes."""
    layers = resnet() if layers is None else layers
    draw, ternary, clipped = random.Random(seed), arm in ("wpc", "naive", "tern"), arm == "wpc"
    rows, norms, ends, every = [], {}, {}, {}
    for depth, (name, (filters, channels, high, wide)) in enumerate(layers):
        groups, size = filters * channels // pe, pe * high * wide
        share = 0.08 + 0.6 * depth / len(layers) if arm != "tern" else 0.0
        absent = [draw.random() < share for _ in range(groups)]
        codes = [
            0 if gone else draw.choice((-1, -1, 0, 0, 0, 1, 1)) for gone in absent for _ in range(size)
        ]  # fmt: skip
        values = [abs(draw.gauss(0.05, 0.03)) if gone else abs(draw.gauss(1.2, 0.35)) for gone in absent]
        norms[name] = [round(value, 5) for value in values]
        stored = groups - sum(absent)
        ends[name] = [0.7 * math.fsum(values) / groups if clipped else None, 1 - stored / groups]
        every[name] = codes
        rows.append(
            {
                "name": name,
                "shape": [filters, channels, high, wide],
                "groups": groups,
                "stored": stored,
                "group_sparsity": 1 - stored / groups,
                "overall_sparsity": codes.count(0) / len(codes),
                "alpha": 0.05 + 0.1 * draw.random() if ternary else None,
                "delta": ends[name][0],
            }
        )
    groups, stored = sum(row["groups"] for row in rows), sum(row["stored"] for row in rows)
    base = fit_record(DIGITS, **{"each": 40, "accuracy": 0.86, "mistakes": 6, "epochs": epochs, **fit})
    for row in base["history"]:
        done = 1 - math.exp(-4 * row["epoch"] / epochs)
        row["penalty"] = (0.9 - 0.5 * done) if arm in ("wpc", "naive", "prune") else 0.0
        row["layers"] = {
            name: [None if delta is None else delta * (2.4 - 1.4 * done), share * done]
            for name, (delta, share) in ends.items()
        }
    if base["history"]:
        base["history"][-1]["layers"] = ends
    base["metrics"]["best_epoch"] = epochs or None
    rate = groups / max(stored, 1) * (16 if ternary else 1) if rows else None
    name, shape = layers[shown] if layers else ("", ())
    return {
        **{key: base[key] for key in ("environment", "seeds", "data", "metrics", "history", "notes", "mistakes")},
        "kind": "compress",
        "command": f"edgewise compress photos --backbone resnet20 --weights resnet20.safetensors --pe {pe} --arm {arm} "
        "--lambda 0.002 --clip 0.7 --epochs 12 --out runs/small",
        "config": {"data": "photos", "backbone": "resnet20", "width": None, "pe": pe, "arm": arm},
        "compress": {
            "arm": arm,
            "pe": pe,
            "lam": 0.002,
            "clip": 0.7,
            "first_last": "float",
            "layers": rows,
            "group_sparsity": 1 - stored / groups if groups else 0.0,
            "overall_sparsity": sum(codes.count(0) for codes in every.values()) / max(1, sum(map(len, every.values()))),
            "rates": {"eq_2_8": rate, "with_ends": rate and rate * 0.91, "file": rate and rate * 0.83},
            "bytes": {"float": 1_078_888, "file": 61_240 if ternary else 700_000},
            "norms": norms,
            "tiles": {"name": name, "shape": list(shape), "codes": packed(every[name])} if ternary and rows else None,
            "dead": [],
        },
        "seconds": 412.0,
    }  # fmt: skip
