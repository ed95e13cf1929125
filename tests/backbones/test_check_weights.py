"""Real weights on real photos: a few of them here, all of them in the slow suite."""

import dataclasses
import importlib.util
import json
import sys
from pathlib import Path

import pytest
import torch

from edgewise.backbones import FAMILIES, load
from edgewise.backbones.mcunet import SPEC
from edgewise.backbones.proxylessnas import TABLE
from edgewise.backbones.weight_files import read_weights
from edgewise.backbones.weight_records import RECORDS
from edgewise.core.errors import EdgewiseError
from edgewise.core.preprocess import Preprocess

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def recipe():
    """``recipes/check_weights.py``; recipes are scripts, not a package."""
    path = ROOT / "recipes" / "check_weights.py"
    spec = importlib.util.spec_from_file_location("recipe_check_weights", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def weights(shared, name):
    return shared / "weights" / f"{name}.safetensors"


def test_every_file_has_its_record_and_loads(shared, recipe):
    files = {path.stem: path for path in (shared / "weights").glob("*.safetensors")}
    families = {check.file: check.family for check in recipe.CHECKS} | {recipe.PROBE_FILE: "mobilenet_v2"}
    assert files.keys() == families.keys()
    assert len(files) == 9
    for name, path in files.items():
        net = load(families[name], path, image_size=32)
        assert net.weights.sha256 in RECORDS
        assert net.weights.head == (name != recipe.PROBE_FILE)
        assert net.notes[0].startswith(f"{path.name} is known by its SHA-256: ")
        assert "assumed" not in " ".join(net.notes)


def test_the_default_spec_is_the_published_one(shared):
    metadata = read_weights(weights(shared, "mcunet_5fps_imagenet")).metadata
    assert json.loads(metadata["arch"]) == SPEC


def test_the_published_proxyless_spec_is_our_table(shared):
    """The same search result from two sources: expansion, kernel and stride of every block."""
    arch = json.loads(read_weights(weights(shared, "mcu_proxyless_w030_imagenet")).metadata["arch"])
    theirs = [
        (b["pointwise1"][1] // b["pointwise1"][0] if "pointwise1" in b else 1, b["depthwise"][2], b["depthwise"][3])
        for b in arch["blocks"]
    ]
    assert theirs == [(row[0], row[1], row[3]) for row in TABLE if row is not None]


def test_wrong_family_on_a_real_file(shared):
    path = weights(shared, "mcunet_5fps_imagenet")
    with pytest.raises(EdgewiseError, match="holds weights of mcunet, not of mobilenet_v2: use --backbone mcunet"):
        load("mobilenet_v2", path)


def test_a_real_file_cut_off(shared, tmp_path):
    whole = weights(shared, "cifar10_resnet20").read_bytes()
    path = tmp_path / "cifar10_resnet20.safetensors"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(EdgewiseError, match="is not a whole safetensors file"):
        load("resnet20", path)


def test_an_edited_copy_is_no_longer_known_but_its_words_are_read(shared, tmp_path):
    file = read_weights(weights(shared, "mobilenet_v1_w025_imagenet"))
    path = tmp_path / "mine.pth"
    torch.save(dict(file.tensors), path)
    net = load("mobilenet_v1", path, image_size=64)
    assert net.settings == {"width": 0.25, "padding": "tf-same", "bn_eps": 1e-3, "classes": 1000}
    assert net.weights.licence is None
    assert net.notes[0].startswith(
        "mine.pth does not say everything; assumed, as usual for mobilenet_v1: padding tf-same"
    )


# On these 100 images the right settings give 54 and 78, torch's padding 37, other means and stds 46 and 57 or less.
@pytest.mark.parametrize(("name", "at_least"), [("mobilenet_v1_w025_imagenet", 50), ("cifar10_resnet20", 70)])
def test_a_hundred_images(shared, recipe, name, at_least):
    check = next(check for check in recipe.CHECKS if check.file == name)
    images = recipe.Packed.open(shared / "images" / f"{check.images}.npz")
    net = load(check.family, weights(shared, name))
    found = recipe.accuracy(net, images, limit=100)
    assert found["n"] == 100
    assert at_least <= found["top1"] <= found["top5"] <= 100
    other = dataclasses.replace(net, input=Preprocess(net.input.size, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)))
    assert recipe.accuracy(other, images, limit=100)["top1"] < at_least, "the check can fail"


def test_pocket_on_a_hundred_images(shared, recipe):
    """Its record says 86.55 % on all 10,000."""
    images = recipe.Packed.open(shared / "images" / "cifar10_test.npz")
    assert recipe.accuracy(load("pocket"), images, limit=100)["top1"] >= 80


def test_the_probe_chooses_on_train_and_sees_test_once(recipe):
    """On features that are easy and labels that are noise: the score follows the data, not the split."""
    torch.manual_seed(0)
    labels = torch.arange(5).repeat(40)
    held = recipe._a_fifth(labels)
    assert torch.equal(labels[held].bincount(), torch.full((5,), 8))
    x = torch.nn.functional.one_hot(labels).double() + 0.1 * torch.randn(200, 5, dtype=torch.float64)
    assert recipe._score(recipe._ridge(x[~held], labels[~held], 1.0), x[held], labels[held]) == 100
    noise = labels[torch.randperm(200)]
    assert recipe._score(recipe._ridge(x[~held], noise[~held], 1.0), x[held], noise[held]) < 50


def test_the_committed_result_passed(recipe):
    results = sorted((ROOT / "recipes" / "results").glob("check_weights_*.json"))
    rows = json.loads(results[-1].read_text())["rows"]
    assert {row["file"] for row in rows} == {check.file for check in recipe.CHECKS} | {recipe.PROBE_FILE}
    assert all(row["passed"] for row in rows)
    assert {row["family"] for row in rows} <= FAMILIES.keys()


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_all_published_accuracies(shared, recipe):
    rows = recipe.run(shared)
    assert len(rows) == 9
    assert [row["file"] for row in rows if not row["passed"]] == []
