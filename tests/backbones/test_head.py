"""Finding the head: the last linear layer, if the logits come from it alone."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edgewise.backbones.stages import find_head
from edgewise.core.errors import EdgewiseError


class Net(nn.Module):
    """A body, and whatever ``end`` does with its pooled features."""

    def __init__(self, end, **layers):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.end = end
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, x):
        return self.end(self, self.conv(x).mean((2, 3)))


def two():
    return {"one": nn.Linear(4, 5), "two": nn.Linear(4, 5)}


FOUND = {
    "plain": (Net(lambda m, x: m.fc(x), fc=nn.Linear(4, 5)), "fc"),
    "hidden layer": (Net(lambda m, x: m.out(F.relu(m.hid(x))), hid=nn.Linear(4, 5), out=nn.Linear(5, 5)), "out"),
    "nested": (Net(lambda m, x: m.top(x), top=nn.Sequential(nn.Dropout(), nn.Linear(4, 5))), "top.1"),
    "log-softmax": (Net(lambda m, x: F.log_softmax(m.fc(x), 1), fc=nn.Linear(4, 5)), "fc"),
    "view": (Net(lambda m, x: m.fc(x).view(-1, 5), fc=nn.Linear(4, 5)), "fc"),
    "temperature": (Net(lambda m, x: m.fc(x) / 0.07, fc=nn.Linear(4, 5)), "fc"),
    "unused linear": (Net(lambda m, x: m.two(x), **two()), "two"),
    "registered in another order": (
        Net(lambda m, x: m.a(torch.relu(m.b(x))), a=nn.Linear(6, 5), b=nn.Linear(4, 6)),
        "a",
    ),
}


@pytest.mark.parametrize(("net", "name"), FOUND.values(), ids=FOUND)
def test_found(net, name):
    net.train()
    assert find_head(net, 16) == name
    assert all(module.training for module in net.modules())
    assert not any(module._forward_hooks for module in net.modules())


class ConvHead(nn.Module):
    def __init__(self):
        super().__init__()
        self.squeeze, self.excite = nn.Linear(4, 4), nn.Linear(4, 4)
        self.features, self.classifier = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1)

    def forward(self, x):
        x = self.features(x)
        gate = self.excite(self.squeeze(x.mean((2, 3))))
        return self.classifier(x * gate[..., None, None]).mean((2, 3))


REFUSED = {
    "convolution": (
        nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 5, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        "Sequential has no linear head: no nn.Linear is used. Its last layer with weights is 1 (Conv2d); "
        "end the network in pooling and an nn.Linear.",
    ),
    "convolution after a gate": (
        ConvHead(),
        "ConvHead does not end in a linear head: its last nn.Linear, excite, gives (N, 4) and is not what the logits "
        "(N, 4) come from alone. Its last layer with weights is classifier (Conv2d).",
    ),
    "mean of two heads": (
        Net(lambda m, x: (m.one(x) + m.two(x)) / 2, **two()),
        "Net does not end in a linear head: its last nn.Linear, two, gives (N, 5)",
    ),
    "nothing": (nn.Flatten(), "Flatten has no linear head: no nn.Linear is used. Its last layer with weights is none;"),
    "dictionary": (
        Net(lambda m, x: {"logits": m.fc(x)}, fc=nn.Linear(4, 5)),
        "Net returns a dict; wrap it so that it returns logits (N, classes).",
    ),
    "map": (nn.Conv2d(3, 2, 1), "Conv2d returns a tensor of shape (N, 2, 16, 16), not logits (N, classes)."),
    "other outputs": (
        Net(lambda m, x: torch.cat([m.fc(x), m.fc(x)], 1), fc=nn.Linear(4, 5)),
        "Net does not end in a linear head: its last nn.Linear, fc, gives (N, 5) and is not what the logits (N, 10)",
    ),
}


@pytest.mark.parametrize(("net", "message"), REFUSED.values(), ids=REFUSED)
def test_refused_in_plain_words(net, message):
    with pytest.raises(EdgewiseError) as caught:
        find_head(net, 16)
    assert str(caught.value).startswith(message)


def test_a_head_that_is_the_whole_network():
    with pytest.raises(EdgewiseError, match="Linear could not be run on an image"):
        find_head(nn.Linear(3, 2), 16)
