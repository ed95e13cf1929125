"""Records of reprogrammings made of plausible numbers, for the tests of their page."""

from pathlib import Path
from typing import Any

from report_samples import DIGITS, fit_record, write_run

from edgewise.core.runs import RunFolder


def reprogram_record(
    classes: list[str] = DIGITS[:4], black: bool = True, remote: bool = True, weights: bool = False, **fit: Any
) -> dict[str, Any]:
    """``black``: its source only answers, behind an address where ``remote``; ``weights``: labels are weighted."""
    shares = [0.5 / (1 + place) if weights else None for place in range(5)]
    base = fit_record(classes, **{"each": 40, "accuracy": 0.8, "mistakes": 4, **fit})
    remote = black and remote
    labels = [f"label {10 * index}" for index in range(5)]
    planned = {"mapping": 600, "training": 15_600, "validation": 1_200, "scoring": 320, "probes": 12}
    return {
        **{key: base[key] for key in ("environment", "seeds", "data", "history", "notes", "mistakes", "seconds")},
        "kind": "reprogram",
        "command": "edgewise reprogram photos --source http://127.0.0.1:8000 --budget 20000 --price 0.0015",
        "config": {
            "data": "photos",
            "source": "http://127.0.0.1:8000" if remote else "mobilenet_v2",
            "transform": {"name": "pad", "size": 168, "grid": 8},
            "mapping": {"name": "frequency", "labels": 5},
            "trainer": {"name": "sphere" if black else "gradient", "lr": 0.05},
            "budget": 20_000 if black else None,
            "epochs": None,
        },
        "metrics": {**base["metrics"], "mapping_alone_accuracy": 0.412},
        "source": {
            "name": "http://127.0.0.1:8000" if remote else "mobilenet_v2",
            "calls_itself": "mobilenet_v2" if remote else None,
            "fingerprint": "ab" * 32,
            "after": None if remote else "ab" * 32,
            "checked": "answers" if remote else "weights",
            "classes": 1000,
            "shape": [3, 224, 224],
            "tells": "probs" if black else "logits",
            "remote": remote,
        },
        "asked": {
            "queries": 17_412,
            "planned": planned,
            "budget": 20_000,
            "price": 0.0015,
            "cost": 26.118,
            "sent_bytes": 17_412 * 3 * 224 * 224 if remote else None,
            "received_bytes": 7_312_000 if remote else None,
            "epochs": 6,
            "steps": 5,
            "whole_steps": 38,
        }
        if black
        else None,
        "mapping": [
            {
                "class": name,
                "labels": [{"label": label, "weight": share} for label, share in zip(labels, shares, strict=True)],
            }
            for name in classes
        ],
        "canvas": "assets/canvas.png",
        "samples": [
            {
                "picture": f"assets/sample-{index + 1:02d}.png",
                "file": f"test/{name}/1.jpg",
                "truth": name,
                "predicted": classes[0],
                "source_says": "label 340",
                "source_share": 0.61,
            }
            for index, name in enumerate(classes[:8])
        ],
        "cost": {"measured_rss_mb": 201.6},
        "sizes": {"trained_numbers": 192, "photo_side": 168, "artifact_bytes": 1_480, "weight_bytes": 14_156_376},
    }  # fmt: skip


def write_reprogramming(folder: Path, record: dict[str, Any], side: int = 224) -> Path:
    """A run folder with ``record`` and every picture it names."""
    pictures = [row["picture"] for row in record["samples"]] + ([record["canvas"]] if record["canvas"] else [])
    write_run(folder, {**record, "samples": pictures}, side)
    RunFolder(folder).write_record(record)
    return folder
