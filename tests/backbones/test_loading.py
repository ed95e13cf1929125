"""``load``: what a file says is used, what it does not say is found or assumed and noted."""

import dataclasses
import json

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from edgewise.backbones import FAMILIES, Backbone, load
from edgewise.backbones import loading as loading_module
from edgewise.backbones.family_loading import packaged
from edgewise.backbones.weight_records import RECORDS
from edgewise.core.errors import EdgewiseError, UsageError
from edgewise.core.preprocess import Preprocess

SIZE = 32


def metadata(family="mobilenet_v2", **said):
    """Metadata in our format; ``said`` replaces or, when None, removes an entry."""
    entries = {
        "arch": json.dumps({"family": family, "settings": {"width": 0.35}}),
        "input": json.dumps({"size": 96, "mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]}),
        "padding": "tf-same",
        "bn_eps": "0.001",
        "classes": json.dumps(["ant", "bee", "cat"]),
        "licence": "CC0-1.0",
        "source": "made by a test",
    }
    return {name: text for name, text in {**entries, **said}.items() if text is not None}


def small(name="mobilenet_v2", classes=3, **settings):
    torch.manual_seed(0)
    return FAMILIES[name].build(classes=classes, **settings)


def write(path, net, said=None, drop=()):
    state = {n: t for n, t in net.state_dict().items() if not n.startswith(tuple(drop))} if drop else net.state_dict()
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, path, said)
    return path


@pytest.fixture
def described(tmp_path):
    return write(tmp_path / "w.safetensors", small(width=0.35, padding="tf-same", bn_eps=1e-3), metadata())


def message(*arguments, kind=EdgewiseError, **named):
    with pytest.raises(kind) as caught:
        load(*arguments, **named)
    return str(caught.value)


def test_what_the_file_says_needs_no_flag(described):
    net = load("mobilenet_v2", described)
    assert dict(net.settings) == {"width": 0.35, "padding": "tf-same", "bn_eps": 1e-3, "classes": 3}
    assert net.input == Preprocess(96, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert net.classes == ("ant", "bee", "cat")
    assert net.notes == ()
    assert net.weights.path == str(described)
    assert (net.weights.licence, net.weights.source) == ("CC0-1.0", "made by a test")
    assert (net.weights.padding, net.weights.bn_eps, net.weights.head) == ("tf-same", 1e-3, True)
    assert net.weights.input == net.input
    twin = small(width=0.35, padding="tf-same", bn_eps=1e-3).eval()
    x = torch.randn(2, 3, SIZE, SIZE)
    assert torch.equal(net.module(x), twin(x))


def test_image_size_changes_the_input_and_not_the_record(described):
    net = load("mobilenet_v2", described, image_size=64)
    assert net.input == dataclasses.replace(net.weights.input, size=64)
    assert net.weights.input.size == 96


def test_what_the_file_does_not_say_is_found_or_assumed_and_noted(tmp_path):
    path = write(tmp_path / "bare.safetensors", small(width=0.35), None)
    net = load("mobilenet_v2", path, image_size=SIZE)
    assert dict(net.settings) == {"width": 0.35, "padding": "torch", "bn_eps": 1e-5, "classes": 3}
    assert net.classes is None
    assert net.notes == (
        "bare.safetensors does not say everything; assumed, as usual for mobilenet_v2: padding torch; "
        "norm epsilon 1e-05; input 224 px, mean 0.485 0.456 0.406, std 0.229 0.224 0.225.",
        "Width 0.35 was found in the shapes of bare.safetensors.",
    )


@pytest.mark.parametrize("said", [{"bn_eps": "0.001", "padding": "tensorflow-same", "input": "RGB, (x-0.5)/0.5"}])
def test_older_words_and_free_text(tmp_path, said):
    net = load("mobilenet_v1", write(tmp_path / "old.safetensors", small("mobilenet_v1", width=0.25), said))
    assert dict(net.settings) == {"width": 0.25, "padding": "tf-same", "bn_eps": 1e-3, "classes": 3}
    assert net.notes[0].endswith("as usual for mobilenet_v1: input 224 px, mean 0.5 0.5 0.5, std 0.5 0.5 0.5.")


@pytest.mark.parametrize(
    ("name", "width"),
    [
        ("mobilenet_v2", 1.0),
        ("mobilenet_v1", 0.5),
        ("proxylessnas_mobile", 0.3),
        ("mobilenet_v2", 1.4),
        ("mobilenet_v3_small", 0.75),
        ("mobilenet_v3_large", 0.1),
    ],
)
def test_widths_are_found_in_shapes(tmp_path, name, width):
    net = load(name, write(tmp_path / "w.safetensors", small(name, width=width)), image_size=SIZE)
    assert net.settings["width"] == width


def test_pth_of_torchvision_as_it_is(tmp_path):
    twin = small(classes=1000).eval()
    torch.save(twin.state_dict(), tmp_path / "mobilenet_v2-b0353104.pth")
    net = load("mobilenet_v2", tmp_path / "mobilenet_v2-b0353104.pth", image_size=SIZE)
    x = torch.randn(1, 3, SIZE, SIZE)
    assert torch.equal(net.module(x), twin(x))
    assert net.input == Preprocess(SIZE)


def test_a_file_without_a_head_gets_a_random_one(tmp_path):
    path = write(tmp_path / "body.safetensors", small(width=0.35), metadata(classes=None), drop=["classifier"])
    one, two, other = (load("mobilenet_v2", path, seed=seed, image_size=SIZE) for seed in (1, 1, 2))
    assert not one.weights.head
    assert one.settings["seed"] == 1
    assert one.notes == ("body.safetensors has no head (the last layer): it is random until it is trained.",)
    head = one.head + ".weight"
    weights = [net.module.state_dict()[head] for net in (one, two, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert one.fingerprint == other.fingerprint, "a head that is made anew everywhere does not identify the weights"
    assert load("mobilenet_v2", path, classes=7, image_size=SIZE).module(torch.zeros(1, 3, 32, 32)).shape == (1, 7)


def test_other_classes_take_a_random_head(described):
    net = load("mobilenet_v2", described, classes=5)
    assert net.module.get_submodule(net.head).out_features == 5
    assert net.classes is None
    assert net.notes == ("The head in w.safetensors has 3 outputs, not 5: it is random until it is trained.",)
    assert load("mobilenet_v2", described, classes=3).classes == ("ant", "bee", "cat")


def test_the_fingerprint_is_the_tensors(described, tmp_path):
    """Not the file's name or metadata, but every weight."""
    net = small(width=0.35)
    same = write(tmp_path / "other.safetensors", net, metadata(source=None))
    with torch.no_grad():
        net.features[3].conv[0][0].weight[0, 0] += 1e-6
    changed = write(tmp_path / "changed.safetensors", net, metadata())
    prints = [load("mobilenet_v2", path, image_size=SIZE).fingerprint for path in (described, same, changed)]
    assert prints[0] == prints[1] != prints[2]


def test_mcunets_spec_comes_from_the_file(tmp_path):
    spec = {
        "first_conv": [3, 8, 3, 2, 1, True],
        "blocks": [{"depthwise": [8, 8, 3, 2, 8, True], "residual": False}],
        "classifier": [8, 2],
    }
    for arch in (spec, {"family": "mcunet", "settings": {"spec": spec}}):
        path = write(tmp_path / "w.safetensors", small("mcunet", 2, spec=spec), {"arch": json.dumps(arch)})
        net = load("mcunet", path, image_size=SIZE)
        assert net.settings["spec"] == spec
        assert json.loads(json.dumps(dict(net.settings))) == dict(net.settings)
    path = write(tmp_path / "w.safetensors", small("mcunet", 2, spec=spec), {"arch": json.dumps({**spec, "blocks": 3})})
    assert message("mcunet", path) == (
        f"The weights {path} cannot be used. The MCUNet spec cannot be built: blocks must be a list of 1 to 256 blocks."
    )


# What does not fit
def test_another_familys_file_by_its_word(described):
    assert message("mobilenet_v1", described) == (
        f"{described} holds weights of mobilenet_v2, not of mobilenet_v1: use --backbone mobilenet_v2."
    )


def test_another_familys_file_by_its_shapes(tmp_path):
    path = write(tmp_path / "w.safetensors", small("resnet20"))
    said = message("resnet32", path)
    assert said.startswith(f"The weights {path} do not fit resnet32: ")
    assert "60 missing from the file: layer1.3.conv1.weight, layer1.3.bn1.weight, layer1.3.bn1.bias, …" in said
    assert said.endswith(". It fits --backbone resnet20.")
    assert "do not fit mobilenet_v2 of width 1: " in message("mobilenet_v2", path)


def test_missing_unexpected_and_misshaped_are_listed(tmp_path):
    net = small(width=0.35)
    state = net.state_dict()
    state["extra.weight"] = torch.ones(1)
    state["features.0.0.weight"] = torch.ones(16, 1, 3, 3)
    for name in ("features.5.conv.3.weight", "features.5.conv.3.bias"):
        del state[name]
    torch.save(state, tmp_path / "w.pth")
    assert message("mobilenet_v2", tmp_path / "w.pth", width=0.35) == (
        f"The weights {tmp_path / 'w.pth'} do not fit mobilenet_v2 of width 0.35: "
        "2 missing from the file: features.5.conv.3.weight, features.5.conv.3.bias; "
        "1 unknown to the network: extra.weight; "
        "1 of another shape: features.0.0.weight (file 16x1x3x3, network 16x3x3x3). "
        "Is it a checkpoint of another network?"
    )


def test_another_width(described, tmp_path):
    assert message("mobilenet_v2", described, width=1.0, kind=UsageError) == (
        f"{described} holds width 0.35, not 1; leave --width out."
    )
    path = write(tmp_path / "bare.safetensors", small(width=0.35))
    said = message("mobilenet_v2", path, width=0.5)
    assert "do not fit mobilenet_v2 of width 0.5: " in said
    assert said.endswith("It fits --backbone mobilenet_v2 --width 0.35.")
    assert load("mobilenet_v2", described, width=0.35).settings["width"] == 0.35


@pytest.mark.parametrize(
    ("entry", "part"),
    [
        ({"arch": json.dumps({"family": "mobilenet_v2", "settings": [1]})}, "the settings of its arch are [1]"),
        (
            {"arch": json.dumps({"family": "mobilenet_v2", "settings": {"width": 1e9}})},
            "The width of mobilenet_v2 is 1000",
        ),
        (
            {"arch": json.dumps({"family": "mobilenet_v2", "settings": {"wide": 1}})},
            "There is no setting of mobilenet_v2",
        ),
        (
            {"arch": json.dumps({"family": "alexnet"})},
            "holds weights of alexnet, not of mobilenet_v2: that is no family",
        ),
        ({"bn_eps": "-1"}, "bn_eps, the norms' epsilon, is -1"),
        ({"classes": json.dumps(["ant", "ant", "bee"])}, "its classes are not different names"),
        ({"classes": json.dumps(["ant", "bee"])}, "it names 2 classes, its head has 3"),
        ({"input": json.dumps({"size": 10**9, "mean": [0] * 3, "std": [1] * 3})}, "is out of range"),
        ({"input": json.dumps({"size": 96, "mean": [0] * 3})}, "is incomplete"),
    ],
)
def test_impossible_metadata_is_refused(tmp_path, entry, part):
    path = write(tmp_path / "w.safetensors", small(width=0.35), metadata(**entry))
    said = message("mobilenet_v2", path)
    assert part in said
    assert str(path) in said


def test_deeply_nested_metadata_is_no_metadata(tmp_path):
    said = metadata(arch="[" * 100_000, input="{" * 100_000, classes=None)
    net = load("mobilenet_v2", write(tmp_path / "w.safetensors", small(width=0.35), said), image_size=SIZE)
    assert net.settings["width"] == 0.35


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite(tmp_path, value):
    net = small(width=0.35)
    with torch.no_grad():
        net.features[1].conv[1].weight[0] = value
    path = write(tmp_path / "w.safetensors", net)
    assert message("mobilenet_v2", path) == (
        f"1 tensors in {path} hold NaN or infinite values: features.1.conv.1.weight. "
        "The file is damaged, or the training that made it went wrong."
    )


def test_quantised_weights(tmp_path):
    state = small("resnet20", 10).state_dict()
    state["conv1.weight"] = state["conv1.weight"].to(torch.int8)
    torch.save(state, tmp_path / "w.pth")
    assert "1 tensors in" in (said := message("resnet20", tmp_path / "w.pth"))
    assert "are int8 where the network has floating-point numbers: conv1.weight" in said


def test_half_precision_files_are_widened(tmp_path):
    net = small("resnet20", 10)
    torch.save({n: t.half() if t.is_floating_point() else t for n, t in net.state_dict().items()}, tmp_path / "w.pth")
    loaded = load("resnet20", tmp_path / "w.pth").module
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}
    torch.testing.assert_close(loaded.linear.weight, net.linear.weight, atol=1e-3, rtol=1e-3)


# Names and values
def test_three_ways_to_get_weights():
    assert message("mobilenet_v2", kind=UsageError) == (
        "No weights of mobilenet_v2 come with Edgewise. There are three ways to get them: --weights FILE "
        "(a .safetensors or .pth file), --backbone timm:NAME (a network of timm, which downloads its weights), "
        "or --weights none (random weights: everything is learned from your photos)."
    )


def test_packaged_weights_that_are_missing(tmp_path):
    family = dataclasses.replace(FAMILIES["pocket"], weights=tmp_path / "gone.safetensors")
    with pytest.raises(EdgewiseError) as caught:
        packaged(family, None, None, 0)
    assert str(caught.value) == (
        f"The weights that come with pocket are missing: there is no {tmp_path / 'gone.safetensors'}. "
        "Install Edgewise again, name a file with --weights FILE, or start from random weights with --weights none."
    )


def test_packaged_weights_come_with_the_name(tmp_path, monkeypatch):
    said = metadata("pocket", arch=json.dumps({"family": "pocket", "settings": {}}), padding="torch")
    path = write(tmp_path / "pocket.safetensors", small("pocket"), said)
    family = dataclasses.replace(FAMILIES["pocket"], weights=path)
    monkeypatch.setitem(loading_module.FAMILIES, "pocket", family)
    net = load("pocket")
    assert net.classes == ("ant", "bee", "cat")
    assert net.weights.path is None
    assert net.weights.sha256
    assert net.notes == ()


def test_only_pocket_ships_weights():
    assert [name for name, family in FAMILIES.items() if family.weights is not None] == ["pocket"]


def test_unknown_names():
    said = message("mobilenetv2", kind=UsageError)
    assert said.startswith(
        "There is no backbone 'mobilenetv2'. Did you mean 'mobilenet_v2'? Known: hf:NAME_OR_FOLDER, "
    )
    assert "timm:NAME" in said


@pytest.mark.parametrize("size", [7, 0, -3, 5000, 2.5])
def test_image_sizes_out_of_range(size):
    assert message("pocket", "none", image_size=size, kind=UsageError) == (
        f"The image size is {size!r}; it must be from 8 to 4096 pixels."
    )


def test_classes_out_of_range():
    assert "classes is 0" in message("pocket", "none", classes=0, kind=UsageError)


def test_a_width_for_a_family_without(tmp_path):
    said = "resnet20 has no width multiplier; leave --width out."
    assert message("resnet20", "none", width=0.5, kind=UsageError) == said
    path = write(tmp_path / "w.safetensors", small("resnet20"))
    assert message("resnet20", path, width=0.5, kind=UsageError) == f"The weights {path} cannot be used. {said}"


@pytest.mark.parametrize("width", [0, -1, 100])
def test_widths_out_of_range(width):
    assert message("mobilenet_v2", "none", width=width, kind=UsageError) == (
        f"The width of mobilenet_v2 is {width}; it must be a number from 0.05 to 4."
    )


# A module of the user's
class Mine(nn.Sequential):
    pass


def mine():
    torch.manual_seed(1)
    return Mine(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))


def test_a_users_module_is_described_and_not_changed():
    module = mine().train()
    net = load(module)
    assert net.module is module
    assert module.training
    assert (net.name, net.head, net.input, net.classes, net.weights) == ("Mine", "4", Preprocess(224), None, None)
    assert net.notes == (
        "Mine does not say what input it expects; assumed: 224 px, normalised with ImageNet's mean and std.",
    )
    assert load(module, image_size=16).input.size == 16
    assert load(mine()).fingerprint == net.fingerprint


def test_a_copy_of_a_users_module_gets_the_weights(tmp_path):
    module, other = mine(), mine()
    nn.init.ones_(other[4].weight)
    path = tmp_path / "w.safetensors"
    save_file(dict(other.state_dict()), path, {"input": metadata()["input"]})
    before = module[4].weight.clone()
    net = load(module, path)
    assert net.module is not module
    assert torch.equal(module[4].weight, before)
    assert torch.equal(net.module[4].weight, other[4].weight)
    assert net.input == Preprocess(96, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert net.notes == ()
    assert message(nn.Sequential(*module[:4], nn.Linear(4, 3)), path) == (
        f"The weights {path} do not fit Sequential: 2 of another shape: "
        "4.weight (file 2x4, network 3x4), 4.bias (file 2, network 3)."
    )


def test_what_makes_no_sense_for_a_module():
    assert (
        message(mine(), width=0.5, kind=UsageError) == "width cannot be chosen for a module of your own; leave it out."
    )
    assert "width and classes cannot be chosen" in message(mine(), width=0.5, classes=3, kind=UsageError)


def test_a_loaded_backbone_passes_through():
    net = load(mine(), image_size=16)
    assert isinstance(net, Backbone)
    assert load(net) is net
    assert load(net, image_size=24).input.size == 24
    assert "weights cannot be chosen for a loaded backbone" in message(net, "none", kind=UsageError)


def test_records_are_whole():
    assert len(RECORDS) == 9
    for digest, record in RECORDS.items():
        assert len(digest) == 64
        family = FAMILIES[record["family"]]
        given = {name: record[name] for name in ("width", "padding", "bn_eps") if name in record}
        assert given.items() <= family.checked(given).items()
        assert record["licence"]
        assert record["source"]
        Preprocess.from_json(record)


def test_pocket_comes_with_its_weights_and_their_record():
    net = load("pocket")
    assert len(net.classes) == 10
    assert net.input == FAMILIES["pocket"].input == Preprocess(32, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    assert net.weights.path is None
    assert net.weights.licence == "Apache-2.0"
    assert net.weights.head
    assert net.notes == ()
    assert FAMILIES["pocket"].weights.stat().st_size <= 2_000_000
