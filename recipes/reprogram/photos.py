"""ImageNet networks as sources for images, and the plain classifiers they are compared with."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from plain import linear
from sets import Array, Part
from sklearn.metrics import roc_auc_score
from torch import nn

import edgewise as ew
from edgewise.reprogram import WhiteBox, of_backbone, of_network
from edgewise.train.adam import Adam
from edgewise.train.schedule import cosine

FILE = "mobilenet_v2_w100_imagenet.safetensors"
CLASSES = 1000


def weights(shared: Path) -> Path:
    """MobileNetV2's, with its 1000-class head."""
    return shared / "data" / "weights" / FILE


def source(shared: Path, side: int, trained: bool = True, seed: int = 0) -> WhiteBox:
    """MobileNetV2 at ``side`` pixels with its own 1000 classes, or the same network as it is before any training."""
    if trained:
        return of_backbone(ew.load("mobilenet_v2", weights=str(weights(shared)), image_size=side))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        backbone = ew.load("mobilenet_v2", weights="none", image_size=side)
    return of_network(backbone.module, backbone.input, CLASSES)


def filled(images: Array, side: int) -> torch.Tensor:
    """Images (N, 1 or 3, h, w) of bytes as colours from 0 to 1 that fill ``side`` pixels."""
    found = torch.from_numpy(images).float() / 255
    resized = F.interpolate(found, (side, side), mode="bilinear", antialias=True)
    return resized.expand(-1, 3, -1, -1)


@torch.no_grad()
def answers(model: WhiteBox, images: Array) -> Array:
    """The logarithms of the source's answers (N, classes) to images that fill what it reads."""
    side = model.takes.shape[1]
    pieces = [model(filled(images[i : i + 16], side)).log_softmax(1) for i in range(0, len(images), 16)]
    return torch.cat(pieces).numpy()


def probe(model: WhiteBox, train: Part, asked: Array, seed: int) -> Array:
    """Probabilities by logistic regression on `answers`: a linear probe that needs nothing but an API."""
    return linear(answers(model, train.x), train.y, answers(model, asked), seed)


class SmallNet(nn.Module):
    """Four convolutions with norms, the image halved three times, its mean, a linear layer; 0.1 M parameters."""

    def __init__(self, colours: int, classes: int) -> None:
        super().__init__()
        sizes = ((colours, 24, 1), (24, 48, 2), (48, 96, 2), (96, 96, 2))
        self.layers = nn.Sequential(
            *(nn.Sequential(nn.Conv2d(i, o, 3, s, 1, bias=False), nn.BatchNorm2d(o), nn.ReLU()) for i, o, s in sizes)
        )
        self.head = nn.Linear(96, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(N, C, h, w) to (N, classes)."""
        return self.head(self.layers(images).mean((2, 3)))


def from_scratch(train: Part, asked: Array, classes: int, lr: float, epochs: int, seed: int) -> Array:
    """Probabilities by `SmallNet` on the images as they are, trained with Adam and a cosine."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = SmallNet(train.x.shape[1], classes).train()
    adam, batch = Adam({"all": list(network.named_parameters())}), 32
    random, targets = np.random.default_rng(seed), torch.from_numpy(train.y).long()
    for epoch in range(epochs):
        for place, rows in enumerate(torch.from_numpy(random.permutation(len(train))).split(batch)):
            if len(rows) > 1:
                F.cross_entropy(network(torch.from_numpy(train.x)[rows] / 255), targets[rows]).backward()
                adam.step({"all": lr * cosine((epoch + place * batch / len(train)) / epochs)})
    network.eval()
    with torch.no_grad():
        pieces = [network(torch.from_numpy(asked[i : i + 64]) / 255).softmax(1) for i in range(0, len(asked), 64)]
    return torch.cat(pieces).numpy()


def scored(probabilities: Array, labels: Array) -> dict[str, float]:
    """Accuracy, cross-entropy, and of two classes the area under the ROC curve."""
    truth = np.clip(probabilities[np.arange(len(labels)), labels], 1e-6, 1)
    found = {"accuracy": float((probabilities.argmax(1) == labels).mean()), "loss": float(-np.log(truth).mean())}
    if probabilities.shape[1] == 2:
        found["auc"] = float(roc_auc_score(labels, probabilities[:, 1]))
    return found
