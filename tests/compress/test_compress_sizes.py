"""Compression in three ways, against the dissertation's numbers and our own arithmetic."""

import pytest
import torch
from packed_networks import example
from torch import nn

from edgewise.backbones import FAMILIES
from edgewise.compress import Network, lowered, rate, sizes_of, to_bytes
from edgewise.compress.ternary import KINDS, put_ternary
from edgewise.core.preprocess import Preprocess

CLASSES = tuple("0123456789")


def resnet(depth: int, sparsity: float, ends: bool = False) -> Network:
    """With groups of 16 channels (3 in the first layer), this share of which is empty in every layer."""
    model = FAMILIES[f"resnet{depth}"].build(classes=10)
    for name, layer in model.named_modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.normal_(layer.bias)
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.bias)
        if type(layer) in KINDS and (ends or name not in ("conv1", "linear")):
            slab = min(16, layer.weight.shape[1])
            groups = layer.weight.data.view(layer.weight.shape[0] * layer.weight.shape[1] // slab, -1)
            groups[: round(len(groups) * sparsity)] = 0
            put_ternary(layer, slab)
    return lowered(model, Preprocess(32), CLASSES)


@pytest.mark.parametrize(
    ("sparsity", "printed"),
    [
        (0, 16), (0.25, 21.5), (0.43, 28.1), (0.44, 28.6), (0.55, 35.6),  # Table 3, ours
        (0.18, 19.5), (0.28, 22.2), (0.21, 20.2), (0.42, 27.6),  # Table 3, naive
        (0.3546, 24.7), (0.25, 21.3),  # Tables 2 and 5
    ],
)  # fmt: skip
def test_the_dissertation_s_rates(sparsity: float, printed: float) -> None:
    assert rate(sparsity) == pytest.approx(printed, rel=0.01)


@pytest.mark.parametrize(("sparsity", "printed"), [(0.44, 1.78), (0.34, 1.5), (0.46, 1.85), (0.28, 1.39)])
def test_the_dissertation_s_rates_of_pruning_alone(sparsity: float, printed: float) -> None:
    assert rate(sparsity, bits=32) == pytest.approx(printed, rel=0.02)


def test_a_network_of_which_nothing_is_left_has_no_rate() -> None:
    assert rate(1.0) is None
    assert sizes_of(resnet(20, 1.0)).eq_2_8 is None


@pytest.mark.parametrize(
    ("depth", "sparsity", "eq_2_8", "with_ends", "parameters"),
    [
        (20, 0.25, 21.3, 19.6, 269_722),
        (32, 0.43, 28.1, 26.2, 464_154),
        (44, 0.44, 28.6, 27.1, 658_586),
        (56, 0.55, 35.6, 33.7, 853_018),
    ],
)
def test_honest_rates(depth: int, sparsity: float, eq_2_8: float, with_ends: float, parameters: int) -> None:
    network = resnet(depth, sparsity)
    sizes, content = sizes_of(network), to_bytes(network)
    assert sizes.eq_2_8 == pytest.approx(eq_2_8, rel=0.005)  # whole groups of every layer
    assert sizes.with_ends == pytest.approx(with_ends, rel=0.005)
    assert sizes.float_bytes == 4 * parameters
    assert sizes.file_bytes == len(content)
    assert sizes.file == 4 * parameters / len(content)


@pytest.mark.parametrize(
    ("depth", "sparsity", "printed"), [(20, 0.25, 21.2), (32, 0.43, 27.8), (44, 0.44, 28.3), (56, 0.55, 35.1)]
)
def test_rates_with_ternary_ends(depth: int, sparsity: float, printed: float) -> None:
    assert sizes_of(resnet(depth, sparsity, ends=True)).with_ends == pytest.approx(printed, rel=0.005)


def test_layers_by_the_formula() -> None:
    """32 bits of alpha, one for each group, 288 for each stored group of 16 x 3 x 3."""
    sizes = sizes_of(resnet(20, 0.25))
    assert len(sizes.layers) == 18
    assert sum(layer.zeros.groups for layer in sizes.layers) == 1856
    assert all(layer.bits == 32 + layer.zeros.groups + 288 * layer.zeros.stored for layer in sizes.layers)
    assert sizes.layers[0].name == "layer1.0.conv1"
    assert sizes.zeros["layer1.0.conv1"].stored == 12


def test_a_float_network_and_one_without_layers() -> None:
    network = lowered(FAMILIES["resnet20"].build(classes=10), Preprocess(32), CLASSES)
    sizes = sizes_of(network)
    assert (sizes.layers, sizes.eq_2_8, sizes.with_ends) == ((), None, None)
    assert 0.98 < sizes.file < 1
    small = sizes_of(example())
    assert small.float_bytes == 4 * (6 + 4 + 4 + 2)  # its norm, and a bias
    assert small.file_bytes == len(to_bytes(example()))


def test_a_layer_called_twice_is_held_twice() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.head = nn.Conv2d(3, 3, 3, padding=1), nn.Linear(3, 10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.conv(self.conv(x)).mean((2, 3)))

    model = Twice()
    put_ternary(model.conv, 3)
    sizes = sizes_of(lowered(model, Preprocess(8), CLASSES))
    assert [layer.name for layer in sizes.layers] == ["conv", "conv"]
