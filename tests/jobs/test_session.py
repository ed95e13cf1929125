"""The road from Python, with a network nobody listed."""

import pytest
import torch
from torch import nn

import edgewise as ew
from edgewise.adapt import TinyTL
from edgewise.core.errors import EdgewiseError, UsageError


class Step(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, 2, 1)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x):
        return torch.relu(self.norm(self.conv(x)))


class Own(nn.Module):
    def __init__(self):
        super().__init__()
        self.steps = nn.Sequential(Step(3, 8), Step(8, 16), Step(16, 24))
        self.head = nn.Linear(24, 7)

    def forward(self, x):
        return self.head(self.steps(x).mean((2, 3)))


def own():
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return Own()


def fitted(photos, out, **settings):
    net = ew.load(own(), image_size=32)
    model = ew.adapt(net, ew.RepNet(), classes=["square", "stripe"])
    return ew.fit(model, photos, out=out, epochs=2, workers=0, **settings)


def test_a_module_of_ones_own_from_fit_to_predict(photos, tmp_path):
    run = fitted(photos, tmp_path / "run")
    photo = photos / "test" / "stripe" / "000.jpg"
    again = ew.open(tmp_path / "run", backbone=own())
    assert again.predict(photo) == run.predict(photo)
    assert again.evaluate(photos)["accuracy"] == run.record["metrics"]["test_accuracy"]
    with pytest.raises(EdgewiseError, match=r"a module of your own, Own: open it in Python.*backbone=module"):
        ew.open(tmp_path / "run")
    with pytest.raises(EdgewiseError, match="works only on the very backbone"):
        ew.open(tmp_path / "run", backbone=Own())


def test_random_weights_reopen_from_their_seed(photos, tmp_path):
    net = ew.load("pocket", weights="none", seed=3)
    run = ew.fit(ew.adapt(net, ew.LastLayer(), ["square", "stripe"]), photos, out=tmp_path / "run", epochs=1)
    assert ew.open(tmp_path / "run").evaluate(photos)["accuracy"] == run.record["metrics"]["accuracy"]


def test_other_classes_and_unknown_settings_are_refused(photos, tmp_path):
    model = ew.adapt(ew.load("pocket"), ew.LastLayer(), ["ant", "bee"])
    with pytest.raises(UsageError, match="made for the classes ant, bee; the folders in .* are square, stripe"):
        ew.fit(model, photos, out=tmp_path / "run", epochs=1)
    with pytest.raises(UsageError, match="epoch"):
        ew.fit(model, photos, out=tmp_path / "other", epoch=1)


def test_an_adapter_opens_without_the_file_that_training_started_from(photos, tmp_path):
    def trained(name, **settings):
        model = ew.adapt(ew.load("pocket"), TinyTL(**settings), ["square", "stripe"])
        return ew.fit(model, photos, out=tmp_path / name, epochs=1, workers=0)

    trained("first")
    start = (tmp_path / "first" / "artifact" / "adapter.safetensors").rename(tmp_path / "start.safetensors")
    second = trained("second", lite_weights=str(start))
    start.unlink()
    photo = photos / "test" / "square" / "000.jpg"
    assert ew.open(tmp_path / "second").predict(photo) == second.predict(photo)
    assert second.record["config"]["settings"]["lite_weights"] == str(start)
