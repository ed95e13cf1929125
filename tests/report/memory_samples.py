"""Made-up predictions, shaped as `edgewise profile --json` prints them."""

from typing import Any

from edgewise.report.memory_page import Depth, Grown, MemoryRecord


def prediction(scale: float = 1.0, moments: int = 40, **changes: Any) -> dict[str, Any]:
    """Memory that rises and falls; the fullest moment is the middle one."""
    timeline = [
        {"weights": 8.0, "optimizer": 2.0, "input": 1.0, "transient": 0.5, "kept": scale * min(i, moments - i)}
        for i in range(1, moments + 1)
    ]
    fullest = max(timeline, key=lambda kinds: sum(kinds.values()), default={})
    return {
        "trainable_params": 1000,
        "total_params": 2000,
        "uncovered": [],
        "macs_forward": 3e8,
        "macs_backward": 4e8,
        "macs_again": 0,
        "published_mb": 49.72,
        "predicted_mb": sum(fullest.values()) + 1.0,
        "measured_peak_mb": None,
        "measured_rss_mb": None,
        "step_ms": None,
        "fullest": {"operation": "aten.mean.dim", "kinds": fullest},
        "timeline": timeline,
        **changes,
    }


def memory_record(**changes: Any) -> MemoryRecord:
    """A record of the page; ``changes`` replace its fields."""
    ours, other = prediction(), prediction(20.0)
    fields: dict[str, Any] = {
        "command": "edgewise profile --report memory.html",
        "settings": {
            "backbone": "pocket",
            "width": None,
            "method": "repnet",
            "classes": 10,
            "batch_size": 8,
            "lean": "small",
            "frozen_bits": 32,
        },
        "environment": {"torch": "2.9"},
        "size": 224,
        "found": ours,
        "other_lean": "off",
        "other": other,
        "batch_sizes": Grown(*({b: prediction(b * k) for b in (1, 2, 4, 8, 16, 32)} for k in (0.1, 2.0))),
        "image_sizes": Grown(*({s: prediction(s * k) for s in (128, 160, 224, 288, 320)} for k in (0.01, 0.1))),
        "depth": Depth((1000, 5000, 9000), (0.0, 1.5, 2.0)),
        "seconds": 30.0,
    }
    return MemoryRecord(**{**fields, **changes})
