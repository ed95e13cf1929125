"""The plain classifiers that reprogramming has to be compared with: of series, of tables, of features."""

import numpy as np
import torch
import torch.nn.functional as F
from sets import Array
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from edgewise.train.adam import Adam
from edgewise.train.schedule import cosine

STRENGTHS = (0.001, 0.01, 0.1, 1.0, 10.0)
BANDS = (0.02, 0.05, 0.1)


def linear(x: Array, y: Array, asked: Array, seed: int, scale: bool = True) -> Array:
    """Probabilities by logistic regression, its strength by cross-validation on ``x`` (three parts, accuracy)."""
    model = LogisticRegression(max_iter=2000)
    whole = make_pipeline(StandardScaler(), model) if scale else make_pipeline(model)
    folds = min(3, int(np.unique(y, return_counts=True)[1].min()))
    grid = {"logisticregression__C": STRENGTHS}
    search = GridSearchCV(whole, grid, cv=StratifiedKFold(folds, shuffle=True, random_state=seed))
    return np.asarray(search.fit(x, y).predict_proba(asked))


def squares(one: Array, other: Array) -> Array:
    """Squared distances (N, M) of series (N, L) and (M, L)."""
    return np.square(one[:, None] - other[None]).sum(2)


def warped(one: Array, other: Array, band: float) -> Array:
    """Squared distances under dynamic time warping by at most a share ``band`` of the length (Sakoe and Chiba, 1978).

    All pairs at once, cell by cell of the table: D[i, j] = (a_i - b_j)^2 + min(D[i-1, j], D[i, j-1], D[i-1, j-1]).
    """
    length, reach = one.shape[1], max(1, round(band * one.shape[1]))
    far = np.full((len(one), len(other)), np.inf, np.float32)
    before = {-1: np.zeros_like(far)}
    for i in range(length):
        now: dict[int, Array] = {}
        for j in range(max(0, i - reach), min(length, i + reach + 1)):
            step = np.minimum(np.minimum(before.get(j, far), now.get(j - 1, far)), before.get(j - 1, far))
            now[j] = step + np.square(one[:, None, i] - other[None, :, j])
        before = now
    return before[length - 1]


def nearest(distances: Array, labels: Array) -> Array:
    """The label of the nearest."""
    return np.asarray(labels[distances.argmin(1)])


def best_band(x: Array, y: Array) -> float:
    """The band in which most of ``x`` are of the class of their nearest other."""
    right = []
    for band in BANDS:
        distances = warped(x, x, band)
        np.fill_diagonal(distances, np.inf)
        right.append((nearest(distances, y) == y).mean())
    return BANDS[int(np.argmax(right))]


class SmallCnn(nn.Module):
    """Three convolutions over time, the mean over it, and a linear layer; 20,000 parameters."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        sizes = ((1, 32, 7, 1), (32, 48, 5, 2), (48, 48, 5, 2))
        self.layers = nn.Sequential(
            *(
                nn.Sequential(nn.Conv1d(i, o, k, s, k // 2, bias=False), nn.BatchNorm1d(o), nn.ReLU())
                for i, o, k, s in sizes
            )
        )
        self.head = nn.Linear(48, classes)

    def forward(self, series: torch.Tensor) -> torch.Tensor:
        """(N, L) to (N, classes)."""
        return self.head(self.layers(series[:, None]).mean(2))


def from_scratch(x: Array, y: Array, asked: Array, classes: int, lr: float, epochs: int, seed: int) -> Array:
    """Probabilities by `SmallCnn`, trained with Adam and a cosine."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = SmallCnn(classes).train()
    adam, batch = Adam({"all": list(network.named_parameters())}), 16
    random, series, targets = np.random.default_rng(seed), torch.from_numpy(x), torch.from_numpy(y)
    for epoch in range(epochs):
        for place, rows in enumerate(torch.from_numpy(random.permutation(len(x))).split(batch)):
            if len(rows) > 1:
                F.cross_entropy(network(series[rows]), targets[rows]).backward()
                adam.step({"all": lr * cosine((epoch + place * batch / len(x)) / epochs)})
    with torch.no_grad():
        return np.asarray(network.eval()(torch.from_numpy(asked)).softmax(1))
