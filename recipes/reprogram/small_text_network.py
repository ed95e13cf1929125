"""A small convolutional network over symbols, trained from scratch."""

import numpy as np
import torch
import torch.nn.functional as F
from sets import Array
from torch import nn

from edgewise.train.adam import Adam
from edgewise.train.schedule import cosine

BATCH = 16


class SmallCnn(nn.Module):
    """Vectors of 32 numbers, a convolution over three of them, and the largest of each of its 64 channels."""

    def __init__(self, symbols: int, classes: int) -> None:
        super().__init__()
        self.vectors = nn.Embedding(symbols, 32, padding_idx=0)
        self.over = nn.Conv1d(32, 64, 3, padding=1)
        self.head = nn.Linear(64, classes)

    def forward(self, symbols: torch.Tensor) -> torch.Tensor:
        """(N, L) to (N, classes)."""
        return self.head(F.relu(self.over(self.vectors(symbols).mT)).amax(2))


def fitted(
    network: nn.Module, x: torch.Tensor, y: Array, unseen: torch.Tensor, lr: float, epochs: int, seed: int
) -> Array:
    """Probabilities of ``unseen`` by a network trained on ``x`` with Adam and a cosine."""
    adam, random, targets = (
        Adam({"all": list(network.named_parameters())}),
        np.random.default_rng(seed),
        torch.tensor(y),
    )
    for epoch in range(epochs):
        for rows_ in torch.from_numpy(random.permutation(len(x))).split(BATCH):
            F.cross_entropy(network(x[rows_]), targets[rows_]).backward()
            adam.step({"all": lr * cosine(epoch / epochs)})
    with torch.no_grad():
        return np.asarray(network(unseen).softmax(1))
