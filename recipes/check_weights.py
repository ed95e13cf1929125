"""Do the published weights, as Edgewise loads them, reach the accuracy they should?

    python recipes/check_weights.py --data DIR [--limit N]

``DIR`` holds ``weights/*.safetensors`` and ``images/*.npz`` (packed JPEG bytes: ``data``,
``offsets``, ``labels``).  Scored with the package's own loading and preprocessing:

- ImageNet networks on 1,000 photos, one a class, shorter side 160 (bilinear, antialiased, to
  size / 0.875, then the centre crop).  Most of them are training photos, so these numbers prove
  the loading and nothing more.
- CIFAR ResNets on the 10,000 test images, recompressed as JPEG.
- ``mobilenet_v2`` 0.35, which has no head: a ridge probe on flowers5 at 128 px.  Its strength is
  chosen on a fifth of the training photos; the test photos are scored once.

Expected values are those of an independent script, on the same images.  With ``--limit`` only N
evenly spaced images a set are scored, nothing is judged and nothing is written.
"""

import argparse
import io
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import torch
from PIL import Image
from torch import Tensor, nn

from edgewise import __version__
from edgewise.backbones import Backbone, load
from edgewise.core.files import add_result
from edgewise.core.preprocess import Preprocess
from edgewise.data.transforms import evaluation_image
from edgewise.layers.normalise import normalise

BATCH, THREADS = 50, 2
STRENGTHS = tuple(10.0**power for power in range(-1, 6))


@dataclass(frozen=True)
class Check:
    """One file: its family, what it is scored on, and the top-1 (percent) it must reach ± ``within``."""

    file: str
    family: str
    images: str
    expected: float
    within: float


IN, CIFAR = "imagenet1k_one_per_class", "cifar10_test"
CHECKS = (
    Check("mobilenet_v2_w100_imagenet", "mobilenet_v2", IN, 71.4, 1.0),
    Check("mobilenet_v1_w025_imagenet", "mobilenet_v1", IN, 48.8, 1.0),
    Check("mcunet_5fps_imagenet", "mcunet", IN, 57.3, 1.0),
    Check("mcu_mobilenet_v2_w035_imagenet", "mcunet", IN, 48.9, 1.0),
    Check("mcu_proxyless_w030_imagenet", "mcunet", IN, 51.1, 1.0),
    Check("cifar10_resnet20", "resnet20", CIFAR, 81.0, 0.5),
    Check("cifar10_resnet32", "resnet32", CIFAR, 82.6, 0.5),
    Check("cifar10_resnet56", "resnet56", CIFAR, 83.2, 0.5),
)
PROBE_FILE, PROBE_SIZE, PROBE_AT_LEAST = "mobilenet_v2_w035_imagenet_backbone", 128, 85.0


@dataclass(frozen=True, eq=False)
class Packed:
    """A set of JPEG images in one array."""

    data: np.ndarray
    offsets: np.ndarray
    labels: Tensor

    @classmethod
    def open(cls, path: Path) -> "Packed":
        with np.load(path, allow_pickle=False) as packed:
            return cls(packed["data"], packed["offsets"], torch.from_numpy(packed["labels"].astype(np.int64)))

    def image(self, index: int) -> Image.Image:
        jpeg = self.data[self.offsets[index] : self.offsets[index + 1]].tobytes()
        return Image.open(io.BytesIO(jpeg)).convert("RGB")

    def evenly(self, limit: int | None) -> list[int]:
        """All indices, or ``limit`` of them, evenly spaced."""
        count = len(self.labels)
        return list(range(count)) if limit is None or limit >= count else [i * count // limit for i in range(limit)]

    def batches(self, rows: Sequence[int], preprocess: Preprocess) -> Iterator[Tensor]:
        """Normalised (BATCH, 3, S, S) of the images at ``rows``, decoded ahead in threads."""
        chunks = [rows[i : i + BATCH] for i in range(0, len(rows), BATCH)]

        def batch(chunk: Sequence[int]) -> Tensor:
            views = torch.stack([evaluation_image(self.image(i), preprocess) for i in chunk])
            return normalise(views, preprocess).contiguous(memory_format=torch.channels_last)

        with ThreadPoolExecutor(THREADS) as pool:
            yield from pool.map(batch, chunks)


@torch.inference_mode()
def logits_of(backbone: Backbone, images: Packed, rows: Sequence[int]) -> Tensor:
    """(len(rows), classes)"""
    network = backbone.module.eval().to(memory_format=torch.channels_last)
    return torch.cat([network(batch) for batch in images.batches(rows, backbone.input)])


def accuracy(backbone: Backbone, images: Packed, limit: int | None = None) -> dict[str, float]:
    """``{n, top1, top5}``, percent."""
    rows = images.evenly(limit)
    ranked = logits_of(backbone, images, rows).topk(5).indices
    hits = ranked == images.labels[rows, None]
    return {
        "n": len(rows),
        "top1": round(100 * hits[:, 0].float().mean().item(), 2),
        "top5": round(100 * hits.any(1).float().mean().item(), 2),
    }


@torch.inference_mode()
def features_of(backbone: Backbone, images: Packed, rows: Sequence[int]) -> Tensor:
    """What enters the head: (len(rows), features), float64."""
    entered: list[Tensor] = []

    def note(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        entered.append(args[0].double())

    handle = backbone.module.get_submodule(backbone.head).register_forward_pre_hook(note)
    try:
        logits_of(backbone, images, rows)
    finally:
        handle.remove()
    return torch.cat(entered)


def probe(backbone: Backbone, train: Packed, test: Packed, limit: int | None = None) -> dict[str, float]:
    """Ridge regression onto ±1 targets: ``{n_train, n_test, strength, val, top1}``, percent."""
    rows, test_rows = train.evenly(limit), test.evenly(limit)
    x, y = features_of(backbone, train, rows), train.labels[rows]
    held = _a_fifth(y)
    scores = {s: _score(_ridge(x[~held], y[~held], s), x[held], y[held]) for s in STRENGTHS}
    best = max(scores, key=lambda strength: scores[strength])
    top1 = _score(_ridge(x, y, best), features_of(backbone, test, test_rows), test.labels[test_rows])
    return {"n_train": len(rows), "n_test": len(test_rows), "strength": best, "val": scores[best], "top1": top1}


def _a_fifth(labels: Tensor) -> Tensor:
    """A mask with every fifth image of each class, in a seeded order."""
    held = torch.zeros(len(labels), dtype=torch.bool)
    generator = torch.Generator().manual_seed(0)
    for label in labels.unique():
        rows = (labels == label).nonzero()[:, 0]
        held[rows[torch.randperm(len(rows), generator=generator)[: max(1, len(rows) // 5)]]] = True
    return held


def _ridge(x: Tensor, y: Tensor, strength: float) -> tuple[Tensor, Tensor]:
    """Weights (features, classes) and offset (classes,); the offset is not shrunk."""
    targets = 2 * nn.functional.one_hot(y).double() - 1
    mean, middle = x.mean(0), targets.mean(0)
    centred = x - mean
    gram = centred.T @ centred + strength * torch.eye(x.shape[1], dtype=x.dtype)
    weights = torch.linalg.solve(gram, centred.T @ (targets - middle))
    return weights, middle - mean @ weights


def _score(fitted: tuple[Tensor, Tensor], x: Tensor, y: Tensor) -> float:
    weights, offset = fitted
    return round(100 * ((x @ weights + offset).argmax(1) == y).double().mean().item(), 2)


def run(data: Path, limit: int | None = None) -> list[dict[str, Any]]:
    """One row a file: what was expected, what came out, whether it passed (None under ``limit``)."""
    sets = {name: Packed.open(data / "images" / f"{name}.npz") for name in (IN, CIFAR)}
    rows: list[dict[str, Any]] = []
    for check in CHECKS:
        began = time.monotonic()
        backbone = load(check.family, data / "weights" / f"{check.file}.safetensors")
        found = accuracy(backbone, sets[check.images], limit)
        passed = abs(found["top1"] - check.expected) <= check.within if limit is None else None
        rows.append({**asdict(check), **found, "passed": passed, **_described(backbone, began)})
        print(f"{check.file:<38} top-1 {found['top1']:6.2f}  expected {check.expected} ± {check.within}", flush=True)
    began = time.monotonic()
    backbone = load("mobilenet_v2", data / "weights" / f"{PROBE_FILE}.safetensors", image_size=PROBE_SIZE)
    train, test = (Packed.open(data / "images" / f"flowers5_{part}.npz") for part in ("train", "test"))
    found = probe(backbone, train, test, limit)
    passed = found["top1"] >= PROBE_AT_LEAST if limit is None else None
    expected = {"file": PROBE_FILE, "family": "mobilenet_v2", "images": "flowers5 (ridge probe)"}
    rows.append({**expected, "at_least": PROBE_AT_LEAST, **found, "passed": passed, **_described(backbone, began)})
    print(f"{PROBE_FILE:<38} probe {found['top1']:6.2f}  expected at least {PROBE_AT_LEAST}", flush=True)
    return rows


def _described(backbone: Backbone, began: float) -> dict[str, Any]:
    assert backbone.weights is not None
    settings = {name: value for name, value in backbone.settings.items() if name != "spec"}
    seconds = round(time.monotonic() - began, 1)
    return {
        "settings": settings,
        "input": backbone.input.to_json(),
        "sha256": backbone.weights.sha256,
        "fingerprint": backbone.fingerprint,
        "seconds": seconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    args = parser.parse_args()
    torch.set_num_threads(THREADS)
    rows = run(args.data, args.limit)
    if args.limit is not None:
        return
    result = {
        "recipe": "recipes/check_weights.py",
        "settings": {"batch": BATCH, "resize": "Pillow bilinear, antialiased", "strengths": STRENGTHS},
        "environment": {
            "edgewise": __version__,
            "torch": torch.__version__,
            "pillow": PIL.__version__,
            "cpu": torch.backends.cpu.get_cpu_capability(),
        },
        "rows": rows,
    }
    print(f"Written: {add_result(args.out, 'check_weights', result)}")
    if failed := [row["file"] for row in rows if not row["passed"]]:
        raise SystemExit(f"Not within what was expected: {', '.join(failed)}.")


if __name__ == "__main__":
    main()
