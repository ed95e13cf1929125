"""MobileTL's Theorem 1: its bound on what signed gradients do to the loss, against a real run.

    python recipes/mobiletl/theorem1.py --shared DIR --state DIR [--quick] [--list]

The theorem's setting, since the bound is not claimed outside it: a chain of L hard-swish layers trains by plain
gradient descent, once with hard-swish's gradient and once with its sign, from the same weights.  The data are real:
what the frozen MobileNetV2 0.35 makes of hand signs (its pooled features at 128 px, their 16 principal directions),
whole batches of 50 photos, ten classes through a fixed random readout, mean cross-entropy.

Of every run are measured the constants as `edgewise.layers.signed_activation.loss_distance_bound` reads them: G the
largest of the loss's gradient at the last output and of the layers' own factors over sqrt(N), met on both ways; M
the largest gradient by the weights on both ways and on the line between their ends (a maximum over points: the true
one may be a little larger).  Beside the bound: the distance of the losses, and how far the weights came and lie apart.

Expected: the bound holds, 600 times the true distance with one layer and 10 steps, 10^9 times and more with five, since
psi is 20 to 150.  It is never below the loss at the start, so it does not tell whether signed training is
good.  The runs do: the sign lowers the loss nine tenths as far and more (35 of 36), the losses are 0.13 apart at most.

Time: half a minute, two-core x86-64 CPU.
"""

import argparse
import math
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import torch
import torch.nn.functional as F
from check_weights import Packed, features_of
from claims import claim
from grid import WEIGHTS
from tables import asked, write
from torch import Tensor, nn

from edgewise.backbones import load
from edgewise.layers.signed_activation import STEEPEST, SignedActivation, loss_distance_bound

PHOTOS, WIDTH, CLASSES, RATE = 50, 16, 10, 0.05
LAYERS, STEPS = (1, 2, 3, 5), (10, 100, 400)
POINTS = 21  # of the line between two ends, where the gradient is looked at


class Chain:
    """L hard-swish layers of WIDTH numbers on fixed inputs (PHOTOS, WIDTH), and a fixed readout to CLASSES."""

    def __init__(self, inputs: Tensor, labels: Tensor, layers: int, seed: int, signed: bool) -> None:
        random = torch.Generator().manual_seed(seed)

        def drawn(*shape: int, scale: float) -> Tensor:
            return scale * torch.randn(*shape, generator=random, dtype=torch.float64)

        self.inputs, self.labels = inputs, labels
        self.start = drawn(layers, WIDTH, WIDTH, scale=math.sqrt(2 / WIDTH))
        self.readout = drawn(CLASSES, WIDTH, scale=1 / math.sqrt(WIDTH))
        self.weights = self.start.clone().requires_grad_()
        self.act = SignedActivation(nn.Hardswish()) if signed else nn.Hardswish()
        self.gradient = self.lipschitz = 0.0  # G and M, of what was met so far

    def logits(self, weights: Tensor) -> Tensor:
        """(PHOTOS, CLASSES)"""
        return self._through(weights)[-1] @ self.readout.T

    def loss(self, weights: Tensor) -> Tensor:
        return F.cross_entropy(self.logits(weights), self.labels)

    def gradient_at(self, weights: Tensor) -> Tensor:
        """The true or signed gradient; what it takes to bound it is noted."""
        features = self._through(weights)
        loss = F.cross_entropy(features[-1] @ self.readout.T, self.labels)
        by_weights, by_output = torch.autograd.grad(loss, (weights, features[-1]))
        factors = [_spectral(part) for part in (*weights.detach(), *(a.detach() for a in features[:-1]))]
        self.gradient = max(self.gradient, by_output.norm().item(), max(factors) / math.sqrt(PHOTOS * WIDTH))
        self.lipschitz = max(self.lipschitz, by_weights.norm().item())
        return by_weights

    def train(self, steps: int) -> None:
        for _ in range(steps):
            change = self.gradient_at(self.weights)
            with torch.no_grad():
                self.weights -= RATE * change

    def _through(self, weights: Tensor) -> list[Tensor]:
        """The inputs and the outputs of all layers."""
        features = [self.inputs]
        for weight in weights:
            features.append(self.act(features[-1] @ weight.T))
        return features


def _spectral(matrix: Tensor) -> float:
    return float(torch.linalg.matrix_norm(matrix, 2))


def one(inputs: Tensor, labels: Tensor, layers: int, steps: int, seed: int) -> dict[str, Any]:
    """Both ways of training a chain, what they came to, and the bound."""
    exact, signed = (Chain(inputs, labels, layers, seed, kind) for kind in (False, True))
    for chain in (exact, signed):
        chain.train(steps)
    ends = [chain.weights.detach() for chain in (exact, signed)]
    for part in torch.linspace(0, 1, POINTS, dtype=torch.float64):
        exact.gradient_at(torch.lerp(ends[0], ends[1], part).requires_grad_())
    gradient, elements = max(exact.gradient, signed.gradient), PHOTOS * WIDTH
    losses = [exact.loss(end).item() for end in ends]
    correct = [(exact.logits(end).argmax(1) == labels).double().mean().item() for end in ends]
    bound = loss_distance_bound(RATE, exact.lipschitz, steps, gradient, layers, elements)
    distance = abs(losses[0] - losses[1])
    return {
        "layers": layers,
        "steps": steps,
        "seed": seed,
        "G": gradient,
        "M": exact.lipschitz,
        "psi": STEEPEST * math.sqrt(elements) * gradient,
        "loss_start": exact.loss(exact.start).item(),
        "loss_exact": losses[0],
        "loss_signed": losses[1],
        "distance": distance,
        "bound": bound,
        "looseness": bound / distance,
        "weights_moved": (ends[0] - exact.start).norm().item(),
        "weights_apart": (ends[0] - ends[1]).norm().item(),
        "train_accuracy_exact": 100 * correct[0],
        "train_accuracy_signed": 100 * correct[1],
    }


def inputs_of(arguments: argparse.Namespace) -> tuple[Tensor, Tensor]:
    """Principal directions (PHOTOS, WIDTH) of the features of evenly spaced hand signs, of mean square 1; labels."""
    data = arguments.shared / "data"
    backbone = load("mobilenet_v2", data / "weights" / WEIGHTS[0.35], image_size=128)
    signs = Packed.open(data / "images" / "signdigits_train.npz")
    rows = signs.evenly(PHOTOS)
    features = features_of(backbone, signs, rows)
    features = features - features.mean(0)
    directions = torch.linalg.svd(features, full_matrices=False).Vh[:WIDTH]
    inputs = features @ directions.T
    return inputs / inputs.square().mean().sqrt(), signs.labels[rows]


def claims(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    short = [{key: row[key] for key in ("layers", "steps", "seed", "psi", "distance", "bound")} for row in rows]
    return [
        claim("the bound holds", [{**row, "holds": row["distance"] <= row["bound"]} for row in short]),
        claim(
            "the bound is below the loss at the start, so that it says something",
            [
                {**one, "loss_start": row["loss_start"], "holds": row["bound"] < row["loss_start"]}
                for one, row in zip(short, rows, strict=True)
            ],
        ),
        claim(
            "signed training lowers the loss at least 0.9 times as far as exact training",
            [
                {**one, "ratio": round(ratio, 3), "holds": ratio >= 0.9}
                for one, row in zip(short, rows, strict=True)
                for ratio in [(row["loss_start"] - row["loss_signed"]) / (row["loss_start"] - row["loss_exact"])]
            ],
        ),
    ]


def main() -> None:
    arguments = asked(__doc__)
    layers, steps = (LAYERS[:2], STEPS[:1]) if arguments.quick else (LAYERS, STEPS)
    todo = [(n, t, seed) for n in layers for t in steps for seed in range(arguments.seeds)]
    if arguments.list:
        print(*(f"{n} layers, {t} steps, seed {seed}" for n, t, seed in todo), "about a minute", sep="\n")
        return
    torch.set_num_threads(1)
    inputs, labels = inputs_of(arguments)
    rows = [one(inputs, labels, n, t, seed) for n, t, seed in todo]
    write(__file__, arguments, {"rows": rows, "claims": claims(rows)})


if __name__ == "__main__":
    main()
