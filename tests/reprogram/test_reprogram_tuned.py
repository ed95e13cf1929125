"""Parts of the source that train together with the program: on a copy, and the rest is proven untouched."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from edgewise.core.errors import EdgewiseError, InterruptedRun, UsageError
from edgewise.core.surgery import digest
from edgewise.reprogram import (
    FirstLabels,
    Gradient,
    Ledger,
    Replicate,
    Reprogrammed,
    Space,
    SphereSearch,
    WhiteBox,
    of_estimator,
)  # fmt: skip
from edgewise.reprogram.sources.tuned import Tuned

LENGTH = 20


class Hearing(nn.Module):
    """A network of series with a norm, an encoder and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv1d(1, 6, 5, stride=2), nn.BatchNorm1d(6), nn.ReLU())
        self.head = nn.Linear(48, 4)

    def forward(self, series: torch.Tensor) -> torch.Tensor:
        return self.head(self.encoder(series[:, None]).flatten(1))


def source(seed: int = 0) -> WhiteBox:
    torch.manual_seed(seed)
    return WhiteBox(Hearing(), Space((LENGTH,)), 4)


def series() -> tuple[Any, Any]:
    random = np.random.default_rng(0)
    return random.standard_normal((48, LENGTH)).astype(np.float32), np.array(["a", "b", "c"] * 16)


def model(on: WhiteBox, tune: tuple[str, ...], **more: Any) -> Reprogrammed:
    more = {"epochs": 3, "trainer": Gradient(0.01, tune_lr=0.01), **more}
    return Reprogrammed(on, Replicate(copies=0, dropout=0.2), FirstLabels(), batch_size=8, tune=tune, **more)


def test_only_what_is_named_moves_and_only_on_a_copy() -> None:
    shared, (x, y) = source(), series()
    before = {name: tensor.clone() for name, tensor in shared.module.state_dict().items()}
    found = model(shared, ("head", "encoder.1.weight")).fit(x, y)
    tuned = found.work_.source
    assert isinstance(tuned, Tuned)
    assert set(tuned.trained) == {"head.weight", "head.bias", "encoder.1.weight"}
    after = tuned.module.state_dict()
    assert {name for name in before if not torch.equal(before[name], after[name])} == set(tuned.trained)
    assert digest(shared.module.state_dict()) == digest(before), "whoever else holds the source finds it as it was"
    assert not any(parameter.requires_grad for parameter in shared.module.parameters())
    assert not any(module.training for module in tuned.module.modules())
    assert tuned.fingerprint == shared.fingerprint
    shared.check_untouched()


def test_nothing_of_the_source_trains_unless_it_is_said() -> None:
    shared, (x, y) = source(), series()
    found = model(shared, ()).fit(x, y)
    assert found.work_.source is shared
    assert all(name.startswith("program.") for name, _ in found.work_.parameters())
    assert set(found.work_.tensors()) == {"program.weight", "reader.labels"}


def test_it_learns_more_than_the_program_alone() -> None:
    x, y = series()
    alone, together = (model(source(), tune, epochs=15).fit(x, y) for tune in ((), ("encoder", "head")))
    assert together.score(x, y) > alone.score(x, y) + 0.1


def test_the_tuned_parts_have_a_rate_of_their_own() -> None:
    x, y = series()
    still = model(source(), ("head",), trainer=Gradient(0.01, tune_lr=0.0)).fit(x, y)
    assert isinstance(still.work_.source, Tuned)
    assert torch.equal(still.work_.source.module.head.weight, source().module.head.weight)
    only = model(source(), ("head",), trainer=Gradient(0.0, tune_lr=0.01)).fit(x, y)
    start = Replicate(copies=0).build(Space((LENGTH,)), Space((LENGTH,)))
    assert torch.equal(only.work_.tensors()["program.weight"], dict(start.named_parameters())["weight"])  # type: ignore[attr-defined]
    assert isinstance(only.work_.source, Tuned)
    assert not torch.equal(only.work_.source.module.head.weight, source().module.head.weight)


def test_stopped_and_resumed_is_the_same(tmp_path: Path) -> None:
    x, y = series()

    class StopsOnce:
        def stage(self, text: str) -> None: ...
        def epoch(self, row: Any, epochs: int) -> None: ...
        def note(self, text: str) -> None: ...

        def progress(self, done: int, total: int) -> None:
            if done == 9:
                raise InterruptedRun("stopped")

    whole = model(source(), ("head",)).fit(x, y)
    with pytest.raises(InterruptedRun):
        model(source(), ("head",)).fit(x, y, folder=tmp_path, listener=StopsOnce())
    resumed = model(source(), ("head",)).fit(x, y, folder=tmp_path, resume=True)
    assert digest(resumed.work_.tensors()) == digest(whole.work_.tensors())
    with pytest.raises(EdgewiseError, match="its tune changed"):
        model(source(), ("encoder",)).fit(x, y, folder=tmp_path, resume=True)


def test_saved_with_the_program_and_said_so(tmp_path: Path) -> None:
    x, y = series()
    found = model(source(), ("head", "encoder.0")).fit(x, y)
    found.save(tmp_path)
    manifest = json.loads((tmp_path / "artifact.json").read_text())
    assert manifest["tune"] == ["head", "encoder.0"]
    assert "`head`, `encoder.0` of the source too" in (tmp_path / "README.md").read_text()
    fresh = source()
    again = Reprogrammed.load(tmp_path, fresh)
    assert np.array_equal(again.predict_proba(x), found.predict_proba(x))
    assert again.tune == ("head", "encoder.0")
    fresh.check_untouched()
    with pytest.raises(EdgewiseError, match="before another model it means nothing"):
        Reprogrammed.load(tmp_path, source(seed=1))
    plain = model(source(), ()).fit(x, y)
    plain.save(tmp_path / "plain")
    assert "of the source too" not in (tmp_path / "plain" / "README.md").read_text()


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda tuned: tuned.module.encoder[0].weight.data.add_(1e-3), "that do not train"),
        (lambda tuned: tuned.module.encoder[1].running_mean.add_(1e-3), "that do not train"),
        (lambda tuned: tuned.source.module.head.bias.data.add_(1e-3), "since it became a source"),
        (lambda tuned: tuned.module.encoder.train(), "training mode"),
    ],
)
def test_the_proof_can_fail(damage: Callable[[Tuned], object], complaint: str) -> None:
    tuned = Tuned(source(), ("head",))
    with torch.no_grad():
        tuned.module.head.weight += 1
    tuned.check_untouched()
    damage(tuned)
    with pytest.raises(EdgewiseError, match=complaint):
        tuned.check_untouched()


def test_mistakes_are_named() -> None:
    x, y = series()
    linear = pytest.importorskip("sklearn.linear_model").LogisticRegression().fit(x, y)
    ledger = Ledger()
    hidden: Any = of_estimator(linear, LENGTH, ledger)
    with pytest.raises(UsageError, match=r"\(head\), and this one only answers"):
        model(hidden, ("head",), trainer=SphereSearch()).fit(x, y)
    assert ledger.spent == 0
    with pytest.raises(UsageError, match="sphere follows none"):
        model(source(), ("head",), trainer=SphereSearch()).fit(x, y)
    with pytest.raises(UsageError, match=r"no part of the source 'haed'. Did you mean 'head'\?"):
        model(source(), ("haed",)).fit(x, y)
    with pytest.raises(UsageError, match="no part of the source 'hea'"):
        model(source(), ("hea",)).fit(x, y)
