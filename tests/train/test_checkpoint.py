"""Checkpoints are whole or absent, and notice what was done to them."""

import json

import pytest
import torch

from edgewise.core.errors import EdgewiseError
from edgewise.train.checkpoint import read_checkpoint, restore, write_checkpoint


@pytest.fixture
def folder(tmp_path):
    write_checkpoint(tmp_path, "state", {"a": torch.arange(6.0).view(2, 3), "n": torch.tensor(3)}, {"epoch": 2})
    return tmp_path


def test_round_trip(folder):
    tensors, state = read_checkpoint(folder, "state")
    assert torch.equal(tensors["a"], torch.arange(6.0).view(2, 3))
    assert tensors["n"].item() == 3
    assert state["epoch"] == 2
    assert json.loads((folder / "state.json").read_text())["epoch"] == 2


def test_absent_is_none(tmp_path):
    assert read_checkpoint(tmp_path, "state") is None


@pytest.mark.parametrize("keep", [0, 7, 40, -1])
def test_truncated_is_refused(folder, keep):
    path = folder / "state.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(EdgewiseError, match=r"checkpoint .* is damaged"):
        read_checkpoint(folder, "state")


def test_changed_tensor_is_refused(folder):
    path = folder / "state.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(EdgewiseError, match="was changed after it was written"):
        read_checkpoint(folder, "state")


def test_changed_position_is_refused(folder):
    path = folder / "state.safetensors"
    content = path.read_bytes()
    assert content.count(b'\\"epoch\\": 2') == 1
    path.write_bytes(content.replace(b'\\"epoch\\": 2', b'\\"epoch\\": 3'))
    with pytest.raises(EdgewiseError, match="was changed after it was written"):
        read_checkpoint(folder, "state")


def test_restore_copies_in_place_and_refuses_strangers(folder):
    live = {"a": torch.zeros(2, 3)}
    kept = live["a"]
    restore(live, {"a": torch.ones(2, 3)}, folder)
    assert torch.equal(kept, torch.ones(2, 3))
    with pytest.raises(EdgewiseError, match="belongs to another model or method"):
        restore(live, {"a": torch.ones(3, 2)}, folder)
    with pytest.raises(EdgewiseError, match="belongs to another model or method"):
        restore(live, {"b": torch.ones(2, 3)}, folder)
