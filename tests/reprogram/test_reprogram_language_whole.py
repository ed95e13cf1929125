"""A small recurrent network that reads words, reprogrammed for letters: trained, resumed, saved, and left untouched."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgewise.core.errors import EdgewiseError, InterruptedRun
from edgewise.core.surgery import digest
from edgewise.reprogram import (
    ContextRemap,
    FirstLabels,
    Gradient,
    LinearMap,
    PolicyGradient,
    PromptTokens,
    Reprogrammed,
    Space,
    Verbaliser,
    VocabularyMap,
    WhiteBox,
)  # fmt: skip
from edgewise.reprogram.base import InputTransform, Mapping
from edgewise.reprogram.table import vectors_of
from edgewise.reprogram.trainers.base import Trainer

WORDS, SIZE, ROOM = 12, 6, 10


class Reader(nn.Module):
    """Vectors (N, T, d), or symbols (N, T), to two classes: a GRU's state at the last place where something stands."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, SIZE)
        self.memory = nn.GRU(SIZE, 8, batch_first=True)
        self.head = nn.Linear(8, 2)

    def forward(self, samples: Tensor) -> Tensor:
        vectors = vectors_of(samples, self.words.weight) if samples.dtype == torch.long else samples
        stands = vectors.ne(0).any(2)
        last = (stands * torch.arange(1, stands.shape[1] + 1)).amax(1).sub(1).clamp_min(0)
        return self.head(self.memory(vectors)[0][torch.arange(len(vectors)), last])


def sentences(count: int, seed: int, low: int, high: int) -> tuple[Tensor, Tensor]:
    """Rows of up to six symbols; the class says which half of them is met more often."""
    random = torch.Generator().manual_seed(seed)
    found = torch.randint(low, high, (count, 6), generator=random)
    found *= torch.arange(6) < torch.randint(1, 4, (count, 1), generator=random) * 2 - 1
    upper, stands = found >= (low + high) // 2, found > 0
    return found, (2 * upper.sum(1) > stands.sum(1)).long()


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    """Trained to tell words 1 to 5 from 6 to 11."""
    torch.manual_seed(0)
    network, (words, classes) = Reader(), sentences(512, 0, 1, WORDS)
    optimizer = torch.optim.Adam(network.parameters(), 0.02)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(words), classes).backward()
        optimizer.step()
    return network.state_dict()


def source_of(weights: dict[str, Tensor], reads: str) -> WhiteBox:
    network = Reader()
    network.load_state_dict(weights)
    table = network.words.weight.detach()
    takes = Space((ROOM, SIZE), table=table) if reads == "vectors" else Space((ROOM,), symbols=WORDS)
    return WhiteBox(network, takes, 2)


def letters(count: int, seed: int) -> tuple[Tensor, NDArray[Any]]:
    """Four letters, where 1 and 4 are of one kind, 2 and 3 of the other: no order of the words is like it."""
    found, _ = sentences(count, seed, 1, 5)
    inner, stands = (found == 2) | (found == 3), found > 0
    return found, (2 * inner.sum(1) > stands.sum(1)).long().numpy()


CASES: list[tuple[InputTransform, Mapping, Trainer, str]] = [
    (VocabularyMap(nonzeros=3), FirstLabels(), Gradient(0.1), "vectors"),
    (ContextRemap(width=1), FirstLabels(), Gradient(0.1), "vectors"),
    (ContextRemap(width=1), FirstLabels(), PolicyGradient(0.1), "symbols"),
    (PromptTokens(2, 0, 2, init="normal"), Verbaliser(), Gradient(0.1), "vectors"),
]
IDS = [f"{case[0].name} {case[2].name}" for case in CASES]


@pytest.mark.parametrize(("transform", "mapping", "trainer", "reads"), CASES, ids=IDS)
def test_it_learns_is_resumed_and_saved_and_the_source_stays(
    transform: InputTransform,
    mapping: Mapping,
    trainer: Trainer,
    reads: str,
    weights: dict[str, Tensor],
    tmp_path: Path,
) -> None:
    train, test = letters(128, 1), letters(300, 2)
    source = source_of(weights, reads)
    parts: dict[str, Any] = {"transform": transform, "mapping": mapping, "trainer": trainer, "batch_size": 16}
    parts["samples"] = Space((6,), symbols=WORDS if transform.name == "prompt-tokens" else 5)
    zero = Reprogrammed(source, **parts, epochs=0).fit(*train)
    whole = Reprogrammed(source, **parts, epochs=6).fit(*train)
    if transform.name != "prompt-tokens":  # which must read letters as the words that they are not
        assert whole.score(*test) > max(0.8, zero.score(*test))
    assert digest(source.module.state_dict()) == digest(weights)
    assert all(p.grad is None for p in source.module.parameters())

    class StopsOnce:
        """A listener that is where Ctrl-C comes: in the fifth epoch, after exchanges and draws."""

        def stage(self, text: str) -> None: ...
        def epoch(self, row: Any, epochs: int) -> None: ...
        def note(self, text: str) -> None: ...

        def progress(self, done: int, total: int) -> None:
            if total == 48 and done == 35:
                raise InterruptedRun("stopped")

    with pytest.raises(InterruptedRun):
        Reprogrammed(source, **parts, epochs=6).fit(*train, folder=tmp_path / "run", listener=StopsOnce())
    resumed = Reprogrammed(source, **parts, epochs=6).fit(*train, folder=tmp_path / "run", resume=True)
    assert digest(resumed.work_.tensors()) == digest(whole.work_.tensors())

    whole.save(tmp_path / "program")
    again = Reprogrammed.load(tmp_path / "program", source_of(weights, reads))
    assert np.array_equal(again.predict_proba(test[0]), whole.predict_proba(test[0]))
    other = {name: value + 0.01 for name, value in weights.items()}
    with pytest.raises(EdgewiseError, match="before another model it means nothing"):
        Reprogrammed.load(tmp_path / "program", source_of(other, reads))


def test_every_mapping_of_trained_numbers_goes_with_a_vocabulary(weights: dict[str, Tensor]) -> None:
    """Three classes from a source of two: what fixed labels cannot give."""
    found, _ = letters(90, 3)
    classes = found[:, 0].clamp(max=3).numpy()
    source = source_of(weights, "vectors")
    for mapping in (LinearMap(), Verbaliser()):
        model = Reprogrammed(source, VocabularyMap(nonzeros=2, like="1 6 11 3"), mapping, epochs=1).fit(found, classes)
        assert model.predict_proba(found).shape == (90, 3)
