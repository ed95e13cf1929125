"""The report of a real compression shows the codes and the bytes of the file that lies beside it."""

import dataclasses
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edgewise.compress import read_network
from edgewise.compress.array import Array, packed_layers, speedup
from edgewise.compress.network import Conv, Packed
from edgewise.core.runs import RunFolder
from edgewise.core.units import megabytes, percent
from edgewise.jobs.compress import Compression, CompressRequest, compress
from edgewise.report.compress_record import Compression as Read
from edgewise.report.compress_record import read_compression
from edgewise.report.section import read_section


class Plain(nn.Module):
    """Three convolutions with norms, 16 pixels to 2 classes."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.bn1 = nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8)
        self.second, self.bn2 = nn.Conv2d(8, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        self.third, self.bn3 = nn.Conv2d(16, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16)
        self.head = nn.Linear(16, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.bn1(self.first(x)))
        x = F.relu(self.bn2(self.second(x)))
        return self.head(F.relu(self.bn3(self.third(x))).mean((2, 3)))


@pytest.fixture(scope="module")
def run(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, groups of 4 input channels."""
    out = tmp_path_factory.mktemp("report") / "run"
    settings = Compression(pe=4, lam=0.2, clip=1.0)
    request = CompressRequest(
        str(photos), compression=settings, epochs=4, batch_size=8, lr=0.05, image_size=16, pad=2, workers=0
    )
    compress(request, out, module=Plain())
    return out


@pytest.fixture(scope="module")
def read(run: Path) -> Read:
    return read_compression(read_section(run))


def packed(run: Path) -> dict[str, Packed]:
    steps = read_network(run / "artifact" / "network.ew3").steps
    return {s.name: s.op.weight for s in steps if isinstance(s.op, Conv) and isinstance(s.op.weight, Packed)}


def test_the_tiles_are_the_codes_of_the_file(run: Path, read: Read) -> None:
    assert read.tiles is not None
    name, found = read.tiles
    weight = packed(run)[name]
    assert (found.slab, found.shape) == (weight.slab, tuple(weight.ternary.codes.shape))
    assert list(found.values) == weight.ternary.codes.flatten().tolist()


def test_the_layers_are_those_of_the_file(run: Path, read: Read) -> None:
    stored = {layer.name: (layer.groups, layer.held) for layer in packed_layers(read_network(_file(run)))}
    assert {layer.name: (layer.groups, layer.stored) for layer in read.layers} == stored
    assert [len(layer.norms) for layer in read.layers] == [layer.groups for layer in read.layers]


def test_the_page_tells_the_bytes_of_the_file(run: Path, read: Read) -> None:
    size = _file(run).stat().st_size
    page = RunFolder(run).report.read_text(encoding="utf-8").replace("\u00a0", " ")
    assert read.file_bytes == size
    assert f"{read.float_bytes / size:.2f}×" in page
    assert megabytes(size) in page
    assert percent(read.results.accuracy) in page
    assert [one.number for one in read.history] == [1, 2, 3, 4]
    assert [pair[0] for pair in read.evolution[0].delta] == [1, 2, 3, 4]


def test_the_model_of_the_array_reads_the_file(run: Path, read: Read) -> None:
    layers = packed_layers(read_network(_file(run)))
    assert [layer.places for layer in layers] == [8 * 8, 4 * 4]
    got = dataclasses.asdict(speedup(layers, Array(elements=4, index=2.0, fixed=50.0)))
    assert got["ideal"] >= got["with_overhead"] >= got["with_imbalance"] > 0


def _file(run: Path) -> Path:
    return run / "artifact" / "network.ew3"
