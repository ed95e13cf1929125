"""MCUNet: the network against a twin, and specs that are not to be believed."""

import copy
import json

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from edgewise.backbones.mcunet import SPEC, MCUNet, check_spec
from edgewise.core.errors import EdgewiseError

SMALL = {
    "first_conv": [3, 8, 3, 2, 1, True],
    "blocks": [
        {"depthwise": [8, 8, 3, 1, 8, True], "pointwise2": [8, 8, 1, 1, 1, False], "residual": True},
        {
            "pointwise1": [8, 16, 1, 1, 1, True],
            "depthwise": [16, 16, 5, 2, 16, True],
            "pointwise2": [16, 12, 1, 1, 1, False],
            "residual": False,
        },
    ],
    "feature_mix": [12, 20, 1, 1, 1, True],
    "classifier": [20, 4],
}


class PlainConv(nn.Module):
    def __init__(self, i, o, k, s, g, act):
        super().__init__()
        self.conv = nn.Conv2d(i, o, k, s, k // 2, groups=g, bias=False)
        self.bn, self.act = nn.BatchNorm2d(o), act

    def forward(self, x):
        x = self.bn(self.conv(x))
        return F.relu6(x) if self.act else x


class PlainBlock(nn.Module):
    def __init__(self, spec):
        super().__init__()
        self.residual = spec["residual"]
        self.names = [n for n in ("pointwise1", "depthwise", "pointwise2") if spec.get(n)]
        for n in self.names:
            setattr(self, n, PlainConv(*spec[n]))

    def forward(self, x):
        y = x
        for n in self.names:
            y = getattr(self, n)(y)
        return x + y if self.residual else y


class PlainTiny(nn.Module):
    def __init__(self, spec):
        super().__init__()
        self.first_conv = PlainConv(*spec["first_conv"])
        self.blocks = nn.Sequential(*map(PlainBlock, spec["blocks"]))
        self.feature_mix = PlainConv(*spec["feature_mix"]) if spec.get("feature_mix") else nn.Identity()
        self.classifier = nn.Linear(*spec["classifier"])

    def forward(self, x):
        return self.classifier(self.feature_mix(self.blocks(self.first_conv(x))).mean((2, 3)))


@pytest.mark.parametrize("spec", [SMALL, SPEC], ids=["small", "default"])
def test_equals_its_twin(spec):
    net, plain = MCUNet(spec=spec), PlainTiny(spec)
    plain.load_state_dict(net.state_dict())
    x = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(net.eval()(x), plain.eval()(x))


def test_default_is_mcunet_5fps():
    """The published network: 0.64 million parameters, 14 blocks, six changes of resolution or width."""
    net = MCUNet()
    assert sum(p.numel() for p in net.parameters()) == 636_232
    assert len(net.blocks) == 14
    assert json.loads(json.dumps(SPEC)) == SPEC


def test_classes_override_the_spec():
    assert MCUNet(classes=9, spec=SMALL).classifier.out_features == 9


def changed(path, value):
    spec = copy.deepcopy(SMALL)
    *way, last = path
    part = spec
    for key in way:
        part = part[key]
    part[last] = value
    return spec


HOSTILE = [
    ("text", "An MCUNet spec is a JSON object; this is 'text'."),
    ({}, "blocks must be a list of 1 to 256 blocks"),
    (changed(["blocks"], []), "blocks must be a list of 1 to 256 blocks"),
    (changed(["blocks"], SMALL["blocks"] * 200), "blocks must be a list of 1 to 256 blocks"),
    (changed(["first_conv"], [3, 10**9, 3, 2, 1, True]), "first_conv must be [in 1..8192, out 1..8192, kernel 1..11"),
    (changed(["first_conv"], [3, 8.0, 3, 2, 1, True]), "first_conv must be"),
    (changed(["first_conv"], [3, True, 3, 2, 1, True]), "first_conv must be"),
    (changed(["first_conv"], [3, 8, 3, 2, 1, "yes"]), "first_conv needs an odd kernel and true or false for relu6"),
    (changed(["first_conv"], [3, 8, 4, 2, 1, True]), "first_conv needs an odd kernel"),
    (changed(["first_conv"], [4, 8, 3, 2, 1, True]), "first_conv takes 4 channels and is given 3"),
    (changed(["blocks", 0], ["not", "a", "block"]), "blocks.0 must be an object with residual: true or false"),
    (changed(["blocks", 0, "residual"], 1), "blocks.0 must be an object with residual: true or false"),
    (changed(["blocks", 1, "residual"], True), "blocks.1 has a shortcut, but changes the shape"),
    (changed(["blocks", 1], {"residual": True}), "blocks.1 has no convolution"),
    (changed(["blocks", 1, "depthwise"], [16, 16, 5, 2, 3, True]), "which 3 groups do not divide"),
    (
        changed(["blocks", 1, "pointwise2"], [15, 12, 1, 1, 1, False]),
        "blocks.1.pointwise2 takes 15 channels and is given 16",
    ),
    (changed(["classifier"], [21, 4]), "classifier takes 21 channels and is given 20"),
    (changed(["classifier"], [20]), "classifier must be [in, classes]; it is [20]"),
    (changed(["classifier"], None), "classifier must be [in, classes]; it is None"),
    (changed(["feature_mix"], [12, 20]), "feature_mix must be"),
]


@pytest.mark.parametrize(("spec", "message"), HOSTILE, ids=[message[:40] for _, message in HOSTILE])
def test_hostile_specs_are_refused(spec, message):
    with pytest.raises(EdgewiseError) as caught:
        MCUNet(spec=spec)
    assert message in str(caught.value)


def test_a_spec_may_not_ask_for_gigabytes():
    wide = {"pointwise1": [8192, 8192, 11, 1, 1, True], "residual": True}
    spec = {
        "first_conv": [3, 8192, 3, 2, 1, True],
        "blocks": [wide] * 256,
        "feature_mix": None,
        "classifier": [8192, 1000],
    }
    with pytest.raises(EdgewiseError, match=r"it describes [\d,]+ parameters, more than 50,000,000"):
        MCUNet(spec=spec)


def test_all_faults_are_named_at_once_up_to_five():
    spec = changed(["classifier"], None)
    spec["first_conv"] = "x" * 1000
    spec["blocks"] = [{}] * 6
    with pytest.raises(EdgewiseError) as caught:
        MCUNet(spec=spec)
    message = str(caught.value)
    assert message.startswith("The MCUNet spec cannot be built: first_conv must be")
    assert message.endswith("; and 3 more.")
    assert len(message) < 900


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=200)
@given(st.sampled_from([["first_conv"], ["blocks"], ["blocks", 0], ["blocks", 1, "depthwise"], ["classifier"]]), JSON)
def test_any_json_in_any_place_is_refused_or_built(path, value):
    """No other error escapes: whatever is put into a spec, it is built or an `EdgewiseError` says why not."""
    spec = changed(path, value)
    try:
        check_spec(spec)
    except EdgewiseError:
        return
    MCUNet(spec=spec)
