"""timm and Hugging Face.  Nothing is downloaded; what needs their libraries skips where they are absent."""

import importlib
import importlib.util
import json
import subprocess
import sys

import pytest
import torch

from edgewise.backbones import load
from edgewise.backbones.external import ensure_torchvision
from edgewise.backbones.stages import blocks_of, connectors
from edgewise.core.errors import EdgewiseError, UsageError
from edgewise.core.preprocess import Preprocess


def absent(name):
    return importlib.util.find_spec(name) is None


needs_timm = pytest.mark.skipif(absent("timm"), reason="timm is an extra")
needs_transformers = pytest.mark.skipif(absent("transformers"), reason="transformers is an extra")
# Their own deprecations are not ours to mend.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize(
    ("name", "module", "extra"), [("timm:resnet18", "timm", "timm"), ("hf:x/y", "transformers", "hf")]
)
def test_without_the_library_the_message_says_what_to_install(monkeypatch, name, module, extra):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda n, *rest: None if n == module else found(n, *rest))
    with pytest.raises(UsageError) as caught:
        load(name)
    assert str(caught.value) == (
        f"{module} is not installed, and this backbone is its: pip install 'edgewise[{extra}]'."
    )


@pytest.mark.parametrize("prefix", ["timm:", "hf:"])
def test_a_name_is_needed(prefix):
    with pytest.raises(UsageError, match=f"^'{prefix}' names no network; write {prefix}NAME.$"):
        load(prefix)


def test_width_is_not_for_others():
    with pytest.raises(UsageError, match="^width cannot be chosen for timm:resnet18; leave it out.$"):
        load("timm:resnet18", width=0.5)


@pytest.mark.skipif(not absent("torchvision"), reason="torchvision is installed")
def test_torchvision_may_be_missing():
    assert ensure_torchvision() == "missing"


@pytest.mark.skipif(absent("torchvision"), reason="torchvision is an extra")
def test_torchvision_can_be_imported_twice_over():
    state = ensure_torchvision()
    assert state in ("full", "no-ops")
    assert ensure_torchvision() == state
    assert importlib.import_module("torchvision").extension._has_ops() == (state == "full")


def test_a_torchvision_that_is_broken_otherwise_raises_as_it_comes(tmp_path):
    """In a process of its own, with a torchvision that fails for a reason we do not know."""
    package = tmp_path / "torchvision"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('something else')\n")
    code = "from edgewise.backbones.external import ensure_torchvision; ensure_torchvision()"
    paths = [str(tmp_path), *sys.path]
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:] = {paths!r}; {code}"], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.strip().endswith("RuntimeError: something else")


@needs_timm
def test_timm_random():
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    one = load("timm:mobilenetv2_035" if _timm_has("mobilenetv2_035") else "timm:mobilenetv2_050", "none", seed=4)
    assert torch.equal(torch.rand(1), expected)
    two, other = (load(one.name, "none", seed=seed) for seed in (4, 5))
    assert one.fingerprint == two.fingerprint != other.fingerprint
    assert (one.head, one.input, one.settings, one.weights) == ("classifier", Preprocess(224), {"seed": 4}, None)
    points = [block.name for block in connectors(blocks_of(one.module, 96))]
    assert points == [f"blocks.{i}.0" for i in (1, 2, 3, 4, 5, 6)]


@needs_timm
def test_timm_with_a_file(tmp_path):
    net = load("timm:resnet10t", "none", classes=3)
    torch.save({"state_dict": net.module.state_dict()}, tmp_path / "w.pth")
    again = load("timm:resnet10t", tmp_path / "w.pth", classes=3, seed=9)
    assert again.fingerprint == net.fingerprint
    assert again.weights.sha256
    assert again.settings == {"classes": 3}
    with pytest.raises(EdgewiseError, match="do not fit timm:resnet10t: 2 of another shape: fc.weight"):
        load("timm:resnet10t", tmp_path / "w.pth")


@needs_timm
def test_timm_does_not_know_the_name():
    with pytest.raises(UsageError, match=r"^timm has no network 'mobilenetv2_1000'. Did you mean 'mobilenetv2_\d+'\?"):
        load("timm:mobilenetv2_1000")


@needs_timm
def test_timm_without_network(monkeypatch):
    timm = importlib.import_module("timm")

    def offline(*arguments, **named):
        raise OSError("no route to host\nmore lines")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(EdgewiseError) as caught:
        load("timm:resnet10t")
    assert str(caught.value) == (
        "timm:resnet10t could not be opened (OSError: no route to host). Its weights are downloaded the first time "
        "they are used; without a network name a file with --weights, or take --weights none."
    )


@pytest.fixture
def folder(tmp_path):
    """A small MobileNetV2 with random weights, saved as Hugging Face saves it."""
    ensure_torchvision()
    transformers = importlib.import_module("transformers")
    config = transformers.MobileNetV2Config(
        image_size=64, depth_multiplier=0.35, id2label={0: "ant", 1: "bee"}, label2id={"ant": 0, "bee": 1}
    )
    transformers.MobileNetV2ForImageClassification(config).save_pretrained(tmp_path)
    return tmp_path


@needs_transformers
def test_hugging_face_folder(folder):
    said = {"do_center_crop": True, "crop_size": {"height": 48, "width": 48}, "size": {"shortest_edge": 55}}
    said |= {"image_mean": [0.5] * 3, "image_std": [0.25] * 3, "image_processor_type": "MobileNetV2ImageProcessor"}
    (folder / "preprocessor_config.json").write_text(json.dumps(said))
    net = load(f"hf:{folder}")
    assert net.input == Preprocess(48, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    assert net.classes == ("ant", "bee")
    assert net.head == "model.classifier"
    assert net.notes == ()
    assert net.weights.source is None, "a folder of the user's is nobody else's business"
    assert net.module(torch.zeros(2, 3, 48, 48)).shape == (2, 2)
    assert len(connectors(blocks_of(net.module, 64))) == 6
    same = load(f"hf:{folder}", weights=folder / "model.safetensors")
    other = load(f"hf:{folder}", weights="none", seed=1)
    assert net.fingerprint == same.fingerprint != other.fingerprint
    assert other.settings == {"seed": 1}


@needs_transformers
@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"size": 40}, Preprocess(40)),
        ({"size": {"height": 40, "width": 40}, "do_center_crop": False, "crop_size": 32}, Preprocess(40)),
        ({"size": {"shortest_edge": 40}, "do_normalize": False}, Preprocess(40, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))),
        ({}, Preprocess(64)),
    ],
    ids=["number", "no crop", "not normalised", "silent"],
)
def test_hugging_faces_ways_of_saying_the_input(folder, said, expected):
    (folder / "preprocessor_config.json").write_text(json.dumps(said))
    assert load(f"hf:{folder}").input == expected


@needs_transformers
def test_hugging_face_without_a_processor(folder):
    net = load(f"hf:{folder}")
    assert net.input == Preprocess(64)
    assert net.notes == (
        f"hf:{folder} has no preprocessor_config.json; assumed: input 64 px, ImageNet's mean and std.",
    )


@needs_transformers
def test_hugging_face_folder_that_is_not_there(tmp_path):
    with pytest.raises(UsageError, match=r"^There is no folder .*nowhere; hf: takes a folder, or the name of a model"):
        load(f"hf:{tmp_path / 'nowhere'}")


def _timm_has(name):
    ensure_torchvision()
    return importlib.import_module("timm").is_model(name)
