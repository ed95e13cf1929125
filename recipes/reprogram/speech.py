"""A small speech network, trained on the spoken digits (Free Spoken Digit Dataset): the source of `series`.

A waveform of one second at 8 kHz becomes 40 mel bands of 63 frames inside the network, in plain torch, so that
gradients reach the waveform; three convolutions over time and a pooling by attention follow: 47,000 parameters.
(Voice2Series' own source heard 36 words of Google's speech commands at 16 kHz, which are not at hand.)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from sets import Array
from torch import Tensor, nn

from edgewise.core.files import write_atomically
from edgewise.reprogram import Space, WhiteBox
from edgewise.train.adam import Adam
from edgewise.train.schedule import cosine

RATE = SECOND = 8000
WINDOW, HOP, BANDS = 256, 128, 40
LOUD = 0.1
"""Root of the mean square of what the network hears: of a recording while it lasts."""
EVERYBODY = (0, 1, 2, 3, 4, 5)
SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
EPOCHS, BATCH, LEARNING_RATE, SHIFT = 40, 32, 3e-3, RATE // 5


@dataclass(frozen=True)
class Spoken:
    """Waveforms (N, 8000), the digits said, who said them (a place in `SPEAKERS`), and which are the official test."""

    x: Array
    y: Array
    speaker: Array
    test: Array

    def take(self, rows: Array) -> "Spoken":
        return Spoken(self.x[rows], self.y[rows], self.speaker[rows], self.test[rows])


def spoken(shared: Path) -> Spoken:
    """All 1,500 recordings, equally loud, in the middle of a second (the few longer ones are cut)."""
    with np.load(shared / "data" / "tabular" / "fsdd_spoken_digits.npz", allow_pickle=False) as packed:
        audio, offsets, labels = packed["audio"], packed["offsets"], packed["labels"].astype(np.int64)
        speaker, test = packed["speaker"], packed["index"] < 5
    x = np.zeros((len(labels), SECOND), np.float32)
    for row, (start, end) in enumerate(pairwise(offsets)):
        one = audio[start : min(end, start + SECOND)].astype(np.float32)
        place = (SECOND - len(one)) // 2
        x[row, place : place + len(one)] = LOUD * one / np.sqrt((one**2).mean())
    return Spoken(x, labels, speaker, test)


class Speech(nn.Module):
    """Waveforms (N, 8000) to logits (N, classes)."""

    def __init__(self, classes: int, width: int = 64) -> None:
        super().__init__()
        self.window: Tensor
        self.mel: Tensor
        self.register_buffer("window", torch.hann_window(WINDOW))
        self.register_buffer("mel", mel_bands())
        self.norm = nn.BatchNorm1d(BANDS)
        sizes = ((BANDS, 5, 2), (width, 5, 2), (width, 3, 1))
        self.layers = nn.Sequential(
            *(
                nn.Sequential(nn.Conv1d(i, width, k, s, k // 2, bias=False), nn.BatchNorm1d(width), nn.ReLU())
                for i, k, s in sizes
            )
        )
        self.attention, self.head = nn.Linear(width, 1), nn.Linear(width, classes)

    def features(self, waveforms: Tensor) -> Tensor:
        """(N, 8000) to (N, 64)."""
        spectrum = torch.stft(waveforms, WINDOW, HOP, window=self.window, return_complex=True, pad_mode="constant")
        power = spectrum.real.square() + spectrum.imag.square()
        frames = self.layers(self.norm((self.mel @ power + 1e-6).log()))
        weights = self.attention(frames.transpose(1, 2)).softmax(1)
        return (frames @ weights).squeeze(2)

    def forward(self, waveforms: Tensor) -> Tensor:
        return self.head(self.features(waveforms))


def mel_bands() -> Tensor:
    """Triangles at even distances on the mel scale, 0 to 4 kHz: (bands, frequencies)."""

    def mel(hertz: Array | float) -> Array:
        return 2595 * np.log10(1 + np.asarray(hertz) / 700)

    places = np.interp(
        np.linspace(0, mel(RATE / 2), BANDS + 2), mel(np.arange(RATE // 2 + 1)), np.arange(RATE // 2 + 1)
    )
    low, middle, high = places[:-2, None], places[1:-1, None], places[2:, None]
    hertz = np.linspace(0, RATE / 2, WINDOW // 2 + 1)
    bands = np.minimum((hertz - low) / (middle - low), (high - hertz) / (high - middle)).clip(0)
    return torch.from_numpy(bands / bands.sum(1, keepdims=True).clip(1e-9)).float()


def untrained(classes: int, seed: int) -> Speech:
    """The network as it is before training."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Speech(classes)


def taught(x: Array, y: Array, classes: int, seed: int) -> Speech:
    """The network trained on waveforms ``x`` of classes ``y``, shifted by up to a fifth of a second and up to 10 dB."""
    network = untrained(classes, seed).train()
    adam = Adam({"all": list(network.named_parameters())})
    random, waveforms, targets = np.random.default_rng(seed), torch.from_numpy(x), torch.from_numpy(y)
    for epoch in range(EPOCHS):
        order = torch.from_numpy(random.permutation(len(x)))
        for place, rows in enumerate(order.split(BATCH)):
            shifts = random.integers(-SHIFT, SHIFT, len(rows))
            heard = torch.stack([waveforms[row].roll(int(by)) for row, by in zip(rows, shifts, strict=True)])
            gains = 10 ** random.uniform(-0.5, 0.5, (len(rows), 1))
            F.cross_entropy(network(heard * torch.from_numpy(gains).float()), targets[rows]).backward()
            adam.step({"all": LEARNING_RATE * cosine((epoch + place * BATCH / len(x)) / EPOCHS)})
    return network.eval()


def kept(path: Path, x: Array, y: Array, classes: int, seed: int) -> Speech:
    """`taught`, or what was taught before and lies at ``path``."""
    if not path.exists():
        network = taught(x, y, classes, seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda part: save_file(network.state_dict(), part))
    network = untrained(classes, seed)
    network.load_state_dict(load_file(path))
    return network.eval()


class Features(nn.Module):
    """The network without its last layer."""

    def __init__(self, network: Speech) -> None:
        super().__init__()
        self.network = network

    def forward(self, waveforms: Tensor) -> Tensor:
        return self.network.features(waveforms)


def as_source(network: Speech) -> WhiteBox:
    """It hears any numbers."""
    return WhiteBox(network, Space((SECOND,)), network.head.out_features)


def of_features(network: Speech) -> WhiteBox:
    """Its 64 features as a source."""
    return WhiteBox(Features(network), Space((SECOND,)), network.head.in_features, "features")


def speakers_source(shared: Path, state: Path, speakers: Sequence[int], seed: int = 0) -> Speech:
    """The network taught by the training recordings of ``speakers``."""
    recordings = spoken(shared)
    known = recordings.take(np.isin(recordings.speaker, speakers) & ~recordings.test)
    name = f"speech-{''.join(map(str, speakers))}-{seed}.safetensors"
    return kept(state / "networks" / name, known.x, known.y, 10, seed)


def right(shared: Path, state: Path, speakers: Sequence[int]) -> float:
    """Accuracy of `speakers_source` on the official test recordings of ``speakers``."""
    recordings = spoken(shared)
    own = recordings.take(np.isin(recordings.speaker, speakers) & recordings.test)
    network = speakers_source(shared, state, speakers)
    with torch.no_grad():
        said = network(torch.from_numpy(own.x)).argmax(1).numpy()
    return round(float((said == own.y).mean()), 4)


@torch.no_grad()
def heard(network: Speech, x: Array) -> Array:
    """Features (N, 64) of waveforms, a few at a time."""
    return np.concatenate([network.features(some).numpy() for some in torch.from_numpy(x).split(64)])
