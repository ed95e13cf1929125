"""Bytes to numbers."""

import pytest
import torch

from edgewise.core.preprocess import Preprocess
from edgewise.layers.normalise import Normalise, normalise


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_normalise(memory_format: torch.memory_format) -> None:
    preprocess = Preprocess(16, (0.4, 0.5, 0.6), (0.2, 0.25, 0.5))
    batch = torch.randint(0, 256, (5, 3, 16, 16), dtype=torch.uint8).to(memory_format=memory_format)
    before = batch.clone()
    found = normalise(batch, preprocess)
    mean, std = (torch.tensor(v, dtype=torch.double).view(3, 1, 1) for v in (preprocess.mean, preprocess.std))
    assert found.dtype == torch.float32
    assert found.is_contiguous(memory_format=memory_format)
    assert torch.allclose(found.double(), (batch.double() / 255 - mean) / std, atol=1e-6)
    assert torch.equal(batch, before)


def test_the_layer_takes_bytes_and_leaves_floats_alone() -> None:
    layer = Normalise(Preprocess(8))
    images = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)
    floats = normalise(images, layer.preprocess)
    assert torch.equal(layer(images), floats)
    assert layer(floats) is floats
    assert not list(layer.state_dict())
