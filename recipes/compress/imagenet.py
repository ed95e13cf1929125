"""What the recipes in ImageNet's layout share: the photos, AlexNet with batch norms, one compression as a run.

The photos are a folder of yours, ``train/CLASS/…`` and ``val/CLASS/…`` (ImageNet's own names, n01440764 and so on); the
part ``val`` is scored at the end and chooses nothing.  With ``--quick`` they are a miniature in that layout, drawn by
the recipe: it shows that the recipe runs, and its numbers mean nothing.

Where this differs from the dissertation: SGD with momentum at a rate of 0.01 for Adam at 1e-4 (the run's optimizer), a
cosine for its steps.  lambda and a are the sweep's on ResNet-20, which a real run has to choose anew.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from trials import Budget, Numbers, Run, chosen, collected, rows, write

from edgewise.jobs.compress import Compression, CompressRequest, compress

FULL, QUICK = Budget(0, 50), Budget(0, 1)
NUMBERS = ("top1", "group_sparsity", "overall_sparsity", "eq_2_8", "with_ends", "file")
SIZE, SMALL = 224, 64  # pixels


class AlexNetBn(nn.Module):
    """AlexNet of 96, 256, 384, 384, 256 filters in one tower, batch norms behind convolutions and hidden layers."""

    def __init__(self, classes: int = 1000, hidden: int = 4096) -> None:
        super().__init__()
        pool = nn.MaxPool2d(3, 2)
        self.features = nn.Sequential(
            *_layer(3, 96, 11, 4, 2), pool, *_layer(96, 256, 5, 1, 2), pool,
            *_layer(256, 384, 3, 1, 1), *_layer(384, 384, 3, 1, 1), *_layer(384, 256, 3, 1, 1),
        )  # fmt: skip
        self.pool = nn.AdaptiveAvgPool2d(1) if hidden < 1024 else nn.MaxPool2d(3, 2)
        inputs = 256 if hidden < 1024 else 256 * 6 * 6
        self.classifier = nn.Sequential(
            nn.Linear(inputs, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Dropout(0.5),
            nn.Linear(hidden, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, classes),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classifier(torch.flatten(self.pool(self.features(x)), 1))
        return logits


def _layer(inputs: int, outputs: int, kernel: int, stride: int, padding: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()


def asked(doc: str | None) -> argparse.Namespace:
    """What these recipes are told; ``shared`` is the folder of photos."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="ImageNet: train/CLASS/ and val/CLASS/")
    parser.add_argument("--weights", type=Path, help="the network's weights in floats (.safetensors, .pth)")
    parser.add_argument("--state", type=Path, required=True, help="where finished runs are kept")
    parser.add_argument("--seeds", type=int, default=3, help="runs of every arm")
    parser.add_argument("--quick", action="store_true", help="one seed and epoch on a miniature in the same layout")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.seeds, arguments.data = 1, miniature(arguments.state / "miniature")
    elif arguments.data is None or arguments.weights is None:
        parser.error("name --data and --weights, or run --quick")
    arguments.shared = arguments.data
    return arguments


def tabled(
    script: str,
    arguments: argparse.Namespace,
    network: str,
    arms: Sequence[str],
    pe: int,
    claims: Callable[[Sequence[Mapping[str, Any]]], Sequence[Mapping[str, Any]]],
) -> Path:
    """Compress ``network`` by every one of ``arms``, and write the rows with their claims."""
    size, settings = QUICK if arguments.quick else FULL, {**chosen(), "pe": pe}
    weights = None if arguments.quick else str(arguments.weights)
    runs: list[Run] = []
    for name in arms:
        own = {"network": network, "epochs": size.epochs, "weights": weights, "arm": name, **settings}
        runs += [Run(compressed, network, name, seed, own) for seed in range(arguments.seeds)]
    table = rows(collected(runs, arguments, 1 if arguments.quick else 2), *NUMBERS)
    return write(
        script, arguments, {"budget": asdict(size), "settings": settings, "rows": table, "claims": claims(table)}
    )


def compressed(
    data: Path, state: Path, seed: int, network: str, epochs: int, weights: str | None, **settings: Any
) -> Numbers:
    """One compression of ``resnet18`` or ``alexnet``; without weights small, and from random ones."""
    module = None
    if network == "alexnet":
        torch.manual_seed(seed)
        classes = sum(one.is_dir() for one in (data / "train").iterdir())
        module = AlexNetBn(classes, 4096 if weights else 64)
    words = "-".join(f"{key}={value}" for key, value in sorted(settings.items()))
    out = state / "imagenet" / f"{network}-{epochs}-{words}-{seed}"
    request = CompressRequest(
        str(data),
        network,
        weights=weights if weights or module is not None else "none",
        compression=Compression(**settings),
        epochs=epochs,
        batch_size=256 if weights else 8,
        image_size=SIZE if weights else SMALL,
        lr=0.01,
        weight_decay=5e-6,
        pad=0,
        crop_scale=0.08,
        workers=0,
        seed=seed,
    )
    record = compress(request, out, resume=out.exists(), module=module)
    found = record["compress"]
    return {
        "top1": 100 * record["metrics"]["accuracy"],
        **{key: 100 * found[key] for key in ("group_sparsity", "overall_sparsity")},
        **found["rates"],
        "layers": [
            {key: layer[key] for key in ("name", "shape", "group_sparsity", "overall_sparsity")}
            for layer in found["layers"]
        ],
    }


def miniature(folder: Path) -> Path:
    """Three classes of coloured noise, 12 photos to train on and 4 to score each, in ImageNet's layout."""
    if folder.exists():
        return folder
    part, noise = folder.with_name(f".{folder.name}.part"), np.random.default_rng(0)
    for split, count in (("train", 12), ("val", 4)):
        for name, colour in (("n01440764", (40, 60, 200)), ("n01443537", (50, 170, 60)), ("n02102040", (200, 50, 40))):
            own = part / split / name
            own.mkdir(parents=True, exist_ok=True)
            for number in range(count):
                pixels = np.clip(np.array(colour) + noise.normal(0, 40, (80, 96, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(own / f"{name}_{number}.JPEG")
    part.rename(folder)
    return folder
