"""A small GAN of handwritten digits, what judges it, and what trains both.

The generator is a DCGAN (Radford et al., 2016) cut down to 28 x 28 pixels and `NOISE` numbers; the one that is kept is
the running mean of its training.  The judge is a small convolutional classifier; its last hidden numbers are the
features of the Frechet distance (Heusel et al., 2017).
"""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

NOISE, WIDTH, FEATURES = 16, 64, 32
MEAN_OF = 0.002  # of the running mean: how much of it is new at every step


class Digits(nn.Module):
    """Noise (N, ``reads``) to grey images (N, 1, 28, 28) from 0 to 1."""

    def __init__(self, reads: int = NOISE) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(reads, WIDTH * 49),
            nn.Unflatten(1, (WIDTH, 7, 7)),
            nn.BatchNorm2d(WIDTH),
            nn.ReLU(),
            nn.ConvTranspose2d(WIDTH, WIDTH // 2, 4, 2, 1),
            nn.BatchNorm2d(WIDTH // 2),
            nn.ReLU(),
            nn.ConvTranspose2d(WIDTH // 2, 1, 4, 2, 1),
            nn.Sigmoid(),
        )

    def forward(self, noise: Tensor) -> Tensor:
        return self.net(noise)


class DigitsOf(nn.Module):
    """The same for a class that is asked for, to be trained from scratch: the class is further numbers."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes, self.digits = classes, Digits(NOISE + classes)

    def forward(self, noise: Tensor, classes: Tensor) -> Tensor:
        return self.digits(torch.cat([noise, F.one_hot(classes, self.classes).float()], 1))


class Reads(nn.Module):
    """Logits (N, 10) of grey images (N, 1, 28, 28); `features` are what the last layer reads."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 16, 5, 2, 2),
            nn.ReLU(),
            nn.Conv2d(16, 32, 5, 2, 2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Dropout(0.3),
            nn.Linear(32 * 49, FEATURES),
            nn.ReLU(),
        )
        self.last = nn.Linear(FEATURES, 10)

    def forward(self, images: Tensor) -> Tensor:
        return self.last(self.features(images))


def once(path: Path, module: nn.Module, train: Callable[[nn.Module], None]) -> nn.Module:
    """``module`` with the tensors at ``path``, where ``train`` put them the first time; in eval mode."""
    if not path.exists():
        train(module)
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(module.state_dict(), path)
    module.load_state_dict(load_file(path))
    return module.eval()


def train_gan(generator: nn.Module, images: Tensor, epochs: int) -> None:
    """``generator`` against a critic of ``images`` (N, 1, 28, 28); it ends as its running mean."""
    critic = nn.Sequential(
        nn.Conv2d(1, WIDTH // 2, 4, 2, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(WIDTH // 2, WIDTH, 4, 2, 1),
        nn.LeakyReLU(0.2),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(WIDTH * 49, 1),
    )
    mean = {name: tensor.clone() for name, tensor in generator.state_dict().items()}
    makes = torch.optim.Adam(generator.parameters(), 4e-4, betas=(0.5, 0.999))
    judges = torch.optim.Adam(critic.parameters(), 2e-4, betas=(0.5, 0.999))
    for epoch in range(epochs):
        for rows in torch.randperm(len(images)).split(64):
            made = generator(torch.randn(len(rows), NOISE))
            judges.zero_grad()
            (F.softplus(-critic(images[rows])) + F.softplus(critic(made.detach()))).mean().backward()
            judges.step()
            makes.zero_grad()
            F.softplus(-critic(made)).mean().backward()
            makes.step()
            for name, tensor in generator.state_dict().items():
                mean[name] = mean[name].lerp(tensor, MEAN_OF) if tensor.is_floating_point() else tensor.clone()
        print(f"the GAN: epoch {epoch + 1} of {epochs}", flush=True)
    generator.load_state_dict(mean)


def train_reader(reader: nn.Module, images: Tensor, labels: Tensor, steps: int) -> None:
    """``reader`` on ``images`` (N, 1, 28, 28), shifted by up to two pixels at random, of ``labels`` (N,)."""
    adam = torch.optim.Adam(reader.parameters(), 2e-3)
    reader.train()
    for step in range(steps):
        adam.param_groups[0]["lr"] = 1e-3 * (1 + math.cos(math.pi * step / steps))
        rows = torch.randint(len(images), (64,))
        down, right = torch.randint(-2, 3, (2,)).tolist()
        adam.zero_grad()
        F.cross_entropy(reader(images[rows].roll((down, right), (2, 3))), labels[rows]).backward()
        adam.step()
    reader.eval()


def frechet(one: Tensor, other: Tensor) -> float:
    """Frechet distance of two Gaussians with the means and covariances of features (N, d) and (M, d)."""
    first, second = one.double().numpy(), other.double().numpy()
    apart = first.mean(0) - second.mean(0)
    covariances = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    root = _root(covariances[0])
    mixed = np.sqrt(np.linalg.eigvalsh(root @ covariances[1] @ root).clip(min=0)).sum()
    return float(apart @ apart + np.trace(covariances[0]) + np.trace(covariances[1]) - 2 * mixed)


def _root(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
