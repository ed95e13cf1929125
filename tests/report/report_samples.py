"""Run folders made of plausible numbers, for the tests of the reports."""

import json
import math
import random
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from edgewise.core.runs import RunFolder

FLOWERS = ["daisy", "dandelion", "rose", "sunflower", "tulip"]
DIGITS = [str(digit) for digit in range(10)]
METHODS = (
    ("last", "Last layer", 0.905, 2_570, 11_400, 0.02),
    ("bias", "Biases", 0.942, 9_800, 42_600, 11.9),
    ("repnet", "Rep-Net", 0.972, 118_000, 481_000, 6.4),
    ("full", "Full fine-tuning", 0.981, 412_000, 1_690_000, 24.7),
)


def fit_record(
    classes: list[str] = FLOWERS,
    accuracy: float = 0.9,
    each: int = 80,
    epochs: int = 10,
    mistakes: int = 12,
    split: str = "test",
    seed: int = 0,
) -> dict[str, Any]:
    """A record of a fit whose numbers agree with one another."""
    draw = random.Random(seed)
    size = len(classes)
    confusion = [[0] * size for _ in classes]
    for truth, row in enumerate(confusion):
        ability = min(1.0, accuracy + draw.uniform(-0.08, 0.08))
        near = [(truth + step) % size for step in (1, 1, 1, 2, size - 1)]
        for _ in range(each):
            answer = truth if draw.random() < ability else draw.choice([*near, draw.randrange(size)])
            row[answer] += 1
    n = each * size
    right = sum(confusion[index][index] for index in range(size)) / n
    per_class = {name: row[index] / each for index, (name, row) in enumerate(zip(classes, confusion, strict=True))}
    validated = split == "test"
    history = []
    for epoch in range(1, epochs + 1):
        done = 1 - math.exp(-3 * epoch / epochs)
        train, val = 0.3 + 0.69 * done, 0.35 + (right - 0.36) * done - 0.02 * (epoch % 3 == 1)
        history.append(
            {
                "epoch": epoch,
                "train_loss": 1.6 * (1 - done) + 0.05 + 0.02 * draw.random(),
                "train_accuracy": train,
                "val_loss": 1.4 * (1 - done) + 0.3 + 0.03 * draw.random(),
                "val_accuracy": val,
                "lr": 0.001 * (1 - epoch / epochs),
                "seconds": 7.5,
            }
        )
    rows = []
    for index in range(mistakes):
        truth = draw.randrange(size)
        rows.append(
            {
                "file": f"test/{classes[truth]}/photo-{index:03d}.jpg",
                "thumbnail": f"assets/mistake-{index + 1:02d}.jpg",
                "truth": classes[truth],
                "predicted": classes[(truth + 1) % size],
                "confidence": 0.99 - 0.02 * index if index < 40 else 0.1,
            }
        )
    return {
        "kind": "fit",
        "command": "edgewise fit photos/flowers --backbone mobilenet_v2 --width 0.35 "
        "--weights mobilenet_v2_w035.safetensors --method repnet --epochs 10 --image-size 128 --out runs/flowers",
        "config": {
            "method": "repnet",
            "backbone": "mobilenet_v2",
            "width": 0.35,
            "weights": "mobilenet_v2_w035.safetensors",
            "epochs": epochs,
            "batch_size": 8,
            "image_size": 128,
            "lr": 0.001,
            "side_lr": 0.002,
            "balance": False,
            "workers": None,
            "seed": 0,
        },
        "environment": {
            "edgewise": "0.1.0",
            "python": "3.11.7",
            "torch": "2.13.0+cpu",
            "platform": "Linux-6.1.0-x86_64",
            "processor": "x86_64",
            "threads": 2,
        },
        "seeds": {"seed": 0},
        "data": {
            "train": 150 * size,
            "val": 30 * size,
            "test": n,
            "classes": classes,
            "counts": {
                "train": {name: 150 for name in classes},
                "val": {name: 30 for name in classes},
                "test": {name: each for name in classes},
            },
            "skipped": [{"file": "rose/broken.jpg", "reason": "cut off after 1,024 bytes"}],
        },
        "metrics": {
            "val_accuracy": history[-1]["val_accuracy"] if validated and history else right,
            "test_accuracy": right if validated else None,
            "best_epoch": max(1, epochs - 2),
            "split": split,
            "n": n,
            "per_class": per_class,
            "confusion": confusion,
        },
        "cost": {
            "published_mb": None,
            "predicted_mb": None,
            "kept_mb": 21.34,
            "measured_peak_mb": None,
            "measured_rss_mb": 96.1,
            "step_ms": 84.2,
            "trainable_params": 104_517,
            "macs_forward": 19_600_000,
            "macs_backward": 12_100_000,
        },
        "sizes": {
            "trainable_params": 104_517,
            "total_params": 514_700,
            "artifact_bytes": 431_208,
            "backbone_bytes": 1_664_200,
        },
        "history": history,
        "notes": ["Class rose has 6.2 times as many images as tulip; --balance draws every class equally often."],
        "mistakes": rows,
        "seconds": 83.4,
    }


def write_run(folder: Path, record: dict[str, Any], pixels: int = 160) -> Path:
    """A run folder with ``record`` and every picture it names."""
    RunFolder(folder).write_record(record)
    names = [row["thumbnail"] for row in record.get("mistakes", [])] + record.get("samples", [])
    for index, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        drawn(index, pixels).save(path)
    return folder


def drawn(index: int, pixels: int) -> Image.Image:
    """A made-up flower, or for few pixels a made-up digit."""
    draw = random.Random(index)
    if pixels <= 64:
        image = Image.new("L", (8, 8))
        image.putdata([draw.randrange(256) if 1 < spot % 8 < 6 else 0 for spot in range(64)])
        return image.resize((pixels, pixels), Image.Resampling.BICUBIC)
    image = Image.new(
        "RGB", (pixels, pixels), (draw.randrange(40, 90), draw.randrange(90, 140), draw.randrange(40, 80))
    )
    pen = ImageDraw.Draw(image)
    colour = (draw.randrange(180, 256), draw.randrange(60, 220), draw.randrange(60, 220))
    for step in range(9):
        x, y = (pixels / 2 + pixels * 0.27 * wave(step * math.tau / 9) for wave in (math.cos, math.sin))
        pen.ellipse((x - pixels * 0.14, y - pixels * 0.14, x + pixels * 0.14, y + pixels * 0.14), fill=colour)
    pen.ellipse((pixels * 0.36, pixels * 0.36, pixels * 0.64, pixels * 0.64), fill=(230, 190, 60))
    return image


def write_demo(folder: Path, epochs: int = 8) -> Path:
    """A demo's folder with its four sub-runs."""
    rows = []
    for number, (method, title, accuracy, params, size, memory) in enumerate(METHODS):
        record = fit_record(DIGITS, accuracy, each=36, epochs=epochs, mistakes=10, seed=number + 1)
        record["config"] |= {"method": method, "backbone": "pocket", "width": None, "image_size": 32}
        record["sizes"] |= {"trainable_params": params, "artifact_bytes": size, "total_params": 530_000 + params}
        write_run(folder / method, record, pixels=32)
        rows.append(
            {
                "run": method,
                "method": method,
                "label": title,
                "test_accuracy": record["metrics"]["test_accuracy"],
                "val_accuracy": record["metrics"]["val_accuracy"],
                "trainable_params": params,
                "artifact_bytes": size,
                "memory_mb": memory,
                "seconds": 20.0 + 9 * number,
            }
        )
    data = json.loads(json.dumps(record["data"]))
    top = {
        "kind": "demo",
        "command": "edgewise demo --out runs/demo",
        "environment": record["environment"],
        "data": data,
        "title": "Handwritten digits, learned in minutes",
        "rows": rows,
        "samples": [f"assets/sample-{number:02d}.png" for number in range(1, 21)],
        "notes": [],
    }
    return write_run(folder, top, pixels=32)
