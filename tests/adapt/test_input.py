"""Input reprogramming: the program, the mapped head, what is refused, and that the lean pass computes the same."""

import copy
from contextlib import nullcontext

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edgewise.adapt import Input, adapt
from edgewise.backbones import load
from edgewise.core.errors import EdgewiseError, UsageError
from edgewise.core.surgery import digest
from edgewise.cost.kept import KeptBytes
from edgewise.lean import Lean, make_lean, make_plain

CLASSES = ("a", "b", "c")


@pytest.fixture(scope="module")
def small():
    return load("mobilenet_v2", weights="none", width=0.35, image_size=64)


def test_what_trains(small):
    last, mapped = adapt(small, Input(), CLASSES), adapt(small, Input(head="map"), CLASSES)
    assert set(last.trainable()) == {"side.program", "network.classifier.1.weight", "network.classifier.1.bias"}
    assert set(mapped.trainable()) == {"side.program"}
    assert mapped.groups == {"main": (), "side": ("side.program",)}
    assert last.side.program.shape == (3, 64, 64)
    assert set(last.difference()) == set(last.trainable())


def test_published_size_of_the_program():
    """224 x 224 x 3: the "150K additional trainable parameters" of Rep-Net's introduction."""
    model = adapt(load("mobilenet_v2", weights="none", width=0.35), Input(head="map"), CLASSES)
    assert model.sizes()["trainable_params"] == 150_528


@pytest.mark.parametrize("bounded", [False, True])
def test_the_program_is_added_to_the_normalised_image(bounded):
    model = adapt(load("pocket"), Input(bounded=bounded), CLASSES).eval()
    photos = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    with torch.no_grad():
        model.side.program.normal_(0, 0.5)
        twin = copy.deepcopy(model.network)
        twin._forward_pre_hooks.clear()
        pattern = model.side.program.tanh() if bounded else model.side.program
        expected = twin(model.normalise(photos) + pattern)
        assert torch.equal(model(photos), expected)
        assert not torch.allclose(twin(model.normalise(photos)), expected)


class Tiny(nn.Module):
    """Seven classes."""

    def __init__(self, bias=True):
        super().__init__()
        self.stem, self.conv = nn.Conv2d(3, 8, 3, stride=2), nn.Conv2d(8, 8, 3, stride=2)
        self.head = nn.Linear(8, 7, bias=bias)

    def forward(self, x):
        return self.head(F.relu(self.conv(F.relu(self.stem(x)))).mean((2, 3)))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("targets", "sources", "told_by"),
    [
        (3, 10, [[0, 3], [1, 4], [2, 5]]),  # as many as there are: class 6 of the backbone is not used
        (3, 1, [[0], [1], [2]]),  # Elsayed's: the first classes
        (2, 3, [[0, 2, 4], [1, 3, 5]]),
        (7, 10, [[0], [1], [2], [3], [4], [5], [6]]),
    ],
)
def test_a_class_is_told_by_the_mean_of_the_old_logits(targets, sources, told_by, bias):
    network, images = Tiny(bias).double(), torch.randn(4, 3, 16, 16, dtype=torch.float64)
    backbone = load(network, image_size=16)
    method, names = Input(head="map", sources=sources), [f"class {i}" for i in range(targets)]
    with torch.no_grad():
        expected = torch.stack([network(images)[:, own].mean(1) for own in told_by], 1)
        model = adapt(backbone, method, names).double().eval()
        torch.testing.assert_close(model(images), expected, atol=1e-6, rtol=1e-6)  # the new head is made in float32
    assert digest(model.network.head.state_dict()) == digest(
        adapt(backbone, method, names, seed=9).double().network.head.state_dict()
    ), "nothing about the mapping is random"


def test_a_mapping_needs_enough_classes_and_new_ones():
    backbone = load(Tiny(), image_size=16)
    eight = [f"class {i}" for i in range(8)]
    with pytest.raises(UsageError, match="for each of the 8 new ones, and it has 7. Leave head=last"):
        adapt(backbone, Input(head="map"), eight)
    with pytest.raises(UsageError, match="no new classes are named.* or leave head=last"):
        adapt(backbone, Input(head="map"))
    assert adapt(backbone, Input(), eight)(torch.randn(2, 3, 16, 16)).shape == (2, 8)
    assert set(adapt(backbone, Input()).trainable()) == {"side.program", "network.head.weight", "network.head.bias"}


@pytest.mark.parametrize("settings", [{"head": "none"}, {"sources": 0}, {"side_lr": -1.0}])
def test_settings_out_of_range(settings):
    (name,) = settings
    with pytest.raises(UsageError, match=f"{name} is"):
        Input(**settings)


@pytest.mark.parametrize("lean", [False, True])
def test_images_of_another_size_are_refused(small, lean):
    model = adapt(small, Input(), CLASSES).eval()
    if lean:
        make_lean(model)
    said = "program is 3 x 64 x 64 and the images are 3 x 96 x 96"
    # without shapes nothing can be planned, which the lean pass says before the model's own error
    with pytest.raises(EdgewiseError, match=said), pytest.warns(match=said) if lean else nullcontext():
        model(torch.randn(1, 3, 96, 96))


def step(model, images):
    model.zero_grad()
    loss = F.cross_entropy(model(images), torch.arange(len(images)) % 3)
    loss.backward()
    return {name: p.grad.double() for name, p in model.trainable().items()}


@pytest.mark.parametrize("chunk", [0, 1, 2])
@pytest.mark.parametrize("method", [Input(), Input(bounded=True), Input(head="map")], ids=repr)
@pytest.mark.parametrize("kind", ["floats", "bytes"])
def test_lean_computes_the_same_gradients(small, method, chunk, kind, monkeypatch):
    monkeypatch.setattr("edgewise.lean.planning.ROOM", 0)
    torch.manual_seed(0)
    model = adapt(small, method, CLASSES)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.data.uniform_(0.5, 1.5)
            module.running_var.uniform_(0.5, 1.5)
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    model.side.program.data.normal_(0, 0.5)
    model.to(memory_format=torch.channels_last)
    images = torch.randint(0, 256, (5, 3, 64, 64), dtype=torch.uint8)
    if kind == "floats":
        images = model.normalise(images)
    twin = copy.deepcopy(model).double()
    exact = step(twin, model.normalise(images).double())
    plain = step(copy.deepcopy(model), images)
    assert make_lean(model, Lean(chunk=chunk)) == ()
    lean = step(model, images)
    assert vars(model)["forward"].steps(images).uncovered == ()
    for name, truth in exact.items():
        noise, error = (float((own[name] - truth).norm() / truth.norm()) for own in (plain, lean))
        assert error <= max(3 * noise, 1e-3), name
    make_plain(model)
    assert torch.equal(step(model, images)["side.program"], plain["side.program"])


def test_lean_keeps_bits_where_stock_torch_keeps_everything(small):
    images, kept = torch.randn(4, 3, 64, 64), []
    model = adapt(small, Input(), CLASSES).to(memory_format=torch.channels_last)
    for lean in False, True:
        if lean:
            make_lean(model, Lean(chunk=0, recompute=False))
        with KeptBytes([images, *model.parameters(), *model.buffers()]) as counter:
            loss = F.cross_entropy(model(images), torch.zeros(4, dtype=torch.long))
        kept.append(counter.total)
        del loss
    assert kept[1] < kept[0] / 20


def test_a_program_alone_learns():
    """Nothing else trains: with a frozen, mapped head the loss falls."""
    torch.manual_seed(0)
    model = adapt(load("pocket"), Input(head="map", side_lr=0.05), CLASSES)
    images, labels = torch.randn(9, 3, 32, 32), torch.arange(9) % 3
    frozen = digest(model.network.state_dict())
    optimizer, losses = torch.optim.Adam(model.trainable().values(), 0.05), []
    for _ in range(40):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] - 0.3
    assert digest(model.network.state_dict()) == frozen


def test_it_does_not_merge(small):
    with pytest.raises(UsageError, match="does not merge"):
        adapt(small, Input(), CLASSES).merged()
