"""The families that take torchvision's checkpoints as they are: its names, its costs, its function."""

import hashlib
import importlib
import importlib.util

import pytest
import torch
import torch.nn.functional as F
from torch import fx, nn

from edgewise.backbones import FAMILIES
from edgewise.backbones.blocks import SameConv2d
from edgewise.backbones.external import ensure_torchvision
from edgewise.cost.macs import macs_forward

NAMES = {
    ("mobilenet_v2", 1.0): (314, "37bbbce8932fd0c49fe8e941719a7aa7b25b60c17b428749b72562f754135844"),
    ("mobilenet_v2", 0.35): (314, "b270bf404dce82bd7233342be86eac933d50f0fa60bc19b81b20902c0abb82c1"),
    ("mobilenet_v3_small", 1.0): (244, "5f0efaf3ff4ac979485c311e28eca4adf197652c72ce1fc09348dea8557bac96"),
    ("mobilenet_v3_small", 0.35): (244, "197ec9382600ff51483ad076526ae8ea316de54b7e021a108e8e3b24a922b02a"),
    ("mobilenet_v3_small", 0.05): (214, "f96466106874b66a2a9c618593a166810d7d2166f2ae6d71a1a11b734306d617"),
    ("mobilenet_v3_large", 1.0): (312, "efe98e40831bae9532d9c518b312080f840b880adfcddaed3dd8b307363875e7"),
    ("mobilenet_v3_large", 0.35): (312, "5f2d94b7f10dcd7a3b6667fa909149e7461893e9fd1eed7ab14f4c1fcb5d0c72"),
    ("mobilenet_v3_large", 0.05): (282, "7ff50e55f65809a63e02088c1e8ecadafd8df67600c44d983948a05df6807d5e"),
    ("resnet18", None): (122, "84fb10d9c6905a1cbb020b284537dc97c4f4ec55fb2a780a41152a23a2dd0e9d"),
    ("resnet50", None): (320, "d7e4f8bb0a5363446a59c81c3887ccf66900a11651a0ae2dec96d1bb1eb6ea81"),
}
"""Tensors, and SHA-256 of their ``name shape`` lines, of torchvision 0.28's ``state_dict()``, by name and width."""
MACS = {
    "mobilenet_v3_small": (56_510_400, 0.057),
    "mobilenet_v3_large": (216_589_760, 0.217),
    "resnet18": (1_814_073_344, 1.814),
    "resnet50": (4_089_184_256, 4.089),
}
"""Multiply-accumulates of one 224 px image: to the unit, and the 10^9 that torchvision states beside its weights."""
NEW = tuple(MACS)


def build(name, width=None, **settings):
    return FAMILIES[name].build(**settings, **({} if width is None else {"width": width}))


@pytest.mark.parametrize(("name", "width"), NAMES)
def test_names_and_shapes(name, width):
    lines = [f"{key} {tuple(tensor.shape)}" for key, tensor in build(name, width).state_dict().items()]
    assert (len(lines), hashlib.sha256("\n".join(lines).encode()).hexdigest()) == NAMES[name, width]


@pytest.mark.parametrize("name", NEW)
def test_multiply_accumulates(name):
    exact, published = MACS[name]
    assert macs_forward(build(name), (3, 224, 224)) == exact
    assert round(exact / 1e9, 3) == published


def test_norms_of_mobilenet_v3():
    norms = [m for m in build("mobilenet_v3_small").modules() if isinstance(m, nn.BatchNorm2d)]
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-3, 0.01)}


# Twins: the same functions written from the papers, given only the tensors.
def by_hand(name, state, x):
    def norm(x, of, eps):
        mean, var, weight, bias = (state[f"{of}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
        return F.batch_norm(x, mean, var, weight, bias, eps=eps)

    def conv(x, of, stride=1):
        weight = state[f"{of}.weight"]
        return F.conv2d(x, weight, None, stride, weight.shape[-1] // 2, groups=x.shape[1] // weight.shape[1])

    def linear(x, of):
        return F.linear(x, state[f"{of}.weight"], state[f"{of}.bias"])

    if name.startswith("resnet"):
        x = F.max_pool2d(F.relu(norm(conv(x, "conv1", 2), "bn1", 1e-5)), 3, 2, 1)
        convolutions, strided, depths = {"resnet18": (2, 1, (2, 2, 2, 2)), "resnet50": (3, 2, (3, 4, 6, 3))}[name]
        for layer, depth in enumerate(depths, 1):
            for block in range(depth):
                of, stride, y = f"layer{layer}.{block}", 2 if layer > 1 and block == 0 else 1, x
                for i in range(1, convolutions + 1):
                    y = norm(conv(y, f"{of}.conv{i}", stride if i == strided else 1), f"{of}.bn{i}", 1e-5)
                    y = F.relu(y) if i < convolutions else y
                if f"{of}.downsample.0.weight" in state:
                    x = norm(conv(x, f"{of}.downsample.0", stride), f"{of}.downsample.1", 1e-5)
                x = F.relu(x + y)
        return linear(x.mean((2, 3)), "fc")

    # The tables' columns NL (hard-swish from this row on) and s (rows of stride 2); rows count from 1.
    swish, halving, last = {"small": (4, {1, 2, 4, 9}, 12), "large": (7, {2, 4, 7, 13}, 16)}[name.split("_")[-1]]

    def hard_sigmoid(x):
        return (x + 3).clamp(0, 6) / 6

    def unit(x, of, act=None, stride=1):
        x = norm(conv(x, f"{of}.0", stride), f"{of}.1", 1e-3)
        return x if act is None else act(x)

    def hard_swish(x):
        return x * hard_sigmoid(x)

    x = unit(x, "features.0", hard_swish, 2)
    for row in range(1, last):
        act, y = hard_swish if row >= swish else F.relu, x
        *steps, project = sorted({of for of in map(_step, state) if of.startswith(f"features.{row}.block.")})
        for of in steps:
            if f"{of}.0.weight" in state:
                depthwise = state[f"{of}.0.weight"].shape[1] == 1
                y = unit(y, of, act, 2 if depthwise and row in halving else 1)
            else:
                gate = F.relu(conv(y.mean((2, 3), True), f"{of}.fc1") + state[f"{of}.fc1.bias"][:, None, None])
                y = y * hard_sigmoid(conv(gate, f"{of}.fc2") + state[f"{of}.fc2.bias"][:, None, None])
        y = unit(y, project)
        x = x + y if x.shape == y.shape else y
    x = unit(x, f"features.{last}", hard_swish).mean((2, 3))
    return linear(hard_swish(linear(x, "classifier.0")), "classifier.3")


def _step(name):
    """The part of a block that a tensor is in: its first four words."""
    return ".".join(name.split(".")[:4])


@pytest.mark.parametrize("name", NEW)
def test_equals_the_function_written_by_hand(name):
    net = _alive(build(name, classes=9), 64).double()
    x = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    with torch.no_grad():
        logits = net(x)
        torch.testing.assert_close(by_hand(name, net.state_dict(), x), logits)
    assert (logits[0] - logits[1]).abs().max() > 0.01, "the image decides"


@pytest.mark.skipif(importlib.util.find_spec("torchvision") is None, reason="torchvision is an extra")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", NEW)
def test_equals_torchvision(name):
    ensure_torchvision()
    theirs = getattr(importlib.import_module("torchvision.models"), name)(weights=None)
    ours = _alive(build(name), 64)
    theirs.load_state_dict(ours.state_dict())
    theirs.eval()
    x = torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(x), atol=1e-5, rtol=1e-5)


class OursAreLeaves(fx.Tracer):
    """``SameConv2d`` looks at its input's size, which is not known while tracing."""

    def is_leaf_module(self, module, name):
        return isinstance(module, SameConv2d) or super().is_leaf_module(module, name)


@pytest.mark.parametrize(
    ("name", "settings"),
    [(name, {}) for name in NEW] + [(name, {"padding": "tf-same"}) for name in NEW if name.startswith("mobilenet")],
)
def test_can_be_traced(name, settings):
    net = _alive(build(name, classes=9, **settings), 64)
    graph = OursAreLeaves().trace(net)
    traced = fx.GraphModule(net, graph)
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(traced(x), net(x))
    called = [node.target for node in graph.nodes if node.op == "call_module"]
    assert len(set(called)) == len(called), "every layer is called once"
    if not settings:
        assert len(fx.symbolic_trace(net).graph.nodes) == len(graph.nodes)


def _alive(net, size):
    """In eval mode, with norms that have seen noise: fresh statistics let a random network's signal die out."""
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.normal_(norm.bias, 0, 0.3)
        norm.momentum = None
    with torch.no_grad():
        net.train()(torch.randn(4, 3, size, size))
    return net.eval()
