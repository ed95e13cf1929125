"""A small recurrent network for sentiment, trained on SST-2: the source of `characters`.

Words (the 1,000 commonest of the training part) of 64 numbers, an LSTM of 96, the mean of its states, two labels.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from sets import Array, lines
from torch import Tensor, nn

from edgewise.core.files import write_atomically
from edgewise.reprogram import Space, WhiteBox
from edgewise.reprogram.sources.text import Lookup
from edgewise.train.adam import Adam
from edgewise.train.schedule import cosine

WORDS, SIZE, STATE, LENGTH = 1000, 64, 96, 64
EPOCHS, BATCH, LEARNING_RATE, DROPOUT = 8, 32, 2e-3, 0.5
FILE = "sentiment_lstm.safetensors"


class States(nn.Module):
    """Vectors (N, L, 64) to the mean of an LSTM's states (N, 96) where something stands."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = nn.LSTM(SIZE, STATE, batch_first=True)

    def forward(self, vectors: Tensor) -> Tensor:
        stands = vectors.detach().ne(0).any(2).unsqueeze(2)
        return (self.memory(vectors)[0] * stands).sum(1) / stands.sum(1).clamp_min(1)


@dataclass(frozen=True)
class Sentiment:
    """The parts of the network: ``table`` (1001, 64) of its words, states, and a head for two labels."""

    table: Tensor
    states: States
    head: nn.Linear

    def source(self, reads: str = "vectors", answers: str = "logits") -> WhiteBox:
        """As a source of ``vectors`` or ``symbols`` that answers with ``logits`` or ``features``."""
        parts = [self.states] if answers == "features" else [self.states, self.head]
        classes, kind = (STATE, "features") if answers == "features" else (2, "logits")
        if reads == "symbols":
            takes = Space((LENGTH,), symbols=len(self.table))
            return WhiteBox(nn.Sequential(Lookup(self.table), *parts), takes, classes, kind)
        return WhiteBox(nn.Sequential(*parts), Space((LENGTH, SIZE), table=self.table), classes, kind)


def vocabulary(shared: Path) -> dict[str, int]:
    """The commonest words of the training part, from 1 on."""
    met = Counter(word for text in lines(shared, "sst2_train")[0] for word in text.lower().split())
    return {word: number for number, (word, _) in enumerate(met.most_common(WORDS), 1)}


def read(shared: Path, texts: Sequence[str]) -> Array:
    """Texts as rows of its words (N, 64); words that it does not know are left out."""
    known = vocabulary(shared)
    found = np.zeros((len(texts), LENGTH), np.int64)
    for row, text in enumerate(texts):
        words = [known[word] for word in text.lower().split() if word in known][:LENGTH]
        found[row, : len(words)] = words
    return found


def untrained(seed: int) -> Sentiment:
    """The network before any training."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        table = torch.randn(WORDS + 1, SIZE) * 0.3
        return Sentiment(table, States(), nn.Linear(STATE, 2))


def trained(shared: Path, state: Path) -> Sentiment:
    """The network, from STATE or trained now (a minute or two)."""
    made, path = untrained(0), state / FILE
    if not path.exists():
        tensors = _train(shared, made)
        write_atomically(path, lambda part: save_file(tensors, part))
    kept = load_file(path)
    for name, module in (("states", made.states), ("head", made.head)):
        module.load_state_dict({key.partition(".")[2]: kept[key] for key in kept if key.startswith(f"{name}.")})
    return Sentiment(kept["table"], made.states, made.head)


def right(shared: Path, state: Path) -> float:
    """Share of the official test part that it tells right."""
    texts, y = lines(shared, "sst2_test")
    source = trained(shared, state).source("symbols")
    with torch.no_grad():
        said = torch.cat([source(rows).argmax(1) for rows in torch.from_numpy(read(shared, texts)).split(BATCH)])
    return float((said.numpy() == y).mean())


def _train(shared: Path, made: Sentiment) -> dict[str, Tensor]:
    texts, y = lines(shared, "sst2_train")
    x, targets, random = torch.from_numpy(read(shared, texts)), torch.from_numpy(y), np.random.default_rng(0)
    table = nn.Parameter(made.table.clone())
    modules = {"states": made.states, "head": made.head}
    named = [(f"{name}.{key}", value) for name, part in modules.items() for key, value in part.named_parameters()]
    adam = Adam({"all": [("table", table), *named]})
    torch.manual_seed(0)
    for epoch in range(EPOCHS):
        for place, rows in enumerate(torch.from_numpy(random.permutation(len(x))).split(BATCH)):
            symbols = x[rows][:, : int((x[rows] != 0).sum(1).max())]
            vectors = F.dropout(F.embedding(symbols, table), DROPOUT) * (symbols != 0).unsqueeze(2)
            F.cross_entropy(made.head(F.dropout(made.states(vectors), DROPOUT)), targets[rows]).backward()
            adam.step({"all": LEARNING_RATE * cosine((epoch + place * BATCH / len(x)) / EPOCHS)})
    return {"table": table.detach(), **{key: value.detach() for key, value in named}}
