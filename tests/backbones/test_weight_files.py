"""Weight files as they come: whole, wrapped, cut off, changed, hostile, or not there."""

import collections
import contextlib
import os
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save, save_file
from torch import nn

from edgewise.backbones.weight_files import read_weights
from edgewise.core.errors import EdgewiseError, UsageError
from edgewise.core.files import sha256_of

TENSORS = {"fc.weight": torch.arange(6.0).reshape(2, 3), "fc.bias": torch.ones(2)}
WHOLE = save(TENSORS, {"arch": "x"})


def same(tensors):
    return tensors.keys() == TENSORS.keys() and all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)


def refused(path, kind=EdgewiseError):
    with pytest.raises(kind) as caught:
        read_weights(path)
    return str(caught.value)


def test_safetensors(tmp_path):
    path = tmp_path / "w.safetensors"
    save_file(TENSORS, path, {"licence": "MIT"})
    file = read_weights(path)
    assert same(file.tensors)
    assert file.metadata == {"licence": "MIT"}
    assert file.sha256 == sha256_of(path)


@pytest.mark.parametrize("suffix", ["pth", "pt", "th"])
@pytest.mark.parametrize(
    "content",
    [
        TENSORS,
        collections.OrderedDict(TENSORS),
        {"state_dict": TENSORS, "epoch": 3, "best": 0.5},
        {"model": TENSORS, "optimizer": {"lr": 1.0}},
        {"state_dict": {f"module.{name}": tensor for name, tensor in TENSORS.items()}},
    ],
    ids=["plain", "ordered", "state_dict", "model", "DataParallel"],
)
def test_pickles_of_tensors(tmp_path, content, suffix):
    torch.save(content, tmp_path / f"w.{suffix}")
    file = read_weights(tmp_path / f"w.{suffix}")
    assert same(file.tensors)
    assert file.metadata == {}


def test_the_older_format_of_torch(tmp_path):
    torch.save(TENSORS, tmp_path / "w.pth", _use_new_zipfile_serialization=False)
    assert same(read_weights(tmp_path / "w.pth").tensors)


class Hostile:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (self.mark,)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_that_would_run_is_refused_and_does_not_run(tmp_path, zipped):
    mark, path = tmp_path / "it ran", tmp_path / "w.pth"
    torch.save({"w": Hostile(str(mark))}, path, _use_new_zipfile_serialization=zipped)
    message = refused(path)
    assert message.startswith(f"{path} holds Python objects besides tensors, and opening it could run anything, so it")
    assert "Ask for a .safetensors file" in message
    assert not mark.exists()
    with pytest.raises(EdgewiseError):
        read_weights(path)
    torch.load(path, weights_only=False)
    assert mark.exists(), "the test's pickle is as hostile as it says"


def test_a_whole_pickled_module_is_refused(tmp_path):
    torch.save(nn.Linear(2, 2), tmp_path / "w.pth")
    assert "save only model.state_dict() with torch.save" in refused(tmp_path / "w.pth")


def test_a_plain_pickle_is_refused(tmp_path):
    mark = tmp_path / "it ran"
    (tmp_path / "w.pth").write_bytes(pickle.dumps({"w": Hostile(str(mark))}))
    refused(tmp_path / "w.pth")
    assert not mark.exists()


@pytest.mark.parametrize(
    "content", [[1, 2], {"lr": 0.1}, {"state_dict": {}}, {"w": torch.ones(1), "n": 3}, {1: torch.ones(1)}]
)
def test_a_pickle_without_a_state_dict(tmp_path, content):
    torch.save(content, tmp_path / "w.pth")
    assert "holds no state_dict: it should be a dictionary of names and tensors" in refused(tmp_path / "w.pth")


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_a_torch_file_that_was_cut_off(tmp_path, keep):
    path = tmp_path / "w.pth"
    torch.save(TENSORS, path)
    path.write_bytes(path.read_bytes()[:keep])
    message = refused(path)
    reason = "it is empty" if keep == 0 else "it was cut off, changed, or is something else"
    assert message == f"{path} is not a whole torch file: {reason}. Copy or download it again."


@pytest.mark.parametrize("keep", range(0, len(WHOLE), 7))
def test_a_safetensors_file_that_was_cut_off(tmp_path, keep):
    path = tmp_path / "w.safetensors"
    path.write_bytes(WHOLE[:keep])
    message = refused(path)
    assert message.startswith(f"{path} is not a whole safetensors file (")
    assert message.endswith("it was cut off, changed, or is something else. Copy or download it again.")


@settings(max_examples=150)
@given(st.integers(0, len(WHOLE) - 33), st.integers(0, 255))
def test_a_changed_header_is_read_or_refused(tmp_path_factory, place, value):
    """One byte before the tensors changed: never another error than ours, whatever comes out."""
    path = tmp_path_factory.mktemp("w") / "w.safetensors"
    path.write_bytes(WHOLE[:place] + bytes([value]) + WHOLE[place + 1 :])
    with contextlib.suppress(EdgewiseError):
        assert read_weights(path).tensors


def test_no_tensors(tmp_path):
    save_file({}, tmp_path / "w.safetensors")
    assert refused(tmp_path / "w.safetensors") == f"There are no tensors in {tmp_path / 'w.safetensors'}."


def test_another_kind_of_file(tmp_path):
    path = tmp_path / "w.onnx"
    path.write_bytes(b"x")
    assert refused(path, UsageError) == (
        f"{path} is not a kind of weight file that is read: .safetensors, .pth, .pt, .th."
    )


def test_a_wrong_name_says_what_is_there(tmp_path):
    for name in ("w035.safetensors", "w100.safetensors", "notes.txt"):
        (tmp_path / name).touch()
    path = tmp_path / "w35.safetensors"
    assert refused(path, UsageError) == (
        f"There is no weight file {path}. Did you mean 'w035.safetensors'? "
        f"In {tmp_path}: w035.safetensors, w100.safetensors."
    )
    assert refused(tmp_path, UsageError) == (
        f"{tmp_path} is a folder, not a weight file. In {tmp_path}: w035.safetensors, w100.safetensors."
    )


def test_a_wrong_folder_says_so(tmp_path):
    for i in range(10):
        (tmp_path / f"{i}.pth").touch()
    path = tmp_path / "wieghts" / "deep" / "a.pth"
    message = refused(path, UsageError)
    assert message.startswith(f"There is no weight file {path}. There is no folder {path.parent} either.")
    assert message.endswith(f"In {tmp_path}: 0.pth, 1.pth, 2.pth, 3.pth, 4.pth, 5.pth, 6.pth, 7.pth and 2 more.")


def test_nothing_near(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert refused(tmp_path.relative_to(tmp_path) / "imagenet", UsageError) == (
        "There is no weight file imagenet. No weight files (.safetensors, .pth, .pt, .th) are in the current folder."
    )
