"""Pretrain Pocket, the small backbone that ships with Edgewise, on CIFAR-10.

    python recipes/pretrain_pocket.py --data DIR --state DIR [--epochs 30] [--threads 2]

``--data`` holds ``cifar10_train.npz`` and ``cifar10_test.npz`` (packed JPEG bytes: ``data``,
``offsets``, ``labels``, ``classes``).  The state is written after every epoch; the same command
goes on after an interruption.  The last epoch is kept, 1,000 training images are held out only to
watch; the test images are scored once, at the end.  The weights and their record go to
``--out`` (default: the package), the log to ``recipes/results/``.

Nesterov SGD, batch 128, warm-up over 10 % of the steps to 0.2 then cosine to 0, weight decay 5e-4
on convolutions only, label smoothing 0.1, random 4 px shift and flip.
"""

import argparse
import io
import json
import math
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from edgewise.backbones.pocket import pocket
from edgewise.core.files import add_result

MEAN, STD = 0.5, 0.25
PACKAGE_WEIGHTS = Path(__file__).parent.parent / "src/edgewise/backbones/pocket_cifar10.safetensors"


def unpack(path: Path) -> tuple[Tensor, Tensor, list[str]]:
    """All images (N, 3, 32, 32) uint8, labels (N,), class names."""
    with np.load(path, allow_pickle=False) as packed:
        data, offsets, labels, classes = (packed[k] for k in ("data", "offsets", "labels", "classes"))

    def decode(i: int) -> np.ndarray:
        return np.asarray(Image.open(io.BytesIO(data[offsets[i] : offsets[i + 1]].tobytes())).convert("RGB"))

    with ThreadPoolExecutor(2) as pool:
        images = np.stack(list(pool.map(decode, range(len(labels)))))
    return (
        torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(),
        torch.from_numpy(labels.astype(np.int64)),
        [str(c) for c in classes],
    )


def augmented(images: Tensor, generator: torch.Generator) -> Tensor:
    """Shift every image by up to 4 px and flip half of them; uint8 in, normalised float out."""
    n = len(images)
    padded = F.pad(images, (4, 4, 4, 4), value=127)
    dy, dx = (torch.randint(0, 9, (n,), generator=generator) for _ in range(2))
    columns = torch.arange(32) + dx[:, None]
    flip = torch.rand(n, generator=generator) < 0.5
    columns = torch.where(flip[:, None], columns.flip(1), columns)
    rows = torch.arange(32) + dy[:, None]
    shifted = padded[torch.arange(n)[:, None, None], :, rows[:, :, None], columns[:, None, :]]
    return normalised(shifted.permute(0, 3, 1, 2))


def normalised(images: Tensor) -> Tensor:
    return ((images.float() / 255 - MEAN) / STD).contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    model.eval()
    hits = sum(
        int((model(normalised(images[i : i + 500])).argmax(1) == labels[i : i + 500]).sum())
        for i in range(0, len(images), 500)
    )
    model.train()
    return hits / len(images)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=PACKAGE_WEIGHTS)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    args.state.mkdir(parents=True, exist_ok=True)
    checkpoint = args.state / "pocket.pt"

    images, labels, classes = unpack(args.data / "cifar10_train.npz")
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(args.seed))
    held, rest = order[:1000], order[1000:]
    model = pocket(len(classes)).to(memory_format=torch.channels_last)
    decayed = [p for p in model.parameters() if p.ndim == 4]
    other = [p for p in model.parameters() if p.ndim != 4]
    optimizer = torch.optim.SGD(
        [{"params": decayed, "weight_decay": 5e-4}, {"params": other, "weight_decay": 0.0}],
        lr=0.2,
        momentum=0.9,
        nesterov=True,
    )
    batch, steps = 128, len(rest) // 128
    total, log, start = args.epochs * steps, [], 0
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        start, log = saved["epoch"], saved["log"]
    for epoch in range(start, args.epochs):
        began, losses = time.time(), 0.0
        generator = torch.Generator().manual_seed(1000 * args.seed + epoch)
        torch.manual_seed(2000 * args.seed + epoch)
        shuffled = rest[torch.randperm(len(rest), generator=generator)]
        for i in range(steps):
            done = epoch * steps + i
            warm = min(1.0, (done + 1) / (0.1 * total))
            fade = 0.5 * (1 + math.cos(math.pi * max(0.0, (done / total - 0.1) / 0.9)))
            for group in optimizer.param_groups:
                group["lr"] = 0.2 * warm * fade
            rows = shuffled[i * batch : (i + 1) * batch]
            loss = F.cross_entropy(model(augmented(images[rows], generator)), labels[rows], label_smoothing=0.1)
            if not math.isfinite(loss.item()):
                raise SystemExit(f"The loss became {loss.item()} in epoch {epoch + 1}, step {i + 1}.")
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses += loss.item()
        row = {
            "epoch": epoch + 1,
            "loss": round(losses / steps, 4),
            "held_out": accuracy(model, images[held], labels[held]),
            "seconds": round(time.time() - began, 1),
        }
        log.append(row)
        print(json.dumps(row), flush=True)
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch + 1, "log": log}
        torch.save(state, checkpoint.with_suffix(".tmp"))
        os.replace(checkpoint.with_suffix(".tmp"), checkpoint)

    test_images, test_labels, _ = unpack(args.data / "cifar10_test.npz")
    score = accuracy(model, test_images, test_labels)
    metadata = {
        "arch": json.dumps({"family": "pocket", "settings": {}}),
        "input": json.dumps({"size": 32, "mean": [MEAN] * 3, "std": [STD] * 3}),
        "padding": "torch",
        "bn_eps": "1e-05",
        "classes": json.dumps(classes),
        "licence": "Apache-2.0",
        "source": f"recipes/pretrain_pocket.py, CIFAR-10 (JPEG copy), {args.epochs} epochs, seed {args.seed}",
        "accuracy": json.dumps({"cifar10_test_top1": round(score, 4)}),
    }
    tensors = {k: v.contiguous() for k, v in model.state_dict().items() if not k.endswith("num_batches_tracked")}
    save_file(tensors, args.out.with_suffix(".tmp"), metadata)
    os.replace(args.out.with_suffix(".tmp"), args.out)
    result = {
        "recipe": "recipes/pretrain_pocket.py",
        "settings": {"epochs": args.epochs, "seed": args.seed, "threads": args.threads},
        "environment": {"torch": torch.__version__, "hardware": "2-core x86-64 CPU, AVX-512"},
        "cifar10_test_top1": round(score, 4),
        "log": log,
    }
    add_result(Path(__file__).parent / "results", f"pretrain_pocket_seed{args.seed}", result)
    print(f"CIFAR-10 test top-1 {100 * score:.2f} %; weights in {args.out}")


if __name__ == "__main__":
    main()
