"""A convolution whose weight is held in 8 bits is the same layer with rounded weights."""

import copy
import io

import pytest
import torch
from torch import nn

from edgewise.backbones.blocks import SameConv2d
from edgewise.core.surgery import digest
from edgewise.layers.int8_weight import hold_float, hold_int8, int8_layers, origins, weight_scale
from edgewise.ops.quantised import dequantised, quantised

LAYERS = {
    "plain": lambda: nn.Conv2d(6, 4, 3, 2, 1),
    "depthwise": lambda: nn.Conv2d(6, 6, 3, padding=1, groups=6, bias=False),
    "same": lambda: SameConv2d(6, 4, 3, 2, 0, bias=False),
    "double": lambda: nn.Conv2d(6, 4, 1).double(),
}


@pytest.fixture(params=sorted(LAYERS))
def layer(request) -> nn.Conv2d:
    torch.manual_seed(0)
    return LAYERS[request.param]().requires_grad_(False)


def test_there_and_back(layer: nn.Conv2d) -> None:
    images = torch.randn(2, 6, 9, 9, dtype=layer.weight.dtype)
    rounded = copy.deepcopy(layer)
    rounded.weight.copy_(dequantised(*quantised(layer.weight)))
    expected, parameter, keys = rounded(images), layer.weight, list(layer.state_dict())
    assert weight_scale(layer) is None
    assert not torch.equal(layer(images), expected)
    hold_int8(layer)
    assert layer.weight is parameter, "the same parameter in the same place"
    assert layer.weight.dtype == torch.int8
    assert weight_scale(layer) is not None
    assert torch.equal(layer(images), expected)
    assert torch.equal(type(layer).forward(layer, images), expected)
    state = layer.state_dict()
    assert list(state) == keys
    assert all(torch.equal(state[k], t) and state[k].dtype == t.dtype for k, t in rounded.state_dict().items())
    hold_float(layer)
    assert layer.weight is parameter
    assert torch.equal(layer.weight, rounded.weight)
    assert torch.equal(layer(images), expected)
    assert vars(layer).keys() == vars(rounded).keys()
    assert not dict(layer.named_buffers())


def test_a_copy_is_independent(layer: nn.Conv2d) -> None:
    hold_int8(layer)
    images = torch.randn(1, 6, 9, 9, dtype=weight_scale(layer).dtype)
    before, other = layer(images), copy.deepcopy(layer)
    assert torch.equal(other(images), before)
    other.load_state_dict({k: 2 * v for k, v in layer.state_dict().items()})
    assert torch.equal(layer(images), before)
    assert torch.allclose(other(images), 2 * before, rtol=1e-5)
    hold_float(other)
    assert layer.weight.dtype == torch.int8


def test_state_dicts_are_loaded_and_saved(layer: nn.Conv2d) -> None:
    torch.manual_seed(1)
    other = copy.deepcopy(layer)
    other.weight.normal_()
    hold_int8(layer)
    layer.load_state_dict(other.state_dict())
    assert torch.equal(layer.state_dict()["weight"], dequantised(*quantised(other.weight)))
    assert origins(layer) == {".weight": digest({"": other.weight})}
    file = io.BytesIO()
    torch.save(layer.state_dict(), file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    fresh = copy.deepcopy(layer)
    fresh.load_state_dict(saved)
    assert torch.equal(fresh.weight, layer.weight)
    assert torch.equal(weight_scale(fresh), weight_scale(layer)), "rounding what was rounded changes nothing"
    with pytest.raises(RuntimeError, match="size mismatch for weight"):
        layer.load_state_dict({**saved, "weight": torch.zeros(1)})
    with pytest.raises(RuntimeError, match="Missing key"):
        layer.load_state_dict({})
    with pytest.raises(ValueError, match="not a finite number"):
        layer.load_state_dict({**saved, "weight": saved["weight"] * float("nan")})


def test_it_cannot_train_until_it_is_float(layer: nn.Conv2d) -> None:
    hold_int8(layer)
    with pytest.raises(RuntimeError, match="only Tensors of floating point"):
        layer.requires_grad_(True)
    hold_float(layer)
    assert layer.requires_grad_(True).weight.requires_grad


def test_layers_are_found_by_name() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU()))
    model.requires_grad_(False)
    before = digest({"": model[1][0].weight})
    hold_int8(model[1][0])
    assert [name for name, _ in int8_layers(model)] == ["1.0"]
    assert origins(model) == {"1.0.weight": before}
    assert not [name for name in model.state_dict() if "scale" in name]


def test_halves_of_it_move_together() -> None:
    layer = nn.Conv2d(3, 4, 3).requires_grad_(False)
    hold_int8(layer)
    before = layer.state_dict()["weight"]
    layer.double().to(memory_format=torch.channels_last)
    assert layer.weight.dtype == torch.int8
    assert torch.equal(layer.state_dict()["weight"], before.double())
    assert layer(torch.randn(1, 3, 5, 5, dtype=torch.float64)).dtype == torch.float64


def test_what_it_came_from_is_forgotten_only_for_other_values() -> None:
    layer = nn.Conv2d(3, 4, 3).requires_grad_(False)
    whole = digest({"": layer.weight})
    hold_int8(layer)
    layer.load_state_dict(layer.state_dict())
    assert origins(layer) == {".weight": whole}
    layer.load_state_dict({**layer.state_dict(), "weight": -layer.state_dict()["weight"]})
    assert origins(layer) != {".weight": whole}
